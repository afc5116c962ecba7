"""Applying a `Preprocess`: image -> pixels -> batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet.preprocessing import Preprocess

if TYPE_CHECKING:
    from torch import Tensor

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def to_pixels(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Resize and crop an RGB image: -> uint8 (size, size, 3).

    The same pixels as torchvision's Resize and CenterCrop on a Pillow image: the longer side is truncated, not rounded,
    and the crop's corner is rounded to even.
    """
    size, filters = preprocess.size, _FILTERS[preprocess.interpolation]
    if preprocess.fit == "pad":
        return np.asarray(_padded(image, preprocess))
    width, height = image.size
    side = preprocess.resize_to
    if preprocess.fit == "squash":
        wide, high = side, side
    elif width <= height:
        wide, high = side, max(1, int(side * height / width))
    else:
        wide, high = max(1, int(side * width / height)), side
    resized = image.resize((wide, high), filters) if (wide, high) != image.size else image
    left, top = round((wide - size) / 2.0), round((high - size) / 2.0)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def to_batch(pixels: Sequence[NDArray[np.uint8]], preprocess: Preprocess) -> Tensor:
    """Stack and normalise: N arrays of uint8 (H, W, C) -> float32 (N, C, H, W), channels last in memory."""
    import torch

    stacked = torch.from_numpy(np.stack(pixels))  # (N, H, W, C)
    mean = torch.tensor(preprocess.mean) * 255
    scale = 1 / (torch.tensor(preprocess.std) * 255)
    return stacked.float().sub_(mean).mul_(scale).permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


def _padded(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    size = preprocess.size
    ratio = size / max(image.size)
    wide, high = (max(1, round(side * ratio)) for side in image.size)
    fill = tuple(round(255 * m) for m in preprocess.mean)
    canvas = Image.new("RGB", (size, size), fill)
    resized = image.resize((wide, high), _FILTERS[preprocess.interpolation])
    canvas.paste(resized, ((size - wide) // 2, (size - high) // 2))
    return canvas

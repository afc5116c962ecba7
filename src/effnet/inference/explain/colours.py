"""Maps as pictures: their colours, and laying them over the image that they are of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Window = tuple[float, float, float, float]
"""(left, top, right, bottom) of the network's input in pixels of the image; it may reach outside."""

# Corners of a colour map from dark blue to yellow whose lightness rises evenly, close to matplotlib's "inferno".
_CORNERS = np.array(
    [(0, 0, 4), (51, 10, 95), (120, 28, 109), (188, 55, 84), (237, 105, 37), (252, 180, 26), (252, 255, 164)], float
)
_UNSEEN = 0.25
"""Brightness of what the network's crop left out."""


def coloured(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the colours (..., 3) of values from 0, dark, to 1, bright."""
    at = np.clip(values, 0, 1) * (len(_CORNERS) - 1)
    channels = [np.interp(at, range(len(_CORNERS)), _CORNERS[:, channel]) for channel in range(3)]
    return np.stack(channels, -1).astype(np.uint8)


def overlay(
    image: Image.Image,
    heat: Tensor | NDArray[np.floating],
    *,
    window: Window | None = None,
    strength: float = 0.55,
    longest: int | None = None,
) -> Image.Image:
    """Return the image under its map (H', W'): dark where little speaks for the class, bright where much does.

    Args:
        window: the part of the image that the map is of; what lies outside was not seen and is nearly black and grey.
            None: the whole image.
        strength: of the map, 0 to 1.
        longest: side in pixels above which the picture is made smaller first.
    """
    shown, seen = reduced(image, window, longest)
    values = heat.detach().float().cpu().numpy() if isinstance(heat, Tensor) else np.asarray(heat, np.float32)
    low, high = float(values.min()), float(values.max())
    values = (values - low) / (high - low) if high > low else np.zeros_like(values)
    smooth = spread(values, shown.size, seen)
    blended = Image.blend(shown, Image.fromarray(coloured(smooth)), strength)
    left, top, right, bottom = seen
    outside = left > 0.5 or top > 0.5 or right < shown.width - 0.5 or bottom < shown.height - 0.5
    if not outside:
        return blended
    unseen = shown.convert("L").point(lambda level: int(level * _UNSEEN)).convert("RGB")
    box = round(max(left, 0)), round(max(top, 0)), round(min(right, shown.width)), round(min(bottom, shown.height))
    unseen.paste(blended.crop(box), box)
    return unseen


def reduced(image: Image.Image, window: Window | None, longest: int | None) -> tuple[Image.Image, Window]:
    """Return the image in RGB with no side above `longest`, and the window on it."""
    shown, seen = image.convert("RGB"), window or (0.0, 0.0, float(image.width), float(image.height))
    if longest is None or max(image.size) <= longest:
        return shown, seen
    ratio = longest / max(image.size)
    size = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
    across, down = size[0] / image.width, size[1] / image.height
    left, top, right, bottom = seen
    return shown.resize(size, Image.Resampling.BICUBIC), (left * across, top * down, right * across, bottom * down)


def spread(values: NDArray[np.floating], size: tuple[int, int], window: Window) -> NDArray[np.float32]:
    """Return the map (H', W') at every pixel (height, width) of an image whose `window` it covers, smoothly; 0 outside.

    Pixel centres are mapped to map coordinates, so nothing shifts by half a cell at any pair of sizes.
    """
    left, top, right, bottom = window
    rows, columns = values.shape
    across, down = columns / (right - left), rows / (bottom - top)
    data = (across, 0.0, -left * across, 0.0, down, -top * down)
    field = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(field.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC))

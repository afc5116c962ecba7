"""Applying a `Preprocess`: image -> pixels -> batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet.errors import InputError
from effnet.preprocessing import Preprocess, place

if TYPE_CHECKING:
    from torch import Tensor

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

_MOST_RESIZED = 1 << 24
"""Pixels of a resized image that are computed in order to cut its centre out: 64 MB."""


def to_pixels(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Resize and crop an RGB image: -> uint8 (size, size, channels), read-only.

    The channels are those of the mean: 3, or 1, for which the image is made grey first.

    The same pixels as torchvision's Resize and CenterCrop on a Pillow image. Resizing only the crop (`box` of Pillow's
    resize) would take 0.6 of the time but differs in pixels, by up to 21 levels on noise: Pillow chooses the order of
    its two passes by the box, and bicubic overshoot is clipped between them. It is used only where the resized image
    would have over 16 megapixels, which at 256 px means 256 times as long as wide, so that a line of pixels cannot ask
    for gigabytes.

    Raises:
        InputError: the preprocessing is neither for 3 channels nor for 1.
    """
    channels = len(preprocess.mean)
    if channels not in (1, 3):
        raise InputError(f"{channels} channels, an image has 3 or 1", where="mean", fix="give 3 means, or 1 for grey")
    flat = image.convert("L") if channels == 1 else image
    fitted = _padded(flat, preprocess) if preprocess.fit == "pad" else _cropped(flat, preprocess)
    return np.asarray(fitted).reshape(preprocess.size, preprocess.size, channels)


def to_array(pixels: Sequence[NDArray[np.uint8]], preprocess: Preprocess) -> NDArray[np.float32]:
    """Stack and normalise: N arrays of uint8 (H, W, C) -> float32 (N, C, H, W), contiguous; without torch.

    The same numbers as `to_batch`, bit for bit.

    Raises:
        InputError: no arrays, arrays of different shapes, not uint8, or not of as many channels as the means.
    """
    height, width, channels = _shape_of(pixels, preprocess)
    mean, scale = affine(preprocess)
    batch = np.empty((len(pixels), channels, height, width), np.float32)
    for image, planes in zip(pixels, batch, strict=True):
        for channel, plane in enumerate(planes):
            np.subtract(image[:, :, channel], mean[channel], out=plane)
            plane *= scale[channel]
    return batch


def to_batch(pixels: Sequence[NDArray[np.uint8]], preprocess: Preprocess) -> Tensor:
    """Stack and normalise: N arrays of uint8 (H, W, C) -> float32 (N, C, H, W), channels last in memory.

    Raises:
        InputError: no arrays, arrays of different shapes, not uint8, or not of as many channels as the means.
    """
    import torch

    height, width, channels = _shape_of(pixels, preprocess)
    # A row of means, one for each number in a row of pixels: broadcasting over the channels alone takes three times as
    # long, because the innermost loop would be 3 numbers.
    mean, scale = (np.tile(values, width) for values in affine(preprocess))
    rows = np.stack(pixels).reshape(-1, width * channels).astype(np.float32)  # (N, H, W, C) -> (N * H, W * C)
    rows -= mean
    rows *= scale
    batch = torch.from_numpy(rows).view(-1, height, width, channels)
    return batch.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


def affine(preprocess: Preprocess) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what is subtracted from a byte, and what the difference is multiplied by, for each channel."""
    mean = np.array([255 * value for value in preprocess.mean], np.float32)
    return mean, np.array([1 / (255 * value) for value in preprocess.std], np.float32)


def _shape_of(pixels: Sequence[NDArray[np.uint8]], preprocess: Preprocess) -> tuple[int, int, int]:
    channels = len(preprocess.mean)
    kinds = {(array.shape, array.dtype.name) for array in pixels}
    if len(kinds) != 1:
        what = f"pixels of {len(kinds)} shapes or types" if kinds else "no pixels"
        raise InputError(what, where="pixels", fix="give arrays from to_pixels with one Preprocess")
    ((shape, kind),) = kinds
    if kind != "uint8" or len(shape) != 3 or shape[2] != channels:
        raise InputError(f"pixels are {kind} {shape}", where="pixels", fix=f"give uint8 (H, W, {channels})")
    return shape


def _cropped(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    size, filters = preprocess.size, _FILTERS[preprocess.interpolation]
    placed = place(preprocess, *image.size)
    (wide, high), (left, top) = placed.resized, placed.corner
    if wide * high <= _MOST_RESIZED:
        return image.resize((wide, high), filters).crop((left, top, left + size, top + size))
    return image.resize((size, size), filters, box=placed.window)


def _padded(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    size = preprocess.size
    placed = place(preprocess, *image.size)
    fill = tuple(min(max(round(255 * mean), 0), 255) for mean in preprocess.mean)
    canvas = Image.new(image.mode, (size, size), fill)
    resized = image.resize(placed.resized, _FILTERS[preprocess.interpolation])
    canvas.paste(resized, (-placed.corner[0], -placed.corner[1]))
    return canvas

"""Random-resized crops: draw a box first, decode what it needs, then crop and resize in one call.

    box = V2_CROP.draw(rng, width, height)                  # the header is enough
    image = ...                                             # decoded up to reduction(box, size) times smaller
    image = crop_resize(image, box, size, of=(width, height))

Boxes follow TensorFlow's `sample_distorted_bounding_box`, which trained every published EfficientNet. What differs
from torchvision's `RandomResizedCrop`:

- the aspect ratio is uniform in its range, not log-uniform;
- given the ratio, the *height* is uniform among the whole numbers that keep the area in its range (torchvision draws
  the area uniformly), so small crops are more frequent: on a square image the mean area of a 0.08-1 crop is about 0.40,
  torchvision's about 0.48;
- the last row and column of positions are never drawn (the box ends at least one pixel before the border unless it
  spans the side);
- when every attempt fails the whole image is taken, not a central crop.

The V1 code replaces that last case with a central crop; it needs an image more than about seven times longer than
wide, and is not reproduced. The resize is antialiased, that of TensorFlow's training code was not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from effnet.errors import InputError

Interpolation = Literal["bicubic", "bilinear"]

_DCT_REDUCTIONS = (8, 4, 2)
"""How much smaller a JPEG can be decoded for free, largest first."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels: `left` and `top` are its first column and row."""

    left: int
    top: int
    width: int
    height: int

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """The rectangle as Pillow writes it: left, top, right, bottom, the last two just outside."""
        return (self.left, self.top, self.left + self.width, self.top + self.height)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomCrop:
    """How boxes are drawn.

    Args:
        area: least and most of the image's area that a box may have, 0 < least <= most <= 1.
        ratio: least and most width / height.
        covered: a box with less of the image's area than this is drawn again, ratio included.
        attempts: draws before the whole image is taken.

    Raises:
        InputError: a range is empty or outside its limits.
    """

    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    covered: float = 0.0
    attempts: int = 10

    def __post_init__(self) -> None:
        """Refuse impossible ranges."""
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise InputError(f"area {self.area}", where="RandomCrop", fix="give 0 < least <= most <= 1")
        if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise InputError(f"ratio {self.ratio}", where="RandomCrop", fix="give 0 < least <= most")
        if not 0 <= self.covered <= 1:
            raise InputError(f"covered {self.covered}", where="RandomCrop", fix="give a share of the area from 0 to 1")
        if self.attempts < 1:
            raise InputError(f"attempts {self.attempts}", where="RandomCrop", fix="allow at least one")

    def draw(self, rng: np.random.Generator, width: int, height: int) -> Box:
        """Draw a box inside an image of `width` x `height` pixels.

        Raises:
            InputError: the image has no pixels.
        """
        if width < 1 or height < 1:
            raise InputError(f"image of {width} x {height} pixels", where="RandomCrop", fix="give an image with pixels")
        for _ in range(self.attempts):
            box = self._attempt(rng.random(4).tolist(), width, height)
            if box is not None and box.width * box.height >= self.covered * width * height:
                return box
        return Box(0, 0, width, height)

    def _attempt(self, draws: list[float], width: int, height: int) -> Box | None:
        # GenerateRandomCrop of TensorFlow's kernel; `round` is half-to-even there too (lrintf).
        for_ratio, for_height, for_top, for_left = draws
        ratio = self.ratio[0] + (self.ratio[1] - self.ratio[0]) * for_ratio
        least, most = self.area[0] * width * height, self.area[1] * width * height
        low, high = round(math.sqrt(least / ratio)), round(math.sqrt(most / ratio))
        if round(high * ratio) > width:
            high = int((width + 0.5 - 1e-7) / ratio)
        high = min(high, height)
        low = min(low, high)
        tall = low + int(for_height * (high - low + 1))
        # Rounding may leave the area just outside its range; one pixel of height mends it.
        if round(tall * ratio) * tall < least:
            tall += 1
        if round(tall * ratio) * tall > most:
            tall -= 1
        wide = round(tall * ratio)
        if not (least <= wide * tall <= most and 0 < wide <= width and 0 < tall <= height):
            return None
        return Box(int(for_left * (width - wide)), int(for_top * (height - tall)), wide, tall)


V1_CROP = RandomCrop(area=(0.08, 1.0), ratio=(3 / 4, 4 / 3), covered=0.1, attempts=10)
"""The crop of the V1 code. It asks for 10 % of the whole image as its "object", so 0.1, not 0.08, is the least area."""

V2_CROP = RandomCrop(area=(0.05, 1.0), ratio=(0.75, 1.33), covered=0.0, attempts=100)
"""The crop of the V2 code."""


def reduction(box: Box, size: int) -> int:
    """Return by how much (1, 2, 4 or 8) a JPEG may be decoded smaller while `box` keeps `size` pixels a side."""
    side = min(box.width, box.height)
    return next((n for n in _DCT_REDUCTIONS if side >= n * size), 1)


def aligned(box: Box, size: int, width: int, height: int) -> Box:
    """Return the box moved and resized to whole pixels of the reduced JPEG, by less than a pixel of the result.

    The result is then cut from the same place whether the JPEG was decoded smaller or not. The whole image stays it.

    Args:
        box: inside an image of `width` x `height` px.
        size: pixels of a side of the result.
        width, height: of the image.
    """
    n = reduction(box, size)
    if n == 1 or (box.width, box.height) == (width, height):
        return box
    sides = []
    for begin, length, whole in ((box.left, box.width, width), (box.top, box.height, height)):
        length = min(round(length / n), whole // n) * n
        sides.append((min(round(begin / n), (whole - length) // n) * n, length))
    (left, wide), (top, tall) = sides
    return Box(left, top, wide, tall)


def crop_resize(
    image: Image.Image | NDArray[np.uint8],
    box: Box,
    size: int,
    interpolation: Interpolation = "bicubic",
    *,
    of: tuple[int, int] | None = None,
) -> Image.Image:
    """Cut `box` out of `image` and resize it to `size` x `size` pixels, averaging over the pixels where it shrinks.

    torch resizes bytes five times as fast as Pillow; a value in a thousand differs from Pillow's by more than one.

    Args:
        image: RGB; of any size, as an image or as an array (height, width, 3); not changed.
        box: in pixels of the image that it was drawn for.
        size: pixels of a side of the result.
        interpolation: of the resize.
        of: width and height of the image that the box was drawn for, when `image` is a smaller decoding of it. The box
            is then rounded to whole pixels of the smaller one.

    Returns:
        A new RGB image.
    """
    width, height = image.size if isinstance(image, Image.Image) else image.shape[1::-1]
    left, top, right, bottom = _rescaled(box, of or (width, height), (width, height))
    if isinstance(image, Image.Image):
        part = np.array(image.crop((left, top, right, bottom)))
    else:
        part = image[top:bottom, left:right]
    planes = torch.from_numpy(part).permute(2, 0, 1)[None]  # (H, W, C) -> (1, C, H, W)
    resized = functional.interpolate(planes, (size, size), mode=interpolation, antialias=True)
    return Image.fromarray(resized[0].permute(1, 2, 0).contiguous().numpy())


def _rescaled(box: Box, full: tuple[int, int], actual: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the box's edges in whole pixels of the actual image, at least one pixel apart."""
    edges = []
    for begin, length, whole, side in zip((box.left, box.top), (box.width, box.height), full, actual, strict=True):
        n = round(whole / side)
        # A JPEG decoded n times smaller: one pixel is exactly n x n, and the last ones reach beyond the image. Dividing
        # by the ratio of the sizes would be off by up to a pixel at the right and the bottom.
        scale = 1 / n if n and side == math.ceil(whole / n) else side / whole
        first = min(round(begin * scale), side - 1)
        last = side if begin + length == whole else min(round((begin + length) * scale), side)
        edges.append((first, max(last, first + 1)))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom

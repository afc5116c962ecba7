"""What happens to one training image: crop, flip, policy, cutout, erasing.

    drawn = augmentation.draw(generator(seed, epoch, index), width, height, size)   # the header is enough
    image = decode_array(source, min_size=drawn.min_size)
    image = augmentation.apply(image, drawn)

All randomness is in the first line. A progressive schedule changes `size` and replaces the policy's magnitude; the
order of the steps is that of the official code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet.data import augment_ops
from effnet.data.augment_ops import Op
from effnet.data.crops import V1_CROP, Box, Interpolation, RandomCrop, aligned, crop_resize, reduction
from effnet.data.policies import AutoAugment, RandAugment
from effnet.errors import InputError

_ATTEMPTS = 10
"""Shapes tried for one erased rectangle before the image keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasing:
    """Random erasing (Zhong et al., arXiv 1708.04896), in the three modes of timm.

    timm erases after normalization, where the mean colour is 0 and noise is normal; this does the same to the pixels:
    mean + std * noise, cut off at black and white (about 3 % of the values).

    Args:
        probability: of erasing anything in an image.
        area: least and most share of the image that is erased, divided among the rectangles.
        aspect: least height / width of a rectangle; the most is its inverse, and its logarithm is uniform.
        mode: "const" fills with the mean colour, "rand" with one random colour, "pixel" with noise.
        count: most rectangles in an image; their number is uniform from 1.
        mean: mean colour, each channel on the scale 0..1, as in the network's preprocessing.
        std: standard deviation of the colour, likewise.

    Raises:
        InputError: a number is outside its range.
    """

    probability: float = 0.25
    area: tuple[float, float] = (0.02, 1 / 3)
    aspect: float = 0.3
    mode: Literal["const", "rand", "pixel"] = "pixel"
    count: int = 1
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _require_share("Erasing", probability=self.probability)
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise InputError(f"area {self.area}", where="Erasing", fix="give 0 < least <= most <= 1")
        if not 0 < self.aspect <= 1:
            raise InputError(f"aspect {self.aspect}", where="Erasing", fix="give the least height / width, up to 1")
        if self.mode not in ("const", "rand", "pixel"):
            raise InputError(f"mode {self.mode!r}", where="Erasing", fix="use const, rand or pixel")
        if self.count < 1:
            raise InputError(f"count {self.count}", where="Erasing", fix="allow at least one rectangle")

    def draw(self, rng: np.random.Generator, width: int, height: int) -> tuple[Patch, ...]:
        """Draw the rectangles to erase in an image of `width` x `height` pixels; mostly none."""
        if rng.random() >= self.probability:
            return ()
        count = 1 + int(rng.random() * self.count)
        patches = (self._patch(rng, width, height, count) for _ in range(count))
        return tuple(patch for patch in patches if patch is not None)

    def _patch(self, rng: np.random.Generator, width: int, height: int, count: int) -> Patch | None:
        steepest = -math.log(self.aspect)
        for _ in range(_ATTEMPTS):
            for_area, for_aspect, for_top, for_left = rng.random(4).tolist()
            area = (self.area[0] + (self.area[1] - self.area[0]) * for_area) * width * height / count
            aspect = math.exp(steepest * (2 * for_aspect - 1))
            tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < wide < width and 0 < tall < height:
                left, top = int(for_left * (width - wide + 1)), int(for_top * (height - tall + 1))
                return Patch(Box(left, top, wide, tall), int(rng.integers(2**63)))
        return None

    def apply(self, image: Image.Image, patches: tuple[Patch, ...]) -> Image.Image:
        """Erase the rectangles.

        Args:
            image: RGB; not changed.
            patches: what was drawn for an image of this size.

        Returns:
            An RGB image of the same size; `image` itself when there is nothing to erase.
        """
        if not patches:
            return image
        result = image.copy()
        for patch in patches:
            result.paste(self._fill(patch), patch.box.edges)
        return result

    def _fill(self, patch: Patch) -> Image.Image | tuple[int, ...]:
        shape = {"const": (), "rand": (3,), "pixel": (patch.box.height, patch.box.width, 3)}[self.mode]
        rng = np.random.Generator(np.random.Philox(key=patch.noise))
        noise = rng.standard_normal(shape, dtype=np.float32) if shape else np.float32(0)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        pixels = np.clip(np.rint((mean + std * noise) * 255), 0, 255).astype(np.uint8)
        return Image.fromarray(pixels) if self.mode == "pixel" else tuple(pixels.tolist())


@dataclass(frozen=True, slots=True)
class Patch:
    """One rectangle to erase, and the seed of the noise that fills it."""

    box: Box
    noise: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Everything that will happen to one image.

    Args:
        size: pixels of a side of the result.
        of: width and height of the image that was drawn for.
        box: the part of it that is used.
        flip: left and right change places.
        ops: of the policy and of cutout.
        patches: rectangles to erase.
    """

    size: int
    of: tuple[int, int]
    box: Box
    flip: bool
    ops: tuple[Op, ...]
    patches: tuple[Patch, ...]

    @property
    def min_size(self) -> int | None:
        """What `decode` may be told, so that a JPEG is decoded no larger than the box needs; None: decode it whole."""
        n = reduction(self.box, self.size)
        return min(self.of) // (2 * n) if n > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """The augmentation of training images; the defaults crop and flip.

    Args:
        crop: how the box is drawn; None resizes the whole image, changing its proportions, as the V2 code does when it
            fine-tunes.
        interpolation: of the resize.
        flip: probability of a horizontal flip; 0 where left and right have a meaning, as in digits.
        policy: RandAugment or AutoAugment, if any.
        cutout: half the side of a grey square at a random place, as a share of the image's side (DeVries and Taylor,
            arXiv 1708.04552); 0 is none, 0.25 is what the V2 code uses to fine-tune.
        erasing: random erasing, if any.

    Raises:
        InputError: a number is outside its range.
    """

    crop: RandomCrop | None = V1_CROP
    interpolation: Interpolation = "bicubic"
    flip: float = 0.5
    policy: RandAugment | AutoAugment | None = None
    cutout: float = 0.0
    erasing: Erasing | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _require_share("Augmentation", flip=self.flip, cutout=self.cutout)
        if self.interpolation not in ("bicubic", "bilinear"):
            raise InputError(
                f"interpolation {self.interpolation!r}", where="Augmentation", fix="use bicubic or bilinear"
            )

    def draw(self, rng: np.random.Generator, width: int, height: int, size: int) -> Drawn:
        """Draw what happens to one image.

        Args:
            rng: the numbers of this image in this epoch, `randomness.generator(seed, epoch, index)`.
            width: of the image, px, as it will be shown (after its EXIF orientation).
            height: likewise.
            size: pixels of a side of the result.

        Raises:
            InputError: the image or the result has no pixels.
        """
        if min(width, height, size) < 1:
            raise InputError(
                f"{width} x {height} px to {size} px", where="Augmentation", fix="give sizes of at least 1 px"
            )
        box = self.crop.draw(rng, width, height) if self.crop else Box(0, 0, width, height)
        box = aligned(box, size, width, height)
        for_flip, row, column = rng.random(3).tolist()
        ops = self.policy.draw(rng) if self.policy else ()
        if half := int(self.cutout * size):
            ops += (Op("Cutout", half, (row, column)),)
        patches = self.erasing.draw(rng, size, size) if self.erasing else ()
        return Drawn(size=size, of=(width, height), box=box, flip=for_flip < self.flip, ops=ops, patches=patches)

    def apply(self, image: Image.Image | NDArray[np.uint8], drawn: Drawn) -> Image.Image:
        """Carry out what was drawn.

        Args:
            image: RGB, as an image or as an array (height, width, 3), of the size drawn for or a smaller decoding of
                it; not changed.
            drawn: what `draw` returned.

        Returns:
            An RGB image of `drawn.size` x `drawn.size` pixels.

        Raises:
            InputError: the image is not RGB.
        """
        kind = f"mode {image.mode}" if isinstance(image, Image.Image) else f"an array of shape {image.shape}"
        if kind != "mode RGB" and not (isinstance(image, np.ndarray) and image.shape[2:] == (3,)):
            raise InputError(kind, where="Augmentation", fix="give RGB, as effnet.data.decode does")
        square = crop_resize(image, drawn.box, drawn.size, self.interpolation, of=drawn.of)
        if drawn.flip:
            square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        square = augment_ops.apply(square, drawn.ops)
        return self.erasing.apply(square, drawn.patches) if self.erasing else square


def _require_share(where: str, **numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 <= number <= 1:
            raise InputError(f"{name} {number}", where=where, fix="give a number from 0 to 1")

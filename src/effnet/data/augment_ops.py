"""The sixteen operations of AutoAugment and RandAugment, on Pillow images.

An operation is drawn first, as an `Op` (a name, an argument, a place), and applied later: what happens to an image is
a value that can be compared, stored and repeated. `OPERATIONS` is the table of them, with what a magnitude means.

Each operation is what Pillow calls by that name, for that is how AutoAugment (arXiv 1805.09501, Table 6) defines them;
the arguments are those of the official EfficientNet code (tensorflow/tpu `autoaugment.py`, google/automl the same).
That code redoes Pillow in TensorFlow. Where the two differ (measured against TensorFlow 2.12):

| operation | the official code | here |
| --- | --- | --- |
| equalize, invert, brightness, solarize-add, translate, cutout | Pillow's result | the same |
| rotate, shear | nearest pixel, shears about the first pixel's centre | the same, but for ties between pixels |
| auto-contrast, color, sharpness | Pillow's result but for rounding (1 level at factors to 2) | Pillow |
| posterize to 0 bits | keeps 1 bit: a shift by 8 is clamped to 7 | the same |
| posterize to over 8 bits | the shift wraps around: keeps 1 bit | leaves the image |
| solarize from 256 up | the threshold wraps around: 256 inverts all, 384 acts as 128 | leaves the image |
| contrast | blends with min(255, pixels / 256), a sum taken for a mean | blends with the mean grey |

The last three are accidents that depend on the magnitude or the size, and would make a progressive schedule jump.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from PIL import Image, ImageChops, ImageEnhance, ImageOps

from effnet.errors import InputError, UnknownNameError

FILL = (128, 128, 128)
"""What an operation puts where there is no image: mid grey, as in the official code."""

_MAX_MAGNITUDE = 10.0
"""The magnitude of which an argument is given below as "at L = 1"; more is allowed."""

_BITS = 8


@dataclass(frozen=True, slots=True)
class Op:
    """One drawn operation.

    Args:
        name: a key of `OPERATIONS`.
        value: its argument, in the unit that the table names; 0 where it takes none.
        at: for Cutout, the centre as shares of height and width, each in [0, 1).
    """

    name: str
    value: float = 0.0
    at: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Reach:
    """Pixels that the two operations measured in pixels reach at L = 1.

    Args:
        translate: shift of TranslateX and TranslateY.
        cutout: half the side of Cutout's square.
    """

    translate: float
    cutout: float


def autocontrast(image: Image.Image) -> Image.Image:
    """Stretch each channel so that its darkest value becomes 0 and its brightest 255."""
    return ImageOps.autocontrast(image)


def equalize(image: Image.Image) -> Image.Image:
    """Map each channel so that its values are spread evenly."""
    return ImageOps.equalize(image)


def invert(image: Image.Image) -> Image.Image:
    """Take every value from 255."""
    # ImageOps.invert does the same through a lookup table, ten times slower.
    return ImageChops.invert(image)


def rotate(image: Image.Image, degrees: float) -> Image.Image:
    """Turn counterclockwise about the centre."""
    return image.rotate(degrees, fillcolor=FILL)


def posterize(image: Image.Image, bits: int) -> Image.Image:
    """Keep the highest bits of each value: at least 1, and all from 8 up."""
    return image if bits >= _BITS else image.point(_posterized(max(bits, 1)))


def solarize(image: Image.Image, threshold: int) -> Image.Image:
    """Invert the values from `threshold` up."""
    return image if threshold >= 2**_BITS else image.point(_solarized(threshold))


def solarize_add(image: Image.Image, addition: int) -> Image.Image:
    """Add to the values below 128, up to 255."""
    return image.point(_added(min(addition, 2**_BITS - 1))) if addition else image


def color(image: Image.Image, factor: float) -> Image.Image:
    """Blend with the greys of the image: 0 is grey, 1 the image, more is more colourful."""
    return ImageEnhance.Color(image).enhance(factor)


def contrast(image: Image.Image, factor: float) -> Image.Image:
    """Blend with the mean grey of the image: 0 is flat, 1 the image, more is more contrast."""
    return ImageEnhance.Contrast(image).enhance(factor)


def brightness(image: Image.Image, factor: float) -> Image.Image:
    """Blend with black: 0 is black, 1 the image, more is brighter."""
    return ImageEnhance.Brightness(image).enhance(factor)


def sharpness(image: Image.Image, factor: float) -> Image.Image:
    """Blend with a smoothed image: 0 is smooth, 1 the image, more is sharper."""
    return ImageEnhance.Sharpness(image).enhance(factor)


def shear_x(image: Image.Image, slope: float) -> Image.Image:
    """Shift each row left by `slope` times its number, counted from the top."""
    # Pillow measures from the corner of the first pixel; half a slope back makes it the centre.
    return _affine(image, (1.0, slope, -slope / 2, 0.0, 1.0, 0.0))


def shear_y(image: Image.Image, slope: float) -> Image.Image:
    """Shift each column up by `slope` times its number, counted from the left."""
    return _affine(image, (1.0, 0.0, 0.0, slope, 1.0, -slope / 2))


def translate_x(image: Image.Image, pixels: float) -> Image.Image:
    """Shift left by the nearest whole number of pixels."""
    return _affine(image, (1.0, 0.0, pixels, 0.0, 1.0, 0.0))


def translate_y(image: Image.Image, pixels: float) -> Image.Image:
    """Shift up by the nearest whole number of pixels."""
    return _affine(image, (1.0, 0.0, 0.0, 0.0, 1.0, pixels))


def cutout(image: Image.Image, half: int, at: tuple[float, float]) -> Image.Image:
    """Fill a square of 2 * half pixels a side, the part of it that is inside the image.

    Args:
        image: RGB.
        half: half the side of the square, px.
        at: its centre as shares of height and width, each in [0, 1).
    """
    if half <= 0:
        return image
    row, column = int(at[0] * image.height), int(at[1] * image.width)
    result = image.copy()
    # Pillow clips the square to the image.
    result.paste(FILL, (column - half, row - half, column + half, row + half))
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of the table.

    Args:
        apply: carries out a drawn operation on an RGB image.
        argument: the argument at level L = magnitude / 10, which may exceed 1.
        signed: the argument is negated in half of the draws.
        meaning: the argument and its unit.
    """

    apply: Callable[[Image.Image, Op], Image.Image]
    argument: Callable[[float, Reach], float]
    signed: bool = False
    meaning: str


def _none(level: float, reach: Reach) -> float:
    return 0.0


def _factor(level: float, reach: Reach) -> float:
    return 0.1 + 1.8 * level


def _slope(level: float, reach: Reach) -> float:
    return 0.3 * level


def _shift(level: float, reach: Reach) -> float:
    return reach.translate * level


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "AutoContrast": Operation(apply=lambda i, op: autocontrast(i), argument=_none, meaning="nothing"),
        "Equalize": Operation(apply=lambda i, op: equalize(i), argument=_none, meaning="nothing"),
        "Invert": Operation(apply=lambda i, op: invert(i), argument=_none, meaning="nothing"),
        "Rotate": Operation(
            apply=lambda i, op: rotate(i, op.value),
            argument=lambda level, reach: 30.0 * level,
            signed=True,
            meaning="degrees",
        ),
        "Posterize": Operation(
            apply=lambda i, op: posterize(i, int(op.value)),
            argument=lambda level, reach: int(4 * level),
            meaning="bits kept: more magnitude is less change",
        ),
        "Solarize": Operation(
            apply=lambda i, op: solarize(i, int(op.value)),
            argument=lambda level, reach: int(256 * level),
            meaning="threshold of 0..256: more magnitude is less change",
        ),
        "Color": Operation(apply=lambda i, op: color(i, op.value), argument=_factor, meaning="blend factor, 1 is none"),
        "Contrast": Operation(
            apply=lambda i, op: contrast(i, op.value), argument=_factor, meaning="blend factor, 1 is none"
        ),
        "Brightness": Operation(
            apply=lambda i, op: brightness(i, op.value), argument=_factor, meaning="blend factor, 1 is none"
        ),
        "Sharpness": Operation(
            apply=lambda i, op: sharpness(i, op.value), argument=_factor, meaning="blend factor, 1 is none"
        ),
        "ShearX": Operation(
            apply=lambda i, op: shear_x(i, op.value), argument=_slope, signed=True, meaning="px to the side per row"
        ),
        "ShearY": Operation(
            apply=lambda i, op: shear_y(i, op.value), argument=_slope, signed=True, meaning="px up or down per column"
        ),
        "TranslateX": Operation(
            apply=lambda i, op: translate_x(i, op.value), argument=_shift, signed=True, meaning="px"
        ),
        "TranslateY": Operation(
            apply=lambda i, op: translate_y(i, op.value), argument=_shift, signed=True, meaning="px"
        ),
        "Cutout": Operation(
            apply=lambda i, op: cutout(i, int(op.value), op.at),
            argument=lambda level, reach: int(reach.cutout * level),
            meaning="px, half the side",
        ),
        "SolarizeAdd": Operation(
            apply=lambda i, op: solarize_add(i, int(op.value)),
            argument=lambda level, reach: int(110 * level),
            meaning="added to values below 128",
        ),
    }
)
"""Every operation by its official name, in the order in which RandAugment's code lists them."""


def operation(
    name: str, magnitude: float, reach: Reach, *, negative: bool = False, at: tuple[float, float] = (0.5, 0.5)
) -> Op:
    """Return the operation `name` at `magnitude`.

    Args:
        name: a key of `OPERATIONS`.
        magnitude: 0 or more; 10 is the scale's nominal end.
        reach: the pixels of the operations that are measured in pixels.
        negative: turn, shear or shift the other way; of no effect on operations without a sign.
        at: centre of Cutout, see `Op`.

    Raises:
        UnknownNameError: no operation has this name.
    """
    if name not in OPERATIONS:
        raise UnknownNameError.among("operation", name, OPERATIONS)
    row = OPERATIONS[name]
    value = row.argument(magnitude / _MAX_MAGNITUDE, reach)
    return Op(name, -value if negative and row.signed else value, at)


def apply(image: Image.Image, ops: tuple[Op, ...]) -> Image.Image:
    """Carry out drawn operations, first to last.

    Args:
        image: RGB; not changed.
        ops: what was drawn.

    Returns:
        An RGB image of the same size; `image` itself when nothing was to be done.

    Raises:
        InputError: the image is not RGB.
        UnknownNameError: no operation has a name in `ops`.
    """
    if image.mode != "RGB":
        raise InputError(f"image of mode {image.mode}", where="augmentation", fix="convert it to RGB first")
    for op in ops:
        if op.name not in OPERATIONS:
            raise UnknownNameError.among("operation", op.name, OPERATIONS)
        image = OPERATIONS[op.name].apply(image, op)
    return image


def _affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    # Six numbers that give the source (x, y) of each result pixel; the nearest pixel is taken.
    return image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=FILL)


# Lookup tables for the three channels, one after another; kept, for there are few and building one costs as much as
# applying it.


@functools.cache
def _posterized(bits: int) -> list[int]:
    mask = 2**_BITS - 2 ** (_BITS - bits)
    return [value & mask for value in range(2**_BITS)] * 3


@functools.cache
def _solarized(threshold: int) -> list[int]:
    return [value if value < threshold else 255 - value for value in range(2**_BITS)] * 3


@functools.cache
def _added(addition: int) -> list[int]:
    return [min(value + addition, 255) if value < 128 else value for value in range(2**_BITS)] * 3

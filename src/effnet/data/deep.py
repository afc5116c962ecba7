"""Images of more than 8 bits a value: grey made 8 bits, and how many of the bits a set of them uses."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

from effnet.data.source import Remark, counted

_FULL = 65535
"""The brightest value of 16 bits."""

_DARK = 1 << 13
_MANY = 0.1
"""Share of images without a value of `_DARK` or more that are hardly all photographs of the night."""

_MOST = 0.95
"""Share of the images whose range speaks for the set: a burnt-in letter or a hot pixel is as bright as can be."""


Tops = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Range:
    """How much of its 16 bits an image uses.

    Attributes:
        brightest: its largest value, of 65535.
        grey: whether `white` can scale it; of colour only the high bytes are read.
    """

    brightest: int
    grey: bool


def used_range(source: bytes | Path) -> Range | None:
    """Return how much of its bits a readable image of 16 bits uses; None for any other image.

    The image is decoded as it is, so `decode` must have found it sound before.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        tags = getattr(image, "tag_v2", {})
        bits = max(tags.get(BITSPERSAMPLE, (0,)), default=0)
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG")):
            return None if bits == 12 else Range(int(np.asarray(image).max(initial=0)), grey=True)
        if image.mode in ("I", "F"):  # signed, of 32 bits or floats: `to_grey` takes those up to 65535 for 16 bits
            largest = np.nan_to_num(np.asarray(image)).max(initial=0)
            return Range(int(largest), grey=True) if 255 < largest <= _FULL else None
        png = data[24] if image.format == "PNG" and len(data) > 24 else 0
        if image.mode in ("RGB", "RGBA", "LA") and 16 in (bits, png):
            colours = np.asarray(image)[..., : 1 if image.mode == "LA" else 3]
            return Range(256 * int(colours.max(initial=0)) + 255, grey=False)
    return None


def range_remarks(ranges: Sequence[Range], *, of_all: bool = True) -> Iterator[Remark]:
    """Yield what to say of a set whose 16-bit images use only some of the bits.

    Args:
        ranges: of its images of 16 bits.
        of_all: whether they are all of the set, not some that were looked at.
    """
    for grey in (True, False):
        tops = np.array([r.brightest for r in ranges if r.grey is grey], np.int64)
        if not tops.size or not tops.any():
            continue
        usual = int(np.sort(tops)[-1 - int((1 - _MOST) * len(tops))])
        bits = max(1, usual.bit_length())
        if bits >= 16:
            yield from _mixed(tops, of_all=of_all)
            continue
        white = (1 << bits) - 1
        within = int((tops <= white).sum())
        which = f"{counted(within, 'image')} of 16 bits" if of_all else f"{within} of {len(tops)} images looked at"
        levels = usual * 255 // _FULL + 1
        what = f"{which} use only values up to {usual} of {_FULL}: {counted(levels, 'grey level')} of 256 are left"
        if within < len(tops):
            what += f" ({len(tops) - within} reach more)"
        fix = f"train with --set white={white}, which the model keeps" if grey else "save them as 8 bits, scaled"
        yield Remark("warning" if bits < 15 else "note", "used_range", what, fix)


def _mixed(tops: Tops, *, of_all: bool) -> Iterator[Remark]:
    """Yield what to say where many images of a set of whole 16 bits reach no more than 13: no one white fits all."""
    dark = tops[(tops > 0) & (tops < _DARK)]
    if len(dark) < _MANY * len(tops):
        return
    seen = "" if of_all else " looked at"
    what = f"{len(dark)} of {counted(len(tops), 'image')} of 16 bits{seen} use only values up to {int(dark.max())}"
    fix = "scale those that hold 10 or 12 bits to 16 (times 64 or 16), or keep them in a set of their own"
    yield Remark("warning", "mixed_ranges", f"{what} of {_FULL}, the others more: they are nearly black", fix)


def to_grey(image: Image.Image, white: int | None) -> Image.Image:
    """Scale grey of 12, 16 or 32 bits, or of floats, to 8 bits: -> mode L, or LA with a transparent value.

    Pillow's own conversion clips at 255. The scale is that of the file's bits where it has a declared one (12 and 16
    bits). Signed, 32-bit and float values have none: white is the highest value of the narrowest of 8, 16 or 32 bits
    that holds the largest value, for floats of 0..1, 8 or 16 bits, or beyond that their own largest. Black is 0, or the
    smallest value where that is negative. NaN is 0. `white`, where it is given, is the brightest value of 16 bits, and
    of those others that 16 bits would be taken for.
    """
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image).reshape(-1)
    if image.mode == "I" and tags.get(SAMPLEFORMAT, (2,))[0] == 1:
        values = values.view(np.uint32)  # Pillow has no unsigned mode of 32 bits
    low, high = 0.0, float(_FULL)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):  # PPM: 16 bits, by its reader
        high = 4095.0 if tags.get(BITSPERSAMPLE, (16,))[0] == 12 else float(white or high)
    else:
        finite = values[np.isfinite(values)]
        low, largest = min(0.0, float(finite.min(initial=0))), float(finite.max(initial=0))
        scales = (1, 255, _FULL) if image.mode == "F" else (255, _FULL, 4294967295)
        high = float(next((scale for scale in scales if largest <= scale), largest))
        if white is not None and high in ((255, _FULL) if image.mode == "I" else (_FULL,)):
            high = float(white)
    grey = np.empty(values.shape, np.uint8)
    for start in range(0, values.size, 1 << 20):  # a megapixel at a time: doubles of a whole image would be large
        part = values[start : start + (1 << 20)].astype(np.float64)
        if image.mode == "F":
            part = np.nan_to_num(part, copy=False, posinf=high, neginf=low)
        if white is not None:
            np.minimum(part, high, out=part)
        grey[start : start + (1 << 20)] = ((part - low) * (255 / (high - low))).round()
    if tags.get(PHOTOMETRIC_INTERPRETATION) == 0:
        grey = 255 - grey  # zero is white
    result = Image.fromarray(grey.reshape(image.height, image.width))
    if isinstance(key := image.info.get("transparency"), int):
        alpha = np.where(values == key, 0, 255).astype(np.uint8)
        result.putalpha(Image.fromarray(alpha.reshape(image.height, image.width)))
    return result

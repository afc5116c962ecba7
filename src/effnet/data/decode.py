"""The one image decoder: training, prediction and the server read images through it and nothing else.

It sniffs the content (never the file name), allows six formats, limits bytes and pixels before decoding, and turns
every failure into one ImageError.
"""

from __future__ import annotations

import io
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from effnet.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What a file may ask for before it is decoded."""

    max_bytes: int = 64 << 20
    """Compressed size."""
    max_pixels: int = 100_000_000
    """Width times height: 100 megapixels, 300 MB as RGB."""


LIMITS = DecodeLimits()


def decode(source: bytes | Path, *, min_size: int | None = None, limits: DecodeLimits = LIMITS) -> Image.Image:
    """Return the image as 8-bit RGB: first frame, upright, alpha over white.

    Args:
        source: the file's bytes, or its path.
        min_size: lets a JPEG be decoded at 1/2, 1/4 or 1/8 of its size as long as both sides stay at least twice this
            many pixels; faster, and pixels differ slightly from a full decode.
        limits: what to refuse.

    Raises:
        ImageError: missing, empty, too large, not one of the six formats, damaged or truncated.
    """
    where = None if isinstance(source, bytes) else printable(source)
    data = source if isinstance(source, bytes) else _read(source, limits)
    if not data:
        raise ImageError("the file is empty", where=where, fix="replace the image")
    if len(data) > limits.max_bytes:
        raise ImageError(f"{len(data)} bytes, the limit is {limits.max_bytes}", where=where, fix="give a smaller file")
    try:
        return _decoded(data, min_size, limits)
    except ImageError as error:
        raise ImageError(error.what, where=where, fix=error.fix) from None
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise ImageError("not an image this reads", where=where, fix=f"convert it to one of {kinds}") from None
    except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files
        reason = str(error) or type(error).__name__
        raise ImageError(f"damaged image ({reason})", where=where, fix="replace the image") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image that Pillow has opened as `decode` would have: 8-bit RGB, upright, alpha over white.

    Raises:
        ImageError: its file is damaged or gone.
    """
    try:
        return _rgb(_upright(image))
    except Exception as error:  # an image that Pillow has not loaded yet is decoded here
        reason = str(error) or type(error).__name__
        raise ImageError(f"damaged image ({reason})", fix="replace the image") from None


def printable(path: Path) -> str:
    """Return the path as text that any terminal can print."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _read(path: Path, limits: DecodeLimits) -> bytes:
    where = printable(path)
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            # Opening a pipe or a device could wait for ever.
            raise ImageError("not a file", where=where, fix="give the path of an image")
        size = state.st_size
        if size > limits.max_bytes:
            raise ImageError(f"{size} bytes, the limit is {limits.max_bytes}", where=where, fix="give a smaller file")
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"cannot be read ({reason})", where=where, fix="check the path") from None


def _decoded(data: bytes, min_size: int | None, limits: DecodeLimits) -> Image.Image:
    image: Image.Image
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > limits.max_pixels:
            what = f"{width} x {height} pixels, the limit is {limits.max_pixels}"
            raise ImageError(what, fix="resize the image first")
        if min_size is not None and image.format == "JPEG":
            image.draft(None, (2 * min_size, 2 * min_size))
        image.load()
        return _rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # Damaged EXIF says nothing about the pixels: the image is used as it lies.
        return image.copy()


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image)
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        # White is what documents, logos and web pages are drawn for.
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits; Pillow's own conversion would clip at 255."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    if image.mode == "F":
        # Floats have no agreed range: what is inside 0..1 is taken as such, the rest is stretched.
        low, high = min(0.0, float(values.min())), max(1.0, float(values.max()))
    else:
        low, high = 0.0, 65535.0 if image.mode.startswith("I;16") else _full_scale(float(values.max()))
    scaled = (values - low) * (255 / (high - low))
    grey = scaled.clip(0, 255).round().astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _full_scale(largest: float) -> float:
    """Return the largest value of the narrowest unsigned integer that holds `largest`."""
    return next(float(2**bits - 1) for bits in (8, 16, 32, 64) if largest < 2**bits)

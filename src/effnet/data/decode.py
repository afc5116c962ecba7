"""The one image decoder: training, prediction and the server read images through it and nothing else.

It recognises nine formats by their content (never by the file's name), refuses what asks for too much before decoding
it, and turns every failure into one `ImageError`, which tells three things apart: a damaged image, one that asks for
too much (`the limit is`), and one that is sound and of a kind that is not read (`unsupported`). The result is a plain
8-bit RGB image without metadata. What it decides:

- an animation or a file of several pages gives its first picture; the EXIF orientation is applied;
- transparent pixels are shown over white, which documents, logos and web pages are drawn for;
- grey of more than 8 bits is scaled, not clipped; colour of 16 bits keeps its high byte, at most one level away from
  the rounded value; where 10, 12 or 14 bits lie in 16, as in X-rays, `white` says which value is the brightest;
- images of other bands than grey, colour and transparency are refused: no band is dropped in silence;
- colour profiles are ignored, as they were when the published networks were trained.

Pillow's global settings are never written, so that decoding in several threads, or inside another program, is safe.
One is obeyed: a program that sets `ImageFile.LOAD_TRUNCATED_IMAGES` gets truncated images. `Image.MAX_IMAGE_PIXELS`
adds nothing to `DecodeLimits` except that Pillow itself refuses WEBP, GIF and tiled TIFF over twice its value. About
damaged files Pillow may issue a `UserWarning`, and libtiff may write to the standard error stream.
"""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import (
    IMAGELENGTH,
    IMAGEWIDTH,
    TiffImageFile,
)
from PIL.WebPImagePlugin import WebPImageFile

from effnet.data.deep import to_grey
from effnet.data.recognition import HEAD, foreign_format, format_of, way_out
from effnet.data.tiff import require_known_bands, require_known_layout, unsupported_bands
from effnet.errors import EffnetError, ImageError, InputError

try:
    import simplejpeg
except ImportError:  # it has no wheel for every machine; nothing but speed is lost
    simplejpeg = None

_SMALLEST_DIRECT = 16
"""Pixels of the shorter side."""

_READERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "TIFF": TiffImageFile,
    "AVIF": AvifImageFile,
    "JPEG2000": Jpeg2KImageFile,
    "PPM": PpmImageFile,
}
"""What reads each format. Opening the reader itself keeps out Pillow's other forty formats, its global size check and
the import of all its plugins."""

WEB_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""What the server takes."""

_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
"""A JPEG marker that is followed by a segment, or ends the image."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation."""

_SIDEWAYS = tuple(_TURNS[orientation] for orientation in (5, 6, 7, 8))


def _require_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}", where=name, fix="give a whole number from 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What a file may ask for.

    Attributes:
        max_bytes: compressed size: 64 MiB.
        max_pixels: width times height: 2**27, enough for telephones of 108 megapixels. Decoding takes 8 bytes a pixel,
            10 to 24 with transparency, from floats, and in WEBP, AVIF, PNM and JPEG 2000: 1.1 GB, 3.2 at the worst.
        max_scans: passes over the pixels of a JPEG. Encoders write about ten; a scan of a hundred bytes can cost
            as much time as decoding the image.
        formats: that are read; a server leaves out those whose decoders are younger or slower.

    Raises:
        InputError: a limit is not a positive whole number, or a format is unknown.
    """

    max_bytes: int = 64 << 20
    max_pixels: int = 1 << 27
    max_scans: int = 100
    formats: tuple[str, ...] = tuple(_READERS)

    def __post_init__(self) -> None:
        """Refuse limits that no image can meet."""
        for name in ("max_bytes", "max_pixels", "max_scans"):
            _require_positive(name, getattr(self, name))
        if not self.formats or set(self.formats) - set(_READERS):
            raise InputError(f"formats {self.formats}", where="formats", fix=f"use some of {', '.join(_READERS)}")


LIMITS = DecodeLimits()

MinSize: TypeAlias = Callable[[int, int], int | None]


def decode(
    source: bytes | Path,
    *,
    min_size: int | MinSize | None = None,
    limits: DecodeLimits = LIMITS,
    white: int | None = None,
) -> Image.Image:
    """Return the image as 8-bit RGB: first frame, upright, transparency over white, no metadata.

    Args:
        source: the file's bytes, or its path.
        min_size: the pixels that the shorter side will be resized to; for a `Preprocess`, its `resize_to`. A JPEG is
            then decoded at 1/2, 1/4 or 1/8 of its size as long as both sides stay at least twice this long: faster,
            and with less memory. The factor of two keeps the result near that of a full decode; it is not equal.
            Other formats are decoded whole. It may be a function that is called for a JPEG with the image's width
            and height in pixels, upright, before it is decoded; it returns this number, or None for a whole decode.
        limits: what to refuse.
        white: the value of 16-bit grey that becomes white, for files in which 10, 12 or 14 bits lie in 16: a
            `Preprocess` has it; None: 65535. What is brighter is white too. Other images ignore it.

    Raises:
        ImageError: missing, unreadable, empty, too large, not one of the nine formats, of a kind that is not read,
            damaged or truncated.
        InputError: `min_size` is not a positive whole number.
    """
    decoded = _decode(source, min_size, limits, white)
    return decoded if isinstance(decoded, Image.Image) else Image.fromarray(decoded)


def decode_array(
    source: bytes | Path,
    *,
    min_size: int | MinSize | None = None,
    limits: DecodeLimits = LIMITS,
    white: int | None = None,
) -> NDArray[np.uint8]:
    """Return the same pixels as `decode`, as a new array (height, width, 3); JPEG takes a shorter way.

    Args:
        source, min_size, limits, white: as for `decode`.

    Raises:
        ImageError, InputError: as `decode` does.
    """
    decoded = _decode(source, min_size, limits, white)
    return np.array(decoded) if isinstance(decoded, Image.Image) else decoded


def to_rgb(image: Image.Image, *, white: int | None = None) -> Image.Image:
    """Return a new image: one that Pillow has opened, converted as `decode` does.

    Raises:
        ImageError: its file is damaged or gone.
    """
    try:
        return _plain(image, white)
    except Exception as error:  # an image that Pillow has not loaded yet is decoded here
        what, fix = _explained(error)
    raise ImageError(what, where="image", fix=fix)


def printable(path: Path) -> str:
    """Return the path with what could confuse or command a terminal (control characters, broken UTF-8) escaped."""
    return _escaped(str(path))


def _decode(
    source: bytes | Path, min_size: int | MinSize | None, limits: DecodeLimits, white: int | None
) -> Image.Image | NDArray[np.uint8]:
    if min_size is not None and not callable(min_size):
        _require_positive("min_size", min_size)
    if white is not None:
        _require_positive("white", white)
    try:
        return _decoded(source, min_size, limits, white)
    except Exception as error:  # Pillow's readers raise a dozen kinds on damaged files
        what, fix = _explained(error)
    # Raised outside the handler: an error that is kept would keep the file's bytes alive through its context.
    raise ImageError(what, where="image data" if isinstance(source, bytes) else printable(source), fix=fix)


def _decoded(
    source: bytes | Path, min_size: int | MinSize | None, limits: DecodeLimits, white: int | None
) -> Image.Image | NDArray[np.uint8]:
    data = source if isinstance(source, bytes) else _read(source, limits)
    if not data:
        raise ImageError("the file is empty", fix="replace the image")
    if len(data) > limits.max_bytes:
        raise _too_large(f"{len(data)} bytes", limits.max_bytes)
    with _opened(data, limits) as image:
        if image.width * image.height > limits.max_pixels:
            raise _too_large(f"{image.width} x {image.height} pixels", limits.max_pixels)
        if isinstance(image, JpegImageFile):
            # Counting two bytes is quick and rarely wrong; thumbnails and appended videos make it count too much.
            if data.count(b"\xff\xda") > limits.max_scans and _scans(data) > limits.max_scans:
                raise ImageError(f"more than {limits.max_scans} scans", fix="save the image again")
            if callable(min_size):
                min_size = min_size(*(reversed(image.size) if _turn(image) in _SIDEWAYS else image.size))
            if min_size is not None:
                image.draft(None, (2 * min_size, 2 * min_size))
            if _turn(image) is None and (pixels := _directly(data, image)) is not None:
                return pixels
        elif isinstance(image, TiffImageFile):
            require_known_bands(image.tag_v2)
            if not _complete(image):
                raise ImageError("damaged image (pixels are missing)", fix="replace the image")
            try:
                return _plain(image, white)
            except OSError:
                require_known_layout(data)
                raise
        return _plain(image, white)


def _directly(data: bytes, image: JpegImageFile) -> NDArray[np.uint8] | None:
    """Return the pixels of an opened JPEG without Pillow's copies, or None where only its own way will do.

    simplejpeg calls the same libjpeg-turbo with the same settings, so the pixels are the same. Anything not quite
    sound is left to Pillow, which decides whether it can be used.
    """
    # Of smaller images, two reductions can have the same size.
    if simplejpeg is None or image.mode != "RGB" or min(image.size) < _SMALLEST_DIRECT:
        return None
    width, height = image.size  # as reduced by `draft`
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, min_height=height, min_width=width, min_factor=1)
    except ValueError:
        return None
    return pixels if pixels.shape == (height, width, 3) else None


def _read(path: Path, limits: DecodeLimits) -> bytes:
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            # Opening a pipe or a device could wait for ever.
            raise ImageError("not a file", fix="give the path of an image")
        if state.st_size > limits.max_bytes:
            raise _too_large(f"{state.st_size} bytes", limits.max_bytes)
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"cannot be read ({reason})", fix="check the path") from error


def _opened(data: bytes, limits: DecodeLimits) -> ImageFile.ImageFile:
    """Return the image, its pixels not decoded yet."""
    kind = format_of(data)
    if kind is None or kind not in limits.formats:
        strange = kind or foreign_format(data)
        if strange is not None:
            raise ImageError(f"not an image this reads ({strange})", fix=way_out(strange))
        raise ImageError("not an image this reads", fix=f"convert it to one of {', '.join(limits.formats)}")
    try:
        return _READERS[kind](io.BytesIO(data))
    except Exception:
        if kind == "TIFF":
            require_known_layout(data)
        header = re.search(rb"ihdr.{8}(..)", data[:HEAD], re.DOTALL) if kind == "JPEG2000" else None
        if header and (bands := int.from_bytes(header[1], "big")) > 4:
            raise unsupported_bands("JPEG2000", bands) from None
        raise


def _scans(data: bytes) -> int:
    """Count the scans of a JPEG up to its end, skipping the segments between them."""
    scans, place = 0, 2
    while (marker := _MARKER.search(data, place)) and marker[1] != b"\xd9":
        scans += marker[1] == b"\xda"
        place = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return scans


def _complete(image: TiffImageFile) -> bool:
    """Whether the strips or tiles reach the last row and column; Pillow leaves black what none covers."""
    extents = [tile.extents for tile in image.tile if tile.extents]
    width, height = int(image.tag_v2[IMAGEWIDTH]), int(image.tag_v2[IMAGELENGTH])
    return any(edge[2] >= width for edge in extents) and any(edge[3] >= height for edge in extents)


def _explained(error: Exception) -> tuple[str, str | None]:
    """Return what is wrong and how to fix it."""
    if isinstance(error, EffnetError):
        return error.what, error.fix
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "more pixels than Pillow allows", "resize the image first"
    if isinstance(error, MemoryError):
        return "too large for this machine's memory", "give a smaller image"
    reason = _escaped(" ".join(str(error).split()))[:200] or type(error).__name__
    if _UNSUPPORTED.search(reason):
        return f"unsupported image ({reason})", "save it as 8-bit PNG or JPEG"
    return f"damaged image ({reason})", "replace the image, or save it again as PNG or JPEG"


_UNSUPPORTED = re.compile(
    r"cannot handle \d+-(?:bit|layer)|unknown (?:pixel|raw|data) mode|[Uu]nsupported|not supported|not implemented"
    r"|not available|support not installed|unable to determine J2K image mode"
)
"""What Pillow's readers say of sound files of a kind that they do not read."""


def _too_large(what: str, limit: int) -> ImageError:
    return ImageError(f"{what}, the limit is {limit}", fix="give a smaller image")


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _plain(image: Image.Image, white: int | None) -> Image.Image:
    """Return a new RGB image of an opened one, upright and opaque."""
    image.load()
    turn = _turn(image)
    opened = image
    if image.mode.startswith("I") or image.mode == "F":
        image = to_grey(image, white)
    if turn is not None:
        image = image.transpose(turn)
    if image.has_transparency_data:
        image = _over_white(image)
    elif image is opened or image.mode != "RGB":
        image = image.convert("RGB")  # a copy where it is RGB already: the opened image holds its file
    image.info = {}
    return image


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return None  # damaged metadata says nothing about the pixels: they are used as they lie


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # The transparent colour of a 16-bit PNG, whose pixels Pillow has reduced to their high bytes.
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    rgba = image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba)
    return white

"""What a TIFF may hold and is not read, told from damage and from what is read."""

from __future__ import annotations

import io

from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COMPRESSION,
    EXTRASAMPLES,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    ImageFileDirectory_v2,
)

from effnet.data.source import counted
from effnet.errors import ImageError

_BANDS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Bands of colour, by a TIFF's photometric interpretation."""

_ALPHA = (1, 2)
"""Values of a TIFF's ExtraSamples that mean transparency."""

_COMPRESSIONS = {34712: "JPEG 2000", 34887: "LERC", 50001: "WEBP", 50002: "JPEG XL", 50000: "Zstandard", 34661: "JBIG"}


def require_known_layout(data: bytes) -> None:
    """Raise what is unsupported of a TIFF that Pillow did not open; return where it is none of that."""
    try:
        tags = ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        compression = int(tags.get(COMPRESSION, 1))
        bits, kinds = tags.get(BITSPERSAMPLE, (1,)), tags.get(SAMPLEFORMAT, (1,))
    except Exception:
        return  # it is damaged
    require_known_bands(tags)
    if compression in _COMPRESSIONS:
        what = f"unsupported TIFF (compressed with {_COMPRESSIONS[compression]})"
        raise ImageError(what, fix="save it without compression, or as PNG")
    if bits[0] not in (1, 2, 4, 8, 12, 16) or kinds[0] != 1:
        kind = {1: "whole numbers", 2: "signed numbers", 3: "floats"}.get(kinds[0], "complex numbers")
        what = f"unsupported TIFF ({counted(int(tags.get(SAMPLESPERPIXEL, 1)), 'band')} of {bits[0]}-bit {kind})"
        raise ImageError(what, fix="save it as 8 or 16-bit whole numbers, or one band of 32-bit floats")


def require_known_bands(tags: ImageFileDirectory_v2) -> None:
    """Refuse a TIFF with bands that would be dropped: near infrared as a fourth, thirteen of a satellite."""
    bands = int(tags.get(SAMPLESPERPIXEL, 1))
    extra = tags.get(EXTRASAMPLES, ())
    colours = _BANDS.get(int(tags.get(PHOTOMETRIC_INTERPRETATION, 1)))
    # Many programs write transparency without saying that it is, so one band that nothing is said of is taken for it.
    alphas = min(1, sum(value in _ALPHA for value in extra)) if extra else 1
    if colours is not None and bands > colours + alphas:
        raise unsupported_bands("TIFF", bands)


def unsupported_bands(kind: str, bands: int) -> ImageError:
    """Return the error of an image with more bands than are read."""
    what = f"unsupported {kind} ({bands} bands; grey, colour and transparency are read)"
    return ImageError(what, fix="save three of its bands as an image of their own")

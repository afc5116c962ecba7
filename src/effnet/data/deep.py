"""Grey of more than 8 bits a pixel, made 8 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT


def to_grey(image: Image.Image, white: int | None) -> Image.Image:
    """Scale grey of 12, 16 or 32 bits, or of floats, to 8 bits: -> mode L, or LA with a transparent value.

    Pillow's own conversion clips at 255. The scale is that of the file's bits where it has a declared one (12 and 16
    bits). Signed, 32-bit and float values have none: white is the highest value of the narrowest of 8, 16 or 32 bits
    that holds the largest value, for floats of 0..1, 8 or 16 bits, or beyond that their own largest. Black is 0, or the
    smallest value where that is negative. NaN is 0. `white`, where it is given, is the brightest value of 16 bits.
    """
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image).reshape(-1)
    if image.mode == "I" and tags.get(SAMPLEFORMAT, (2,))[0] == 1:
        values = values.view(np.uint32)  # Pillow has no unsigned mode of 32 bits
    low, high = 0.0, 65535.0
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):  # PPM: 16 bits, by its reader
        high = 4095.0 if tags.get(BITSPERSAMPLE, (16,))[0] == 12 else float(white or high)
    else:
        finite = values[np.isfinite(values)]
        low, largest = min(0.0, float(finite.min(initial=0))), float(finite.max(initial=0))
        scales = (1, 255, 65535) if image.mode == "F" else (255, 65535, 4294967295)
        high = float(next((scale for scale in scales if largest <= scale), largest))
        if white is not None and high == 65535 and not low:
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

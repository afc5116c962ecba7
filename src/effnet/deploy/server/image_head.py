"""How large an image says it is, before anything decodes it: a look at some bytes, in the server's own process.

Nothing is believed here but for estimates: what a wrong head costs, the decoder's limits bound.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MOST_SEGMENTS = 1000
"""Segments of a JPEG, entries of a TIFF and files of a form that are looked at."""

_FREE_SCANS = 10
"""Passes of a progressive JPEG that one encoder or another makes; what is more is work again."""

_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


@dataclass(frozen=True, slots=True)
class ImageHead:
    """What an image says of itself: its format ("" if none is known) and the work of decoding it, in pixels."""

    kind: str = ""
    pixels: int = 0


NOTHING = ImageHead()

ORDINARY = 1 << 21
"""Pixels up to which images are not told apart: most are smaller, and cost little but what every request costs."""

_FIRST, _LEAST, _MOST = 1e-8, 1e-9, 5e-8
"""Seconds to decode a pixel: until it is measured, and the bounds of what is believed."""

_WEIGHT, _MOST_TIMES = 0.1, 3.0
"""Of a measurement in the mean, and how many times the mean it counts at most."""


class DecodingCost:
    """What decoding large images takes, by their format; learnt from those that were decoded."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def work(self, head: ImageHead) -> float:
        """Return the seconds expected beyond those for an ordinary image, 0 for one that is."""
        return max(0, head.pixels - ORDINARY) * self._seconds.get(head.kind, _FIRST)

    def learn(self, head: ImageHead, seconds: float) -> None:
        """Take in what decoding an image took."""
        if head.pixels > ORDINARY:
            mean = self._seconds.get(head.kind, _FIRST)
            value = min(seconds / head.pixels, _MOST, _MOST_TIMES * mean)
            self._seconds[head.kind] = max(_LEAST, mean + _WEIGHT * (value - mean))


def image_head(body: bytes, *, form: bool = False) -> ImageHead:
    """Return what the image in a request's body says of itself.

    Args:
        body: an image, or a form that holds one.
        form: whether it is a form; of several files the largest image counts.
    """
    if not form:
        return _head(body, 0)
    largest, place = NOTHING, 0
    for _ in range(_MOST_SEGMENTS):
        place = body.find(b"filename", place)
        start = body.find(b"\r\n\r\n", place) if place >= 0 else -1
        if start < 0:
            break
        largest = max(largest, _head(body, start + 4), key=lambda head: head.pixels)
        place = start + 4
    return largest


def _head(body: bytes, start: int) -> ImageHead:
    try:
        if body.startswith(b"\xff\xd8\xff", start):
            return ImageHead("JPEG", _jpeg(body, start + 2))
        if body.startswith(b"\x89PNG\r\n\x1a\n", start):
            return ImageHead("PNG", _product(struct.unpack_from(">II", body, start + 16)))
        if body.startswith((b"GIF87a", b"GIF89a"), start):
            return ImageHead("GIF", _product(struct.unpack_from("<HH", body, start + 6)))
        if body.startswith(b"RIFF", start) and body.startswith(b"WEBP", start + 8):
            return ImageHead("WEBP", _webp(body, start + 12))
        if body.startswith(b"BM", start):
            return ImageHead("BMP", _bmp(body, start))
        if body.startswith((b"II", b"MM"), start):
            return ImageHead("TIFF", _tiff(body, start))
    except struct.error:  # it ends too early
        pass
    return NOTHING


def _product(sides: tuple[int, ...]) -> int:
    width, height = sides
    return abs(width * height)


def _jpeg(body: bytes, place: int) -> int:
    for _ in range(_MOST_SEGMENTS):
        place = body.find(b"\xff", place) + 1
        if place == 0 or place >= len(body):
            return 0
        marker = body[place]
        if marker in (0x00, 0xFF) or marker in _WITHOUT_LENGTH:
            continue
        length, _bits, height, width = struct.unpack_from(">HBHH", body, place + 1)
        if marker in _FRAMES:
            pixels = int(width * height)
            return pixels * max(1, body.count(b"\xff\xda") // _FREE_SCANS) if marker in _PROGRESSIVE else pixels
        place += 1 + length
    return 0


def _webp(body: bytes, place: int) -> int:
    kind = body[place : place + 4]
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[place + at : place + at + 3], "little") + 1 for at in (12, 15))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, place + 9)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, place + 14))
    return int(width * height)


def _bmp(body: bytes, start: int) -> int:
    (size,) = struct.unpack_from("<I", body, start + 14)
    return _product(struct.unpack_from("<HH" if size == 12 else "<ii", body, start + 18))


def _tiff(body: bytes, start: int) -> int:
    order = "<" if body[start] == 0x49 else ">"
    if struct.unpack_from(order + "H", body, start + 2)[0] == 43:
        place, count, entry, size = struct.unpack_from(order + "Q", body, start + 8)[0], "Q", "HHQQ", 20
    else:
        place, count, entry, size = struct.unpack_from(order + "I", body, start + 4)[0], "H", "HHII", 12
    (entries,) = struct.unpack_from(order + count, body, start + place)
    place += start + struct.calcsize(order + count)
    sides = {}
    for number in range(min(entries, _MOST_SEGMENTS)):
        tag, kind, _many, value = struct.unpack_from(order + entry, body, place + number * size)
        if tag in (256, 257):
            if kind == 3:  # 16 bits, at the value's beginning
                (value,) = struct.unpack_from(
                    order + "H", body, place + number * size + size - (8 if size == 20 else 4)
                )
            sides[tag] = int(value)
    return sides.get(256, 0) * sides.get(257, 0)

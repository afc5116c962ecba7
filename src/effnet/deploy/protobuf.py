"""The fields of a protobuf message, one level deep, without a protobuf library.

Enough to find a few texts in a file of hundreds of megabytes: values that nobody asked for are skipped, not read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MAX_VARINT = 10
_MAX_TEXT = 1 << 26


class ProtobufError(ValueError):
    """These bytes are not a protobuf message."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        number: which field.
        start, stop: where it lies in the message, its tag included.
        value: content of a length-delimited field that was asked for; None otherwise.
    """

    number: int
    start: int
    stop: int
    value: bytes | None


def fields(message: bytes) -> Iterator[Field]:
    """Return the fields of a small message, every length-delimited one with its content.

    Raises:
        ProtobufError: it is no message.
    """
    return length_delimited(io.BytesIO(message), wanted=None)


def length_delimited(file: BinaryIO, *, wanted: int | None) -> Iterator[Field]:
    """Return the fields of a message that fills a file; only field `wanted` (None: each) is read.

    Raises:
        ProtobufError: it is no message.
    """
    size = file.seek(0, io.SEEK_END)
    place = file.seek(0)
    while place < size:
        start = place
        tag, place = _varint(file, place)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise ProtobufError(f"field 0 at byte {start}")
        value = None
        if kind == 0:
            _, place = _varint(file, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _varint(file, place)
            if place + length > size:
                raise ProtobufError(f"cut off: field {number} at byte {start} needs {length} bytes")
            if wanted in (None, number):
                if length > _MAX_TEXT:
                    raise ProtobufError(f"field {number} at byte {start} has {length} bytes")
                value = file.read(length)
            place += length
        else:
            raise ProtobufError(f"wire type {kind} at byte {start}")
        if place > size:
            raise ProtobufError(f"cut off in field {number} at byte {start}")
        file.seek(place)
        yield Field(number, start, place, value)


def values(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Return (field, value) of each field of a message in memory, nothing copied; fixed-width values as 0.

    Raises:
        ProtobufError: it is no message.
    """
    place, size = 0, len(message)
    while place < size:
        tag, place = _number(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _number(message, place)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, place = _number(message, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ProtobufError(f"wire type {kind}")
        if place + length > size:
            raise ProtobufError(f"cut off: field {tag >> 3} needs {length} bytes")
        yield tag >> 3, message[place : place + length] if kind == 2 else 0
        place += length


def _number(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT):
        if place >= len(message):
            raise ProtobufError(f"cut off at byte {place}")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, place
    raise ProtobufError(f"a number without end at byte {place}")


def _varint(file: BinaryIO, place: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT):
        byte = file.read(1)
        if not byte:
            raise ProtobufError(f"cut off at byte {place}")
        value |= (byte[0] & 0x7F) << 7 * index
        place += 1
        if not byte[0] & 0x80:
            return value, place
    raise ProtobufError(f"a number without end at byte {place}")

"""The child process in which a client's bytes are looked into: `python -m effnet.deploy.server.decoder FD`.

Image decoders have bugs and images can be crafted, so decoding, and taking multipart apart, happens where it can be
killed: with bounded memory and processor time, and, once it is ready, without the right to open, make or remove a file,
make a connection, start a program or a process, or signal or look into another one (`confinement`; where the system
cannot take that away, limits keep it from files and connections only). It reads requests from a socket and writes
pixels back; it knows no network and no torch.

A request is a head of two lengths, JSON (`content_type`, `preprocess` and limits) and the bytes of the body. A reply is
a head of a status byte and a length, then a shape and pixels, uint8, or JSON with what is wrong.
"""

from __future__ import annotations

import functools
import gc
import io
import json
import os
import resource
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet.data.decode import WEB_FORMATS, DecodeLimits, decode
from effnet.data.preprocess import to_pixels
from effnet.deploy.server.confinement import die_with_parent, forbid_calls, forbid_new_rights
from effnet.deploy.server.multipart import MultipartError, image_part
from effnet.errors import EffnetError
from effnet.preprocessing import Preprocess

REQUEST = struct.Struct("!IQ")
"""Bytes of JSON, bytes of body."""

REPLY = struct.Struct("!BI")
"""Status, bytes that follow."""

SHAPE = struct.Struct("!III")
"""Height, width and channels of pixels."""

READY, PIXELS, BAD_IMAGE, BAD_FORM = range(4)
"""Statuses of a reply. READY is sent once, when the limits stand."""

IN_TICKS, EXACT = 0, 2
"""Two ways in which Linux counts the processor time of a process."""

_LONGEST = 1024
"""Pixels of the longer side of an image to look at."""

_WARM = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def main(descriptor: int, memory: int, seconds: float) -> None:
    """Serve requests until the other end closes.

    Args:
        descriptor: of a connected stream socket.
        memory: bytes that may be taken in addition to what is in use when ready.
        seconds: of processor time that one request may take, rounded up.
    """
    with socket.socket(fileno=descriptor) as connection:
        die_with_parent()
        _warm_up()
        _forbid(memory)
        connection.sendall(REPLY.pack(READY, 0))
        while (head := _read(connection, REQUEST.size)) is not None:
            about, body = REQUEST.unpack(head)
            options, data = _read(connection, about), _read(connection, body)
            if options is None or data is None:
                return
            _allow_processor(seconds)
            status, answer = _answer(_options(options), data)
            del data
            _write(connection, [REPLY.pack(status, sum(map(len, answer))), *answer])


def processor_clock(process: int, kind: int) -> int:
    """Return what Linux calls the clock of a process's time, for `time.clock_gettime`; see clock_getcpuclockid(3).

    Args:
        process: its number; 0: this one.
        kind: IN_TICKS or EXACT.
    """
    return (~process << 3) | kind


def _answer(options: _Options, body: bytes) -> tuple[int, tuple[bytes | memoryview, ...]]:
    try:
        if options.content_type is not None:
            body = image_part(options.content_type, body)
        white = None if options.preprocess is None else options.preprocess.white
        pixels = _pixels(decode(body, limits=options.limits, white=white), options.preprocess)
    except MultipartError as error:
        return BAD_FORM, _complaint(error.what, error.fix)
    except MemoryError:
        gc.collect()
        return BAD_IMAGE, _complaint("decoding takes too much memory", "give a smaller image")
    except EffnetError as error:
        return BAD_IMAGE, _complaint(error.what, error.fix)
    return PIXELS, (SHAPE.pack(*pixels.shape), np.ascontiguousarray(pixels).reshape(-1).data)


def _pixels(image: Image.Image, preprocess: Preprocess | None) -> NDArray[np.uint8]:
    if preprocess is not None:
        return to_pixels(image, preprocess)
    image.thumbnail((_LONGEST, _LONGEST))
    return np.asarray(image)


def _complaint(what: str, fix: str | None) -> tuple[bytes]:
    return (json.dumps({"what": what, "fix": fix}).encode(),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    content_type: str | None
    preprocess: Preprocess | None
    limits: DecodeLimits


@functools.lru_cache(maxsize=8)
def _options(text: bytes) -> _Options:
    given = json.loads(text)
    preprocess = given["preprocess"]
    return _Options(
        content_type=given["content_type"],
        preprocess=None if preprocess is None else Preprocess.from_dict(preprocess),
        limits=DecodeLimits(max_bytes=given["max_bytes"], max_pixels=given["max_pixels"], formats=WEB_FORMATS),
    )


def _read(connection: socket.socket, size: int) -> bytes | None:
    """Return exactly `size` bytes, or None when the other end has closed."""
    data = connection.recv(size, socket.MSG_WAITALL) if size else b""
    return data if len(data) == size else None


def _write(connection: socket.socket, parts: list[bytes | memoryview]) -> None:
    """Send all parts, at once: the parent wakes up once."""
    sent = connection.sendmsg(parts)
    if sent < sum(map(len, parts)):  # a signal came
        connection.sendall(b"".join(parts)[sent:])


def _warm_up() -> None:
    """Decode one image of each format, so that whatever loads late is loaded before files cannot be opened any more."""
    for kind in _WARM:
        data = io.BytesIO()
        Image.new("RGB", (32, 24), "red").save(data, kind)
        to_pixels(decode(data.getvalue()), Preprocess(size=16))
    deep = io.BytesIO()
    Image.new("I;16", (32, 24)).save(deep, "PNG")
    decode(deep.getvalue())


def _forbid(memory: int) -> None:
    """Bound memory; forbid new files, connections, processes, written bytes and core dumps."""
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere what is in use is not known, and the limit would be a guess
        _lower(resource.RLIMIT_AS, int(statm.read_bytes().split()[0]) * resource.getpagesize() + memory)
    _lower(resource.RLIMIT_NOFILE, 0)  # what is open stays open
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)
    if not forbid_calls():
        forbid_new_rights()
        _lower(resource.RLIMIT_NPROC, 0)  # threads too, and nothing at all for root: the filter says it better


def _lower(kind: int, value: int) -> None:
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _allow_processor(seconds: float) -> None:
    """Let the system kill this process when the next request has used so much processor time."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(_limited_seconds() + seconds) + 1, hard))


def _limited_seconds() -> float:
    """Return the processor time used so far as RLIMIT_CPU counts it.

    Linux counts it in ticks of the clock, which in a child that is interrupted often run ahead of `process_time` by one
    second in a hundred: after some ten thousand images a limit set by that would kill it for nothing.
    """
    try:
        return time.clock_gettime(processor_clock(0, IN_TICKS))
    except OSError:  # another system
        return time.process_time()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    except (KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        os._exit(0)

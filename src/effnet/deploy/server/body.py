"""Reading a request's body, bounded in size, time, speed and number of pieces."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from effnet.deploy.server.request_error import RequestError, cut
from effnet.deploy.server.settings import ServerSettings

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

_FREE_PIECES, _PIECE = 256, 512
"""Pieces that any body may come in, and the mean size in bytes of those beyond: each costs as much as a request."""

_DRAINED_BYTES, _DRAINED_SECONDS = 1 << 20, 1.0


class Budget:
    """Bytes of all bodies that are in memory together."""

    def __init__(self, most: int) -> None:
        self.used = 0
        self._most = most

    def take(self, count: int) -> None:
        """Count bytes in; raises RequestError 503 when there is no room."""
        if self.used + count > self._most:
            raise RequestError(503, "too many uploads at once", fix="try again later", headers={"Retry-After": "2"})
        self.used += count

    def give(self, count: int) -> None:
        """Count bytes out."""
        self.used -= count


def check_length(value: str | None, most: int) -> None:
    """Refuse a Content-Length that is none, or that is too much, before anything is read.

    Raises:
        RequestError: 400 when it is no number, 413 when it is over `most`.
    """
    if value is None:
        return
    if not (value.isascii() and value.isdigit()):
        raise RequestError(400, "Content-Length is not a number", fix="send the number of bytes")
    if int(value[:20]) > most:
        raise too_large(most)


def too_large(most: int) -> RequestError:
    """Return the refusal of a body over `most` bytes."""
    return RequestError(413, f"the body is larger than {most} bytes", fix="send a smaller image")


async def read_body(receive: Receive, settings: ServerSettings, budget: Budget) -> bytes:
    """Return the whole body; the caller gives its length back to the budget.

    Raises:
        RequestError: 400 when the client stops in the middle, or sends it in too small pieces; 408 when it is too slow;
            413 when it is too large; 503 when too much is being received.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    pieces: list[bytes] = []
    size = count = 0
    try:
        async with asyncio.timeout_at(began + seconds_allowed(0, settings)) as patience:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise cut()
                piece = message.get("body", b"")
                if size + len(piece) > settings.max_bytes:
                    raise too_large(settings.max_bytes)
                budget.take(len(piece))
                size += len(piece)
                count += 1
                if count > _FREE_PIECES + size // _PIECE:
                    raise RequestError(400, "the body comes in too small pieces", fix="send larger chunks")
                pieces.append(piece)
                if not message.get("more_body", False):
                    return b"".join(pieces)
                patience.reschedule(began + seconds_allowed(size, settings))
    except BaseException as error:
        budget.give(size)
        if isinstance(error, TimeoutError):
            raise RequestError(408, "the body comes too slowly", fix="send it faster") from None
        raise


def seconds_allowed(received: int, settings: ServerSettings) -> float:
    """Return how long after its start a body may wait for its next byte: a slow one not as long as a whole one."""
    return min(settings.body_seconds, settings.body_grace + received / settings.body_rate)


async def drain(receive: Receive) -> None:
    """Take in what a refused client is still sending, within narrow bounds.

    A connection that is closed with unread bytes is reset, and the client may never see why it was refused.
    """
    taken = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAINED_SECONDS):
            while taken < _DRAINED_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return

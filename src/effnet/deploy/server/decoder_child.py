"""One decoding child as its parent sees it: a process, the socket to it, and a watch for each exchange."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from effnet.deploy.server import decoder
from effnet.deploy.server.confinement import is_filtered
from effnet.deploy.server.request_error import RequestError, too_heavy, too_late
from effnet.errors import EffnetError

_BUFFER = 1 << 20
"""Bytes that may lie in a socket, as far as the system allows: the fewer pieces, the fewer wakings."""

START_SECONDS = 30.0
"""For a child to load its modules."""

_PATIENCE = 4
"""Times what decoding may take, by the clock, until a child that does not use the processor is held to be stuck. One
that does is slow only because the machine is busy; to kill it would cost a start of a child on top, and all requests
that wait for it meanwhile."""

_OWN_FAULT = 0.25
"""Of the processor time that decoding may take: an image that has had it when the deadline comes is late by itself."""

_LONG = 0.5
"""Of that time, by the clock: an image known to be large, which has been decoded for so long, is late by itself too."""

_LOOK_SECONDS = 0.05
"""At least, between two looks at what processor time a child has used."""

_HIDDEN = ("EFFNET_TOKEN",)
"""What of the environment a child must not know."""


Reply: TypeAlias = tuple[int, NDArray[np.uint8]]
"""Status of a reply, and its bytes."""


class DecoderError(EffnetError):
    """A decoding process cannot be started."""


class Child(asyncio.BufferedProtocol):
    """One process and the socket to it: one exchange at a time, which goes on when nobody waits for its end."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        seconds: float,
        free: Callable[[Child], None],
        lost: Callable[[Child], None],
    ) -> None:
        self._process = process
        self._seconds = seconds
        self._free = free
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        # To ask it is one short call; /proc/PID/stat is a file with fifty numbers.
        self._clock = decoder.processor_clock(process.pid, decoder.EXACT)
        self._transport: asyncio.Transport | None = None
        self._watch: _Watch | None = None
        self.reply: asyncio.Future[Reply] = self._loop.create_future()
        self._data = np.empty(decoder.REPLY.size, np.uint8)  # of the reply that comes
        self._done = 0  # bytes of it that are there

    @classmethod
    async def begin(
        cls, memory: int, seconds: float, free: Callable[[Child], None], lost: Callable[[Child], None]
    ) -> Child:
        """Start a process and wait until it can decode.

        Args:
            memory: bytes that it may take.
            seconds: of processor time that one image may take.
            free: called when an exchange has ended, whether somebody has waited for it or not.
            lost: called when the process has died or was killed.

        Raises:
            DecoderError: it does not start.
        """
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        with theirs:
            number = str(theirs.fileno())
            command = [sys.executable, "-P", "-m", decoder.__name__, number, str(memory), str(seconds)]
            environment = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
            environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            try:
                process = await asyncio.to_thread(
                    subprocess.Popen,
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # libtiff writes about damaged images
                    pass_fds=(theirs.fileno(),),
                    env=environment,
                    start_new_session=True,  # Ctrl-C in a terminal is for the parent, which ends its children itself
                )
            except OSError as error:
                ours.close()
                raise DecoderError(f"cannot start: {error.strerror}", where="decoder") from None
        child = cls(process, seconds, free, lost)
        await asyncio.get_running_loop().create_unix_connection(lambda: child, sock=ours)
        try:
            async with asyncio.timeout(START_SECONDS):
                await child.reply
        except (TimeoutError, OSError):
            await child.end()
            fix = "run `python -m effnet.deploy.server.decoder` and see why"
            raise DecoderError("does not start", where="decoder", fix=fix) from None
        return child

    def ask(self, options: bytes, body: bytes, deadline: float, *, heavy: bool = False) -> asyncio.Future[Reply]:
        """Return what the child will say: a status and bytes; or RequestError when it dies of the question, or late."""
        assert self._transport is not None
        self.reply = self._loop.create_future()
        self._watch = _Watch(self, self._seconds, deadline, heavy=heavy)
        head = decoder.REQUEST.pack(len(options), len(body))
        self._transport.write(b"".join((head, options, body)))  # at once: the child would wake up for the head alone
        return self.reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the child."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to: the next reply is mostly as long as the last one."""
        return self._data.data[self._done :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take in a piece of a reply."""
        head = decoder.REPLY.size
        self._done += nbytes
        if self._done < head:
            return
        status, size = decoder.REPLY.unpack(self._data[:head].tobytes())
        if len(self._data) != head + size:  # never shorter than what was read: one reply is all that can come
            rest = np.empty(head + size - self._done, np.uint8)
            self._data = np.concatenate((self._data[: self._done], rest))
        if self._done == head + size:
            self._end_exchange(status, self._data[head:])

    def _end_exchange(self, status: int, answer: NDArray[np.uint8]) -> None:
        self._data, self._done = np.empty(len(self._data), np.uint8), 0
        if self._watch is not None:
            self._watch.end()
            self._watch = None
            self._free(self)
        if not self.reply.done():
            self.reply.set_result((status, answer))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits that the child has died: of its limits, of a bug that the image has met, or of its watch."""
        self._transport = None
        if self._watch is not None:
            self._watch.end()
        if not self.reply.done():
            self.reply.set_exception(ConnectionResetError() if self._watch is None else self._watch.complaint())
        self._lost(self)

    @property
    def running(self) -> bool:
        """Whether it can be asked."""
        return self._transport is not None and self._process.poll() is None

    @property
    def confined(self) -> bool:
        """Whether the system has taken from it all calls that decoding does not need."""
        return is_filtered(self._process.pid)

    def processor_seconds(self) -> float:
        """Return the processor time used so far; where the system does not tell, the clock's."""
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # another system, or it has ended
            return self._loop.time()

    def send_away(self, complaint: RequestError) -> None:
        """Tell who waits why there is no answer; the exchange goes on."""
        if not self.reply.done():
            self.reply.set_exception(complaint)

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(OSError):
            self._process.kill()

    async def end(self) -> None:
        """Close, kill and wait."""
        if self._transport is not None:
            self._transport.abort()
        self.kill()
        await asyncio.to_thread(self._process.wait)


class _Watch:
    """Sends those away who have waited for a child until their deadline, and kills one that takes too long.

    That is: too much processor time for an image, or four times as much by the clock. One timer does both.
    """

    def __init__(self, child: Child, seconds: float, deadline: float, *, heavy: bool) -> None:
        self._child = child
        self._heavy = heavy
        self._seconds = seconds
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        began = self._loop.time()
        self._until = began + _PATIENCE * seconds
        self._before, self._used = child.processor_seconds(), 0.0
        self._killed = False
        self._next = self._loop.call_at(min(began + seconds, deadline), self._look)

    def end(self) -> None:
        """Stop watching."""
        self._next.cancel()

    def complaint(self) -> RequestError:
        """Return what to tell the client whose image the child has died of."""
        if not self._killed:
            return RequestError(422, "the image cannot be decoded", fix="save it again as PNG or JPEG")
        if self._used < self._seconds:
            return too_late()  # the image may be as good as any
        return too_heavy()

    def _is_late_by_itself(self, now: float) -> bool:
        """Whether a smaller image would have been in time, rather than the same one at another time."""
        began = self._until - _PATIENCE * self._seconds
        return self._used >= _OWN_FAULT * self._seconds or (self._heavy and now - began >= _LONG * self._seconds)

    def _look(self) -> None:
        now = self._loop.time()
        waits = now < self._deadline
        self._used = self._child.processor_seconds() - self._before
        if not waits:
            self._child.send_away(too_heavy() if self._is_late_by_itself(now) else too_late())
        left = self._until - now
        if self._used >= self._seconds or left <= 0:
            self._killed = True
            self._child.kill()
            return
        pause = min(max(self._seconds - self._used, _LOOK_SECONDS), left)
        self._next = self._loop.call_at(min(now + pause, self._deadline) if waits else now + pause, self._look)

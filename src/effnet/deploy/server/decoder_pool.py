"""The parent's side of the decoding children: who is free, who is stuck, who must be replaced."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effnet.deploy.server import decoder
from effnet.deploy.server.decoder_child import Child, DecoderError
from effnet.deploy.server.request_error import RequestError, too_late
from effnet.deploy.server.settings import ServerSettings
from effnet.preprocessing import Preprocess

_PAUSES = (0.0, 0.2, 1.0, 5.0)
"""Seconds before a child is started again, by how often in a row it could not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Pixels, uint8 (height, width, channels), the seconds spent waiting for a free child and those spent decoding."""

    pixels: NDArray[np.uint8]
    waited: float
    decoding: float


class DecoderPool:
    """Some children, each decoding one image at a time.

    Attributes:
        restarts: children that were replaced.
    """

    def __init__(
        self, settings: ServerSettings, *, seconds: float, on_restart: Callable[[], None] = lambda: None
    ) -> None:
        """Prepare a pool; `start` it before use.

        Args:
            settings: how many children, and their limits.
            seconds: of processor time that decoding one image may take.
            on_restart: called when a child was lost.
        """
        self.restarts = 0
        self._settings = settings
        self._seconds = seconds
        self._on_restart = on_restart
        self._apart: DecoderPool | None = None
        self._heavy: set[Child] = set()
        self._heavy_places = asyncio.Semaphore(max(1, settings.decoder_count - 1))
        self._free: asyncio.LifoQueue[Child] = asyncio.LifoQueue()
        self._children: set[Child] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def alive(self) -> int:
        """Children that can work."""
        apart = 0 if self._apart is None else self._apart.alive
        return sum(child.running for child in self._children) + apart

    @property
    def confined(self) -> bool:
        """Whether the system has taken all calls from the children that decoding does not need."""
        return all(child.confined for child in self._children)

    async def start(self) -> None:
        """Start the children.

        Raises:
            DecoderError: one does not start.
        """
        children = [self._begin() for _ in range(self._settings.decoder_count)]
        for ready in asyncio.as_completed(children):
            self._add(await ready)

    async def close(self) -> None:
        """End the children."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        for child in tuple(self._children):
            await child.end()
        self._children.clear()
        if self._apart is not None:
            await self._apart.close()

    async def decode(
        self,
        body: bytes,
        preprocess: Preprocess | None,
        *,
        content_type: str | None,
        deadline: float,
        heavy: bool = False,
    ) -> Decoded:
        """Decode and resize the image in a request's body.

        Args:
            body: an image, or a form that holds one.
            preprocess: what to make of it; None: the whole image, small enough for a screen.
            content_type: of the form; None for a plain image.
            deadline: on the loop's clock.
            heavy: whether it will take long. Such images leave a child to the others; where there is but one, another
                one is started for them.

        Raises:
            RequestError: 400 for a bad form, 422 for an image that cannot be decoded, or not within the limits;
                504 when it was not decoded before the deadline.
        """
        loop = asyncio.get_running_loop()
        came = loop.time()
        child = await (self._take_for_heavy(deadline) if heavy else self._take(deadline))
        began = loop.time()
        options = _options(content_type, preprocess, self._settings.max_bytes, self._settings.max_pixels)
        # When nobody waits any more the exchange still ends in order, so that the child stays usable.
        status, answer = await child.ask(options, body, deadline, heavy=heavy)
        if status != decoder.PIXELS:
            complaint = json.loads(answer.tobytes())
            code = 400 if status == decoder.BAD_FORM else 422
            raise RequestError(code, complaint["what"], fix=complaint["fix"])
        height, width, channels = decoder.SHAPE.unpack(answer[: decoder.SHAPE.size].tobytes())
        pixels = answer[decoder.SHAPE.size :].reshape(height, width, channels)
        return Decoded(pixels=pixels, waited=began - came, decoding=loop.time() - began)

    async def _take(self, deadline: float) -> Child:
        """Return a free child, after replacing those that have died while they had nothing to do."""
        while True:
            if self._free.empty():  # else without a timer, which costs
                try:
                    async with asyncio.timeout_at(deadline):
                        child = await self._free.get()
                except TimeoutError:
                    raise too_late() from None
            else:
                child = self._free.get_nowait()
            if child.running:
                return child
            self._replace(child)

    def _pool_apart(self) -> DecoderPool | None:
        """Return a pool of one child for heavy images, or None until it can work."""
        if self._apart is None:
            self._apart = DecoderPool(self._settings, seconds=self._seconds, on_restart=self._on_restart)
            task = asyncio.get_running_loop().create_task(self._start_apart(self._apart))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self._apart if self._apart.alive else None

    async def _start_apart(self, apart: DecoderPool) -> None:
        try:
            await apart.start()
        except DecoderError:
            self._apart = None

    async def _take_for_heavy(self, deadline: float) -> Child:
        if self._settings.decoder_count == 1 and (apart := self._pool_apart()) is not None:
            return await apart._take(deadline)
        try:
            async with asyncio.timeout_at(deadline):
                await self._heavy_places.acquire()
        except TimeoutError:
            raise too_late() from None
        try:
            child = await self._take(deadline)
        except BaseException:
            self._heavy_places.release()
            raise
        self._heavy.add(child)
        return child

    def _is_done(self, child: Child) -> None:
        """Give back the place that a heavy image had, when its child has done with it or is lost."""
        if child in self._heavy:
            self._heavy.discard(child)
            self._heavy_places.release()

    def _take_back(self, child: Child) -> None:
        self._is_done(child)
        self._free.put_nowait(child)

    def _add(self, child: Child) -> None:
        self._children.add(child)
        self._free.put_nowait(child)

    def _replace(self, child: Child) -> None:
        self._is_done(child)
        if child not in self._children:
            return
        self._children.discard(child)
        child.kill()
        if self._closed:
            return
        self.restarts += 1
        self._on_restart()
        task = asyncio.get_running_loop().create_task(self._renew(child))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _renew(self, lost: Child) -> None:
        await lost.end()
        failures = 0
        while not self._closed:
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            try:
                self._add(await self._begin())
                return
            except DecoderError:
                failures += 1

    async def _begin(self) -> Child:
        return await Child.begin(self._settings.decoder_memory, self._seconds, self._take_back, self._replace)


@functools.lru_cache(maxsize=8)
def _options(content_type: str | None, preprocess: Preprocess | None, max_bytes: int, max_pixels: int) -> bytes:
    described = None if preprocess is None else preprocess.to_dict()
    limits = {"max_bytes": max_bytes, "max_pixels": max_pixels}
    return json.dumps({"content_type": content_type, "preprocess": described, **limits}).encode()

"""The process of a server: event loop, signals, and how it ends."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from effnet.deploy.server.access_log import Log
from effnet.deploy.server.app import application
from effnet.deploy.server.confinement import hide_memory
from effnet.deploy.server.explaining import Explainer
from effnet.deploy.server.limited import Limited
from effnet.deploy.server.listener import Listener
from effnet.deploy.server.model import ServedModel, Timing, measured
from effnet.deploy.server.process import open_standard_streams, with_descriptors
from effnet.deploy.server.service import Service
from effnet.deploy.server.settings import ServerSettings
from effnet.errors import EffnetError

_LINGER = 0.5
"""Seconds after SIGTERM in which new connections are still taken and refused: one that waits to be taken when the
socket closes would be reset instead."""

_LAST_WORDS = 0.2
"""Seconds at least for the listener to end after the last request has."""

_LOOK_SECONDS = 0.005
"""Between two looks at whether the listener listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What is told when a server listens: its address, the model, how fast it is, whether decoders are confined."""

    url: str
    model: ServedModel
    timing: Timing
    deadline: float
    settings: ServerSettings
    confined: bool


def serve(
    load: Callable[[], ServedModel],
    settings: ServerSettings,
    *,
    reload: Callable[[], ServedModel] | None = None,
    explainer: Callable[[ServedModel], Explainer] | None = None,
    started: Callable[[Started], None] = lambda told: None,
) -> None:
    """Serve a model until SIGTERM or SIGINT; SIGHUP loads it again.

    Args:
        load: opens the model; called in a thread.
        settings: where to listen and what to grant.
        reload: opens it again at each SIGHUP; None: as `load` does.
        explainer: makes the heat maps for the model.
        started: called once, when the server listens and is ready.

    Raises:
        InputError: the address cannot be used, or this process may not open enough files.
        WeightsError: the model is not ready within `opening_seconds`.
        EffnetError: whatever `load` raises at the start; DecoderError when decoding processes do not start.
    """
    open_standard_streams()
    hide_memory()  # the token is in it
    settings = with_descriptors(settings)
    with contextlib.closing(Listener(settings)) as listener:  # before the model: a taken port is known at once
        opening = Limited(lambda: measured(load(), settings.max_batch), settings.opening_seconds)
        try:
            model, timing = opening.wait()
        finally:
            if opening.running:
                atexit.register(_leave, 1)
        maps = None if explainer is None else explainer(model)
        process = _Process(reload or load, settings, model, timing, maps, listener, started)
        with _quiet_shutdown():
            asyncio.run(process.run())
    if process.stuck:
        _leave(0)


def _leave(status: int) -> None:
    """End the process at once: a thread that does not come back must not meet an engine that is being unloaded."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


class _Process:
    """One run of a server."""

    def __init__(
        self,
        load: Callable[[], ServedModel],
        settings: ServerSettings,
        model: ServedModel,
        timing: Timing,
        explainer: Explainer | None,
        listener: Listener,
        started: Callable[[Started], None],
    ) -> None:
        self._load = load
        self._settings = settings
        self._service = Service(settings, model, timing)
        self._explainer = explainer
        self._listener = listener
        self._started = started
        self._log = Log(settings.access_log)
        self._reloading: asyncio.Task[None] | None = None
        self._reload_again = False
        self._end = asyncio.Event()

    @property
    def stuck(self) -> bool:
        """Whether a thread is left that has not come back."""
        return self._service.stuck

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._trouble)
        await self._service.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        app = application(self._service, self._log, self._explainer)
        listening = loop.create_task(self._listener.serve(app))
        try:
            while not self._listener.listens:
                await asyncio.wait({listening}, timeout=_LOOK_SECONDS)
                if listening.done():
                    listening.result()
            self._tell()
            ending = loop.create_task(self._end.wait())
            await asyncio.wait({listening, ending}, return_when=asyncio.FIRST_COMPLETED)
            await self._stop(listening)
        finally:
            await self._service.close()
            self._log.close()

    def _tell(self) -> None:
        service = self._service
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        gc.collect()
        gc.freeze()  # what is here now stays: the collector need not look at it again and again
        self._log.event("started", pid=os.getpid(), port=self._listener.port, model=service.model.name)
        self._log.event("decoders", count=self._settings.decoder_count, confined="yes" if service.confined else "no")
        told = Started(
            url=f"http://{host}:{self._listener.port}",
            model=service.model,
            timing=service.timing,
            deadline=service.deadline,
            settings=self._settings,
            confined=service.confined,
        )
        with contextlib.suppress(OSError):  # nobody can be told anything: serve nevertheless
            self._started(told)

    async def _stop(self, listening: asyncio.Task[None]) -> None:
        """Refuse what comes, finish what is inside, end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.drain_seconds
        self._service.stopping = True
        self._log.event("stopping", inside=self._service.inside)
        if self._reloading is not None:
            self._reloading.cancel()
        await asyncio.sleep(_LINGER)
        while self._service.inside and loop.time() < until:
            await asyncio.sleep(0.02)
        self._listener.stop()
        with contextlib.suppress(TimeoutError):
            # The rest of the time is for connections on which an answer is being written.
            async with asyncio.timeout_at(max(until, loop.time() + _LAST_WORDS)):
                await asyncio.shield(listening)
        self._listener.abort()  # a task that writes to somebody who does not read would not even be cancelled
        await asyncio.wait({listening}, timeout=_LAST_WORDS)
        self._log.event("stopped", unfinished=self._service.inside)

    def _trouble(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        message = str(context.get("message", ""))
        self._log.trouble("error", message or type(error).__name__, message=None if error is None else str(error)[:500])

    def _reload(self) -> None:
        if self._reloading is not None and not self._reloading.done():
            self._reload_again = True  # the file may have changed since the reload that runs now has read it
            return
        self._reloading = asyncio.get_running_loop().create_task(self._replace())

    async def _replace(self) -> None:
        while True:
            self._reload_again = False
            try:
                await self._service.replace(self._load)
                self._log.event("reloaded", model=self._service.model.name)
            except EffnetError as error:
                self._log.event("reload_failed", message=str(error), serving=self._service.model.name)
            except Exception as error:
                self._log.event("reload_failed", message=f"{type(error).__name__}: {error}")
            if not self._reload_again:
                return


@contextlib.contextmanager
def _quiet_shutdown() -> Iterator[None]:
    """Turn an interrupt that comes while the loop is being closed into a normal end."""
    with contextlib.suppress(KeyboardInterrupt):
        yield

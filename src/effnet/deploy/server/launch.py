"""The process of a server: event loop, signals, listening socket, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from effnet.deploy.server.access_log import Log
from effnet.deploy.server.app import application
from effnet.deploy.server.explaining import Explainer
from effnet.deploy.server.model import ServedModel, Timing, measure
from effnet.deploy.server.service import Service
from effnet.deploy.server.settings import ServerSettings
from effnet.errors import EffnetError, InputError

_LINGER = 0.5
"""Seconds after SIGTERM in which new connections are still taken and refused: one that waits to be taken when the
socket closes would be reset instead."""

_LAST_WORDS = 0.2
"""Seconds for the HTTP threads to end after the last connection has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What is told when a server listens: its address, the model and how fast it is."""

    url: str
    model: ServedModel
    timing: Timing
    deadline: float
    settings: ServerSettings


def serve(
    load: Callable[[], ServedModel],
    settings: ServerSettings,
    *,
    explainer: Callable[[ServedModel], Explainer] | None = None,
    started: Callable[[Started], None] = lambda told: None,
) -> None:
    """Serve a model until SIGTERM or SIGINT; SIGHUP loads it again.

    Args:
        load: opens the model; called at the start and at each SIGHUP, then in a thread.
        settings: where to listen and what to grant.
        explainer: makes the heat maps for the model.
        started: called once, when the server listens and is ready.

    Raises:
        InputError: the address cannot be used.
        EffnetError: whatever `load` raises at the start; DecoderError when decoding processes do not start.
    """
    address = _free_address(settings)
    model = load()
    timing = measure(model, settings.max_batch)
    maps = None if explainer is None else explainer(model)
    logging.getLogger("_granian").setLevel(logging.CRITICAL)
    with _quiet_shutdown():
        asyncio.run(_Process(load, settings, model, timing, maps, address, started).run())


class _Process:
    """One run of a server."""

    def __init__(
        self,
        load: Callable[[], ServedModel],
        settings: ServerSettings,
        model: ServedModel,
        timing: Timing,
        explainer: Explainer | None,
        port: int,
        started: Callable[[Started], None],
    ) -> None:
        self._load = load
        self._settings = settings
        self._service = Service(settings, model, timing)
        self._explainer = explainer
        self._port = port
        self._started = started
        self._log = Log(settings.access_log)
        self._reloading: asyncio.Task[None] | None = None
        self._reload_again = False
        self._end = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        await self._service.start()
        server = self._server()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        listening = loop.create_task(server.serve())
        try:
            await self._listens(listening)
            self._tell()
            ending = loop.create_task(self._end.wait())
            await asyncio.wait({listening, ending}, return_when=asyncio.FIRST_COMPLETED)
            await self._stop(server, listening)
        finally:
            await self._service.close()
            self._log.close()

    def _server(self) -> Server:
        settings = self._settings
        return Server(
            application(self._service, self._log, self._explainer),
            address=_address(settings.host),
            port=self._port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=max(1024, settings.connections),
            backpressure=settings.connections,
            http1_settings=HTTP1Settings(header_read_timeout=int(1000 * settings.header_seconds)),
            log_enabled=False,
        )

    async def _listens(self, listening: asyncio.Task[None]) -> None:
        for _ in range(200):
            if listening.done():
                break
            try:
                _reader, writer = await asyncio.open_connection(_address(self._settings.host), self._port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
        raise _cannot_listen(self._settings, "the socket does not open")

    def _tell(self) -> None:
        service = self._service
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        gc.collect()
        gc.freeze()  # what is here now stays: the collector need not look at it again and again
        self._log.event("started", pid=os.getpid(), port=self._port, model=service.model.name)
        self._started(
            Started(
                url=f"http://{host}:{self._port}",
                model=service.model,
                timing=service.timing,
                deadline=service.deadline,
                settings=self._settings,
            )
        )

    async def _stop(self, server: Server, listening: asyncio.Task[None]) -> None:
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
        server.stop()  # type: ignore[no-untyped-call]
        with contextlib.suppress(TimeoutError):
            # The rest of the time is for connections on which an answer is being written.
            async with asyncio.timeout_at(max(until, loop.time() + _LAST_WORDS)):
                await asyncio.shield(listening)
        await asyncio.sleep(_LAST_WORDS)
        self._log.event("stopped", unfinished=self._service.inside)

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


def _free_address(settings: ServerSettings) -> int:
    """Return the port, after making sure that it can be listened on."""
    host = _address(settings.host)
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, settings.port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise _cannot_listen(settings, error.strerror or str(error)) from None


def _address(host: str) -> str:
    """Return what the system's calls take: they know no brackets, and the HTTP library no names."""
    return "127.0.0.1" if host == "localhost" else host.strip("[]")


def _cannot_listen(settings: ServerSettings, reason: str) -> InputError:
    where = f"{settings.host}:{settings.port}"
    return InputError(f"cannot listen: {reason}", where=where, fix="choose another --port or --host")


@contextlib.contextmanager
def _quiet_shutdown() -> Iterator[None]:
    """Turn an interrupt that comes while the loop is being closed into a normal end."""
    with contextlib.suppress(KeyboardInterrupt):
        yield

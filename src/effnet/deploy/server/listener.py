"""Sockets and HTTP: uvicorn, in the event loop that does everything else, with bounds that it lacks.

HTTP in threads of its own costs more than it brings where one process serves one model: each piece of a request wakes
a thread that wakes another one, and after the engine has gone through the caches no waking is cheap.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from effnet.deploy.server.settings import ServerSettings
from effnet.errors import InputError

_MOST_HEAD = 1 << 16
"""Bytes that a request's head may have, as far as it comes in several pieces; one piece is at most 256 KiB."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n"
    b"cache-control: no-store\r\n\r\n"
)


class Listener:
    """A socket that is bound at once, and serves when it is told to."""

    def __init__(self, settings: ServerSettings) -> None:
        """Bind.

        Raises:
            InputError: the address cannot be used.
        """
        self._settings = settings
        self._socket = _bound(settings)
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """The port, also where any free one was asked for."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Let the address go."""
        self._socket.close()

    async def serve(self, app: ASGIApp) -> None:
        """Serve until `stop`, and then until all connections have ended.

        Raises:
            InputError: another server has taken the address meanwhile.
        """
        try:
            self._socket.listen(_backlog(self._settings))
        except OSError as error:  # a server that has bound the same port since then listens already
            raise _cannot_listen(self._settings, error) from None
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what clients do wrong is in our own log
        self._server = _Server(_Config(app, self._settings))
        await self._server.serve(sockets=[self._socket])

    @property
    def listens(self) -> bool:
        """Whether clients can connect."""
        return self._server is not None and self._server.started

    def stop(self) -> None:
        """Take no new connections, close idle ones and answer on the others what has begun."""
        if self._server is not None:
            self._server.should_exit = True


class _Config(uvicorn.Config):
    """What uvicorn is told."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.settings = settings
        super().__init__(
            app,
            http=_Connection,
            ws="none",
            workers=1,  # else it reads, and believes, WEB_CONCURRENCY
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_backlog(settings),
        )


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connection(HttpToolsProtocol):
    """One client. It has `header_seconds` for each head, from the connection or the last answer to the head's end.

    Time for a body is the application's to give.
    """

    config: _Config

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.config.settings.connections:
            transport.write(_FULL)
            transport.close()
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_has_come()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD and not self.transport.is_closing():
                self.send_400_response("The head is too large.")

    def on_headers_complete(self) -> None:
        self._head_has_come()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:  # uvicorn's own timer ends with any byte, ours with a whole head
            self._unset_keepalive_if_required()
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.config.settings.header_seconds, self.transport.close)

    def _head_has_come(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _bound(settings: ServerSettings) -> socket.socket:
    # The name is the only one that is not an address; the system's calls take IPv6 without its brackets.
    host = "127.0.0.1" if settings.host == "localhost" else settings.host.strip("[]")
    # The protocol is named so that asyncio knows it, and sends each part of an answer at once: else the second one
    # waits for the client's delayed acknowledgement of the first, 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, settings.port))
    except OSError as error:
        bound.close()
        raise _cannot_listen(settings, error) from None
    return bound


def _backlog(settings: ServerSettings) -> int:
    return max(1024, settings.connections)


def _cannot_listen(settings: ServerSettings, error: OSError) -> InputError:
    where = f"{settings.host}:{settings.port}"
    reason = error.strerror or str(error)
    return InputError(f"cannot listen: {reason}", where=where, fix="choose another --port or --host")

"""Sockets and HTTP: uvicorn, in the event loop that does everything else, with bounds that it lacks.

HTTP in threads of its own costs more than it brings where one process serves one model: each piece of a request wakes
a thread that wakes another one, and after the engine has gone through the caches no waking is cheap.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import resource
import socket
import struct
import termios
from collections import deque
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from effnet.deploy.server.address import bound, cannot_listen
from effnet.deploy.server.process import accepted_at_once
from effnet.deploy.server.request_error import cut
from effnet.deploy.server.settings import ServerSettings

_MOST_HEAD = 1 << 16
"""Bytes that a request's head may have, as far as it comes in several pieces; one piece is at most 256 KiB."""

_PATIENCE = 1.0
"""Seconds that a connection may be idle, or a client not take its answers, before its place is given to another one
when all are taken."""

_SHORT_PATIENCE = 0.1
"""The same for a client that asks for more before it has its answers."""

_TURNS_AT_ONCE = 8
"""Connections on which another of many requests is taken up, in one round of the event loop."""

_HEAD_END = b"\r\n\r\n"

_LEAST_PIECE = 256
"""Bytes of a chunked body that are read at once, though its end may be among them."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n"
    b"cache-control: no-store\r\n\r\n"
)

_CUT = json.dumps(cut().to_dict()).encode()
_CUT = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
    b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\n" % len(_CUT)
) + _CUT


class Listener:
    """A socket that is bound at once, and serves when it is told to."""

    def __init__(self, settings: ServerSettings) -> None:
        """Bind.

        Raises:
            InputError: the address cannot be used.
        """
        self._settings = settings
        self._socket = bound(settings)
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
            raise cannot_listen(self._settings, error) from None
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what clients do wrong is in our own log
        self._server = _Server(_Config(app, self._settings))
        asyncio.get_running_loop().call_soon(self._keep_waiting)
        await self._server.serve(sockets=[self._socket])

    def _keep_waiting(self) -> None:
        """Let more wait in the system's queue than are accepted at once, which asyncio knows by one number."""
        if self.listens:
            self._socket.listen(_backlog(self._settings))
        elif self._server is not None:
            asyncio.get_running_loop().call_later(0.001, self._keep_waiting)

    @property
    def listens(self) -> bool:
        """Whether clients can connect."""
        return self._server is not None and self._server.started

    def stop(self) -> None:
        """Take no new connections, close idle ones and answer on the others what has begun."""
        if self._server is not None:
            self._server.should_exit = True

    def abort(self) -> None:
        """End all connections now: of those that are left, nobody takes the answer."""
        if self._server is not None:
            for connection in tuple(self._server.server_state.connections):
                connection.transport.abort()


class _Config(uvicorn.Config):
    """What uvicorn is told."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.settings = settings
        # Those that wait for their client, or whose client asks before it has its answers; the longest first.
        self.give_way: dict[_Connection, float] = {}
        self._turns: deque[_Connection] = deque()
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
            backlog=accepted_at_once(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        )

    def have_turn(self, connection: _Connection) -> None:
        """Let a connection go on after others: who asks for much at once must not have the event loop to itself."""
        self._turns.append(connection)
        if len(self._turns) == 1:
            asyncio.get_running_loop().call_soon(self._take_turns)

    def _take_turns(self) -> None:
        for _ in range(min(_TURNS_AT_ONCE, len(self._turns))):
            self._turns.popleft().go_on()
        if self._turns:
            asyncio.get_running_loop().call_soon(self._take_turns)

    def give_place(self, now: float) -> bool:
        """Close the connection that has been in no hurry for longest, if that is long enough."""
        for connection, since in self.give_way.items():
            if now - since < _SHORT_PATIENCE:
                break
            if now - since >= _PATIENCE or connection.asks_ahead:
                del self.give_way[connection]
                connection.drop()
                return True
        return False


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connection(HttpToolsProtocol):
    """One client.

    It has `header_seconds` for each head, from the connection or the last answer to the head's end, and must take
    answers at `body_rate`, looked at every `answer_seconds`. Time for a body is the application's to give. Requests
    that come together are parsed one at a time: a parsed one takes a hundred times the memory of its bytes.
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
        self._answer_timer: asyncio.TimerHandle | None = None
        self._untaken = 0
        self._unparsed = b""
        self._in_body = False
        self._body_left: int | None = None  # None: not known yet, 0: nothing was declared
        self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # pause_writing then says that something was left over
        full = len(self.connections) > self.config.settings.connections
        if full and not self.config.give_place(self.loop.time()):
            transport.write(_FULL)
            transport.close()
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = b""
        self._head_has_come()
        self._answer_is_taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._unparsed:
            data = self._unparsed + data
        start, view = 0, memoryview(data)
        while start < len(data) and not self._answers and not self.transport.is_closing():
            end = self._end_of_piece(data, start)
            self._parse(view[start:end])
            start = end
        self._unparsed = data[start:] if start < len(data) else b""
        if self._unparsed and not self.transport.is_closing():
            self.flow.pause_reading()
            self._may_give_way()
        elif data:
            self._need_not_give_way()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Finish what has come whole: who sends no more may still read."""
        self._ended = True
        self._end()
        return not self.transport.is_closing()

    def _end(self) -> None:
        """Close when all is answered that has come whole; the rest of what has not will never come."""
        cycle = self.cycle
        if not self._ended or self._unparsed or self.pipeline or self.transport.is_closing():
            return
        if cycle is None or cycle.response_complete:
            self.transport.close()
        elif cycle.more_body and not cycle.response_started:
            self.transport.write(_CUT)
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_taking()
        self._may_give_way()

    def resume_writing(self) -> None:
        self._answer_is_taken()
        super().resume_writing()

    def on_headers_complete(self) -> None:
        self._head_has_come()
        self._in_body, self._body_left = True, None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._body_left:
            self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.timeout_keep_alive_task is not None:  # uvicorn's own timer ends with any byte, ours with a whole head
            self._unset_keepalive_if_required()
            self._wait_for_head()
        if self._unparsed:
            self.flow.pause_reading()
            self.config.have_turn(self)
        self._end()

    def go_on(self) -> None:
        """Take up the next of the requests that came together."""
        now = self.loop.time()
        if now - self.config.give_way.get(self, now) > self.config.settings.header_seconds:
            self.drop()  # it asks for more than it can be given in time, and would never be done
        elif not self.transport.is_closing():
            self.flow.resume_reading()
            self.data_received(b"")
            self._end()

    @property
    def asks_ahead(self) -> bool:
        """Whether it has sent requests that are not begun."""
        return bool(self._unparsed)

    @property
    def _answers(self) -> bool:
        """Whether a request that has come whole is being answered."""
        return self.cycle is not None and not self.cycle.response_complete and not self._in_body

    def drop(self) -> None:
        """End the connection now, with what its client has not taken: to close would wait for that."""
        if self._answer_timer is not None:  # else the system would keep the bytes for minutes
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()

    def _parse(self, piece: memoryview) -> None:
        super().data_received(piece)  # type: ignore[arg-type]
        if self._head_timer is not None:
            self._head_bytes += len(piece)
            if self._head_bytes > _MOST_HEAD and not self.transport.is_closing():
                self.send_400_response("The head is too large.")

    def _end_of_piece(self, data: bytes, start: int) -> int:
        """Return where to stop parsing, so that not much more than one request is begun."""
        least = 0
        if self._in_body:
            if self._body_left is None:
                self._body_left = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
            if self._body_left:
                return min(start + self._body_left, len(data))
            least = _LEAST_PIECE
        end = data.find(_HEAD_END, start + least)
        return len(data) if end < 0 else end + len(_HEAD_END)

    def _wait_for_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.config.settings.header_seconds, self.transport.close)
        self._may_give_way()

    def _head_has_come(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._need_not_give_way()

    def _wait_for_taking(self) -> None:
        self._untaken = self._sent_for_nothing()
        self._answer_timer = self.loop.call_later(self.config.settings.answer_seconds, self._look_at_taking)

    def _look_at_taking(self) -> None:
        settings = self.config.settings
        if self._untaken - self._sent_for_nothing() < settings.body_rate * settings.answer_seconds:
            self.drop()
        else:
            self._wait_for_taking()

    def _answer_is_taken(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
        self._need_not_give_way()

    def _may_give_way(self) -> None:
        self.config.give_way.setdefault(self, self.loop.time())

    def _need_not_give_way(self) -> None:
        if self._head_timer is None and self._answer_timer is None and not self._unparsed:
            self.config.give_way.pop(self, None)

    def _sent_for_nothing(self) -> int:
        """Return the bytes that the client's system has not acknowledged, here and in this one."""
        return self.transport.get_write_buffer_size() + _in_system(self.transport.get_extra_info("socket"))


def _in_system(connection: socket.socket) -> int:
    try:
        return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
    except (OSError, ValueError):  # another system, or it is closed
        return 0


def _backlog(settings: ServerSettings) -> int:
    return max(1024, settings.connections)

"""What a connection may do, whatever the application does."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from effnet.deploy.server.listener import Listener
from effnet.deploy.server.settings import ServerSettings
from effnet.errors import InputError
from tests.deploy.server.running import Running, jpeg, running

QUESTION = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--set", "header_seconds=1.0", "--set", "connections=8", "--set", "decoders=1") as one:
        yield one


def connected(server: Running) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.settimeout(10)
    return connection


def answer(connection: socket.socket) -> bytes:
    """Return one whole answer, or what there was of it when the server closed."""
    said = b""
    while (end := said.find(b"\r\n\r\n")) < 0:
        piece = connection.recv(65536)
        if not piece:
            return said
        said += piece
    length = int(said[:end].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(said) < end + 4 + length:
        said += connection.recv(65536)
    return said


def closes_within(connection: socket.socket, seconds: float, trickle: bytes = b"") -> bool:
    connection.settimeout(0.1)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if trickle:
                connection.sendall(trickle)
            if not connection.recv(65536):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_a_connection_serves_one_request_after_the_other(server: Running) -> None:
    body = jpeg()
    post = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connected(server) as connection:
        for request in (post + body, QUESTION + b"\r\n", post + body):
            connection.sendall(request)
            assert answer(connection).startswith(b"HTTP/1.1 200 ")


def test_requests_that_come_at_once_are_answered_in_order(server: Running) -> None:
    with connected(server) as connection:
        connection.sendall(
            QUESTION + b"\r\n" + b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        said = b""
        while piece := connection.recv(65536):
            said += piece
    assert said.index(b"HTTP/1.1 200 ") < said.index(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("begun", [b"", b"GET / HT", QUESTION], ids=["nothing", "a line", "no end"])
def test_a_head_has_its_time(server: Running, begun: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(begun)
        assert closes_within(connection, 5)


@pytest.mark.parametrize("crumb", [b"\r\n", b"X-A: b\r\n"], ids=["empty lines", "headers"])
def test_crumbs_do_not_buy_more_time(server: Running, crumb: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(QUESTION + b"\r\n")
        answer(connection)
        if crumb.strip():
            connection.sendall(QUESTION)
        assert closes_within(connection, 5, trickle=crumb)


def test_a_body_that_nobody_wants_does_not_hold_the_connection(server: Running) -> None:
    with connected(server) as connection:
        connection.sendall(QUESTION + b"Content-Length: 100000\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200 ")
        assert closes_within(connection, 5, trickle=b"x")


def test_a_head_without_end_is_refused(server: Running) -> None:
    with connected(server) as connection:
        said = b""
        try:
            connection.sendall(QUESTION)
            for _ in range(40):
                connection.sendall(b"X-Long: " + b"x" * 4000 + b"\r\n")
                time.sleep(0.002)
            said = connection.recv(65536)
        except OSError:
            pass  # it was closed under our hands
        assert not said or said.startswith(b"HTTP/1.1 400 ")
        assert closes_within(connection, 0.5)


def test_more_connections_than_allowed_are_told_so(server: Running) -> None:
    held = [connected(server) for _ in range(8)]
    with connected(server) as one_more:
        assert one_more.recv(65536).startswith(b"HTTP/1.1 503 ")
        assert closes_within(one_more, 5)
    for connection in held:
        connection.close()
    deadline = time.monotonic() + 5
    while True:
        with connected(server) as connection:
            connection.sendall(QUESTION + b"\r\n")
            if answer(connection).startswith(b"HTTP/1.1 200 "):
                return
        assert time.monotonic() < deadline


def test_an_answer_does_not_wait_for_acknowledgements() -> None:
    options: list[int] = []

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        # By type: some objects of torch answer isinstance by warning of themselves.
        for connection in [one for one in gc.get_objects() if issubclass(type(one), HttpToolsProtocol)]:
            options.append(connection.transport.get_extra_info("socket").getsockopt(socket.SOL_TCP, socket.TCP_NODELAY))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def test() -> None:
        listener = Listener(ServerSettings(port=0))
        serving = asyncio.create_task(listener.serve(application))
        while not listener.listens:
            await asyncio.sleep(0.001)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(QUESTION + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        listener.stop()
        await serving

    asyncio.run(asyncio.wait_for(test(), 20))
    assert options == [1]


def test_a_port_that_is_taken_is_told_at_once(server: Running) -> None:
    with pytest.raises(InputError, match="cannot listen"):
        Listener(ServerSettings(port=server.port))


def test_a_port_that_is_taken_after_it_was_bound_is_told() -> None:
    async def test() -> None:
        first = Listener(ServerSettings(port=0))
        second = Listener(ServerSettings(port=first.port))  # nobody listens yet
        serving = asyncio.create_task(first.serve(nothing))
        while not first.listens:
            await asyncio.sleep(0.001)
        with pytest.raises(InputError, match="cannot listen"):
            await second.serve(nothing)
        first.stop()
        await serving
        second.close()

    async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError("nobody asks")

    asyncio.run(asyncio.wait_for(test(), 20))


def test_a_free_port_is_known_before_it_is_served() -> None:
    listener = Listener(ServerSettings(port=0))
    assert listener.port > 0
    assert not listener.listens
    listener.stop()  # nothing to stop yet
    listener.close()

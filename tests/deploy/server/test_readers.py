"""Clients that ask and do not read, or read slowly, or send no more: what they cost others, and for how long."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.server.running import Running, jpeg, running
from tests.deploy.server.test_faults import HEAD, closed_within

PAGE = b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
ENOUGH = 1500
"""Times the page in one request after the other: more than the systems of both sides keep for a small buffer."""


@contextlib.contextmanager
def deaf(server: Running, count: int) -> Iterator[list[socket.socket]]:
    """Connect so many clients that ask for much and never read."""
    clients = []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(5)
        client.connect(("127.0.0.1", server.port))
        with contextlib.suppress(OSError):
            client.sendall(PAGE * ENOUGH)
        clients.append(client)
    yield clients
    for client in clients:
        client.close()


def is_held(client: socket.socket) -> bool:
    """Whether the server still holds the connection: what it says does not tell, as nobody has read it."""
    client.setblocking(False)
    try:
        return client.send(b"x") == 1
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_clients_that_do_not_read_are_closed() -> None:
    with running("--set", "answer_seconds=0.5", "--set", "decoders=1") as server, deaf(server, 20) as clients:
        until = time.monotonic() + 10
        while any(is_held(client) for client in clients):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert server.predict(jpeg()).status_code == 200


def test_by_default_they_are_closed_within_ten_seconds() -> None:
    with running("--set", "decoders=1") as server, deaf(server, 2) as clients:
        time.sleep(10)
        assert not any(is_held(client) for client in clients)


def test_those_who_do_not_read_give_their_places_to_others() -> None:
    with (
        running("--set", "connections=8", "--set", "answer_seconds=60", "--set", "decoders=1") as server,
        deaf(server, 12),
    ):
        time.sleep(2)
        assert [server.predict(jpeg()).status_code for _ in range(10)] == [200] * 10


def test_idle_connections_give_their_places_to_others() -> None:
    with running("--set", "connections=8", "--set", "header_seconds=60", "--set", "decoders=1") as server:
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
        time.sleep(1.5)
        assert server.predict(jpeg()).status_code == 200
        for connection in idle:
            connection.close()


def test_sigterm_does_not_wait_for_those_who_do_not_read() -> None:
    with (
        running("--set", "drain_seconds=1", "--set", "answer_seconds=60", "--set", "decoders=1") as server,
        deaf(server, 10),
    ):
        time.sleep(0.5)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10


def test_a_client_that_reads_slowly_gets_everything() -> None:
    with (
        running("--set", "answer_seconds=0.5", "--set", "decoders=1", "--set", "body_rate=1000.0") as server,
        deaf(server, 1) as (client,),
    ):
        client.setblocking(True)
        client.settimeout(10)
        read, until = 0, time.monotonic() + 3
        while time.monotonic() < until:
            piece = client.recv(20_000)
            assert piece
            read += len(piece)
            time.sleep(0.05)
        assert read > 100_000


def test_requests_that_come_at_once_are_all_answered_and_take_little_memory() -> None:
    with running("--set", "decoders=1", "--set", "access_log='none'") as server:
        small = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".replace(b"a\r", b"localhost\r")
        server.raw(small)
        before = memory(server)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.settimeout(30)
            connection.sendall(small * 4000 + small.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            said = closed_within(connection, 30)
        assert said is not None
        assert said.count(b"HTTP/1.1 200 ") == 4001
        assert memory(server) - before < 12


def memory(server: Running) -> float:
    """Return the MiB that the process has had at most."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--set", "decoders=1") as one:
        yield one


@pytest.mark.parametrize(
    "cut",
    [
        HEAD + b"Content-Length: 5000\r\n\r\nabc",
        HEAD + b"Content-Length: 5000\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
    ],
)
def test_a_body_that_is_cut_is_a_bad_request(server: Running, cut: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(cut)
        connection.shutdown(socket.SHUT_WR)
        said = closed_within(connection, 5)
    assert said is not None
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"the body is incomplete" in said


def test_who_sends_no_more_may_still_read(server: Running) -> None:
    body = jpeg()
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request * 2)
        connection.shutdown(socket.SHUT_WR)
        said = closed_within(connection, 10)
    assert said is not None
    assert said.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("size", [1, 7, 300, 5000])
@pytest.mark.parametrize("chunked", [False, True])
def test_requests_may_be_cut_anywhere(server: Running, size: int, chunked: bool) -> None:
    body = jpeg()
    if chunked:
        parts = b"".join(
            b"%x\r\n%s\r\n" % (len(body[i : i + 999]), body[i : i + 999]) for i in range(0, len(body), 999)
        )
        request = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
    else:
        request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        everything = request * 2 + last
        for start in range(0, len(everything), size):
            connection.sendall(everything[start : start + size])
        said = closed_within(connection, 20)
    assert said is not None
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", said)
    if size == 1 and statuses[0] == b"400":
        return  # a body in crumbs is refused, if they do not come together
    assert statuses == [b"200"] * 3

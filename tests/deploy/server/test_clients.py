"""One client's share: counted with a clock that the test moves, and seen from outside a real server."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.deploy.server.clients import MOST_KNOWN, Clients, client_address, client_name, proxy_network
from tests.deploy.server.running import Running, jpeg, running

TOKEN = "a-token-of-24-characters"
OURS = [proxy_network("10.0.0.0/8"), proxy_network("fd00::1")]


def test_after_a_burst_a_client_has_its_rate() -> None:
    door = Clients(rate=2.0, burst=3, inside=None)
    assert [door.enter("a", 0.0) for _ in range(3)] == [None] * 3
    assert door.enter("a", 0.0) == pytest.approx(0.5)
    assert door.enter("b", 0.0) is None, "another client's share is its own"
    assert door.enter("a", 0.4) == pytest.approx(0.1)
    assert door.enter("a", 0.5) is None
    assert door.enter("a", 0.5) == pytest.approx(0.5), "the refusals before cost nothing"
    assert [door.enter("a", 60.0) for _ in range(4)][:3] == [None] * 3, "a long pause is worth one burst"


def test_what_is_inside_is_bounded_for_each() -> None:
    door = Clients(rate=None, burst=1, inside=2)
    assert [door.enter(client, 0.0) is None for client in "aaab"] == [True, True, False, True]
    door.leave("a")
    assert door.enter("a", 0.0) is None
    for client in "aab":
        door.leave(client)
    assert len(door) == 0


def test_without_limits_everybody_comes_in() -> None:
    door = Clients(rate=None, burst=1, inside=None)
    assert [door.enter("a", 0.0) for _ in range(1000)] == [None] * 1000


def test_only_so_many_clients_are_remembered() -> None:
    door = Clients(rate=0.001, burst=1, inside=1)
    for number in range(2 * MOST_KNOWN):
        assert door.enter(str(number), 0.0) is None
        door.leave(str(number))
    assert len(door) == MOST_KNOWN
    assert door.enter(str(2 * MOST_KNOWN - 1), 1.0) is not None, "the newest are"


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    steps=st.lists(st.floats(0, 0.5), max_size=80),
)
def test_never_more_than_the_rate_and_who_waits_as_told_comes_in(rate: float, burst: int, steps: list[float]) -> None:
    door, now = Clients(rate=rate, burst=burst, inside=None), 0.0
    for admitted, passed in enumerate(steps, 1):
        now += passed
        wait = door.enter("a", now)
        if wait is not None:
            assert wait > 0
            now += wait
            assert door.enter("a", now) is None
        assert admitted <= burst + rate * now + 1e-6 * (1 + rate * now)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),  # nobody asked this peer
        ("10.0.0.5", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.5", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),  # the first the client wrote itself
        ("10.0.0.5", ["203.0.113.9", "198.51.100.1, 10.0.0.9"], "198.51.100.1"),  # two proxies of ours
        ("10.0.0.5", ["10.1.1.1"], "10.1.1.1"),
        ("10.0.0.5", [], "10.0.0.5"),
        ("10.0.0.5", ["198.51.100.1, <script>"], "10.0.0.5"),
        ("10.0.0.5", [""], "10.0.0.5"),
        ("::ffff:10.0.0.5", ["[2001:db8::1]"], "2001:db8::1"),
        ("fd00::1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::2", ["198.51.100.1"], "fd00::2"),
        (None, ["198.51.100.1"], "unknown"),
    ],
)
def test_only_our_own_proxies_say_who_asks(peer: str | None, forwarded: list[str], address: str) -> None:
    assert client_address(peer, forwarded, OURS) == address


def test_one_customer_of_ipv6_is_one_client() -> None:
    assert client_name("2001:db8::1") == client_name("2001:db8::ffff:1") != client_name("2001:db8:0:1::1")
    assert client_name("192.0.2.7") != client_name("192.0.2.8")


@pytest.fixture(scope="module")
def limited() -> Iterator[Running]:
    options = (f"token='{TOKEN}'", "client_rate=0.01", "client_burst=3", "proxies=('127.0.0.1',)", "decoders=1")
    with running(*(part for option in options for part in ("--set", option))) as one:
        yield one


def ask(server: Running, client: str, token: str = TOKEN) -> int:
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": client}
    response = server.predict(jpeg(), headers=headers)
    if response.status_code == 429:
        assert 1 <= int(response.headers["retry-after"]) <= 100
        assert response.json()["error"]["status"] == 429
    return response.status_code


def test_one_client_is_refused_and_others_are_served(limited: Running) -> None:
    assert [ask(limited, "192.0.2.1") for _ in range(5)] == [200] * 3 + [429] * 2
    assert ask(limited, "192.0.2.2") == 200
    assert ask(limited, "192.0.2.3, 192.0.2.1") == 429, "what it writes in front changes nothing"
    assert "client=192.0.2.2" in limited.wait_for("client=192.0.2.2")
    metrics = limited.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    found = re.search(r'^effnet_refused_total\{reason="client"\} (\S+)$', metrics, re.MULTILINE)
    assert found
    assert float(found[1]) == 3
    assert limited.get("/healthz", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 200


def test_wrong_tokens_count_too(limited: Running) -> None:
    assert [ask(limited, "192.0.2.9", "wrong") for _ in range(4)] == [401] * 3 + [429]
    assert ask(limited, "192.0.2.9") == 429


def wait_for_clients(server: Running, count: int) -> None:
    until = time.monotonic() + 20
    while server.metric("effnet_clients") != count:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_slow_upload_takes_a_place_of_its_client_only() -> None:
    options = ("client_inside=1", "proxies=('127.0.0.1',)", "decoders=1")
    with running(*(part for option in options for part in ("--set", option))) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
            slow.sendall(head + b"X-Forwarded-For: 192.0.2.1\r\nContent-Length: 5000\r\n\r\nabc")
            wait_for_clients(server, 1)
            assert ask(server, "192.0.2.1") == 429
            assert ask(server, "192.0.2.2") == 200
        wait_for_clients(server, 0)
        assert ask(server, "192.0.2.1") == 200

"""What the internet does to a server, and that it goes on serving."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.deploy.server.running import Running, jpeg, running

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"


def closed_within(connection: socket.socket, seconds: float) -> bytes | None:
    """Return what the server said before it closed, or None when it did not."""
    connection.settimeout(seconds)
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except TimeoutError:
        return None
    except OSError:
        return said
    return said


def test_slow_clients_are_closed_while_others_are_served() -> None:
    with running("--set", "header_seconds=1", "--set", "body_grace=1", "--set", "decoders=1") as server:
        address = ("127.0.0.1", server.port)
        starts = [
            b"",
            b"GET / HT",
            HEAD,
            HEAD + b"Content-Length: 5000\r\n\r\nabc",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        ]
        slow = [socket.create_connection(address) for _ in range(60)]
        for number, connection in enumerate(slow):
            connection.sendall(starts[number % len(starts)])
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.2):
                for number, connection in enumerate(slow):
                    if number % len(starts) == 3:
                        try:
                            connection.sendall(b"x")
                        except OSError:
                            continue

        trickling = threading.Thread(target=trickle)
        trickling.start()
        assert [server.predict(jpeg()).status_code for _ in range(10)] == [200] * 10
        said = [closed_within(connection, 8) for connection in slow]
        stop.set()
        trickling.join()
        assert None not in said
        bodies = [text for number, text in enumerate(said) if number % len(starts) >= 3]
        assert all(text is not None and (b" 408 " in text or not text) for text in bodies)
        assert any(text is not None and b" 408 " in text for text in bodies)
        for connection in slow:
            connection.close()
        assert server.metric("effnet_body_bytes") == 0


def test_a_body_in_crumbs_is_refused() -> None:
    with running("--set", "decoders=1") as server:
        crumbs = b"1\r\nx\r\n" * 3000
        answer = server.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + crumbs + b"0\r\n\r\n")
        assert answer.split()[1] in (b"400", b"422")  # 422: they came together after all
        assert server.predict(jpeg()).status_code == 200


def test_uploads_share_one_bound_of_memory() -> None:
    with running("--set", "buffered=50000", "--set", "decoders=1") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as holder:
            holder.sendall(HEAD + b"Content-Length: 45000\r\n\r\n" + b"x" * 40000)
            time.sleep(0.3)
            refused = server.predict(b"x" * 20000)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
        time.sleep(0.3)
        assert server.predict(jpeg()).status_code == 200
        assert server.metric("effnet_body_bytes") == 0


def bomb(side: int) -> bytes:
    """Return a PNG of `side` x `side` pixels in a few kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b"\0" * (1 + 4 * side)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_bomb_meets_the_memory_limit() -> None:
    with running("--set", f"decoder_memory={1 << 27}", "--set", "decoders=1", "--set", "deadline=20.0") as server:
        response = server.predict(bomb(6000), "image/png")
        assert response.status_code == 422
        assert server.predict(jpeg()).status_code == 200


def test_an_image_that_takes_too_long_is_given_up() -> None:
    with running("--set", "decoders=1", "--set", "deadline=0.4") as server:
        (stuck,) = server.children()
        os.kill(stuck, signal.SIGSTOP)
        response = server.predict(jpeg())
        assert response.status_code in (422, 504)
        server_is_back(server)
        assert server.children() != [stuck]
        assert server.metric("effnet_decoder_restarts_total") == 1


def test_a_killed_decoder_costs_one_request() -> None:
    with running("--set", "decoders=1", "--set", "deadline=10.0") as server:
        (child,) = server.children()
        os.kill(child, signal.SIGSTOP)
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(server.predict(jpeg())))
        asking.start()
        server.wait_for_inside(1)
        os.kill(child, signal.SIGKILL)
        asking.join(10)
        assert answers[0].status_code == 422
        server_is_back(server)


def test_idle_decoders_that_die_are_replaced() -> None:
    with running("--set", "decoders=2", "--set", "deadline=10.0") as server:
        for child in server.children():
            os.kill(child, signal.SIGKILL)
            wait_until(lambda pid=child: not alive(pid))
        assert [server.predict(jpeg()).status_code for _ in range(4)] == [200] * 4
        wait_until(lambda: server.metric("effnet_decoders") == 2)
        assert server.metric("effnet_decoder_restarts_total") == 2


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def server_is_back(server: Running) -> None:
    for _ in range(100):
        if server.metric("effnet_decoders") and server.predict(jpeg()).status_code == 200:
            return
        time.sleep(0.1)
    raise AssertionError("no decoder came back")


def test_decoders_may_not_open_or_write_anything() -> None:
    with running("--set", "decoders=1") as server:
        (child,) = server.children()
        limits = Path(f"/proc/{child}/limits").read_text()
        rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
        for name in ("Max open files", "Max file size", "Max core file size"):
            assert rows[name] == ["0", "0"]
        assert rows["Max address space"][0] != "unlimited"
        server.predict(jpeg())
        rows = {
            line[:26].strip(): line[26:].split()[:2] for line in Path(f"/proc/{child}/limits").read_text().splitlines()
        }
        assert rows["Max cpu time"][0] != "unlimited"


def ask_together(server: Running, count: int) -> list[tuple[httpx.Response, float]]:
    answers: list[tuple[httpx.Response, float]] = []

    def ask() -> None:
        began = time.monotonic()
        answers.append((server.predict(jpeg()), time.monotonic() - began))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_more_than_can_be_answered_is_refused_at_once() -> None:
    # 0.2 s an image, and a burst may wait for half of 1.6 s: about four can be answered.
    with running("--seconds", "0.2", "--set", "deadline=1.6", "--set", "max_batch=1", "--set", "decoders=1") as server:
        answers = ask_together(server, 20)
        statuses = Counter(response.status_code for response, _ in answers)
        assert set(statuses) <= {200, 503, 504}
        assert 2 <= statuses[200] <= 8
        assert statuses[503] >= 10
        for response, _ in answers:
            if response.status_code == 503:
                assert int(response.headers["retry-after"]) >= 1
        assert server.metric('effnet_refused_total{reason="busy"}') == statuses[503]
        assert server.predict(jpeg()).status_code == 200


def test_a_client_may_want_its_answer_sooner() -> None:
    with running("--seconds", "0.2", "--set", "deadline=5.0", "--set", "max_batch=1", "--set", "decoders=1") as server:
        first = threading.Thread(target=ask_together, args=(server, 3))
        first.start()
        time.sleep(0.1)
        assert server.predict(jpeg(), params={"deadline_ms": 50}).status_code == 504
        first.join()


def test_sigterm_finishes_what_is_inside_and_refuses_the_rest() -> None:
    with running("--seconds", "0.5", "--set", "deadline=20.0", "--set", "max_batch=1", "--set", "decoders=1") as server:
        answers: list[tuple[httpx.Response, float]] = []
        asking = threading.Thread(target=lambda: answers.extend(ask_together(server, 5)))
        asking.start()
        server.wait_for_inside(5)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("stopping inside=")
        late = server.predict(jpeg())
        assert late.status_code == 503
        assert late.headers["connection"] == "close"
        assert server.get("/readyz").status_code == 503
        assert server.get("/healthz").status_code == 200
        asking.join(20)
        assert [response.status_code for response, _ in answers] == [200] * 5
        assert server.process.wait(30) == 0
        server.wait_for("stopped unfinished=0")
        with pytest.raises(httpx.ConnectError):
            server.get("/healthz")


def test_sigterm_finishes_a_request_whose_body_is_still_coming() -> None:
    with running("--set", "deadline=20.0", "--set", "decoders=1") as server:
        body = jpeg()
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:100])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("stopping inside=")
            slow.sendall(body[100:])
            said = closed_within(slow, 20)
        assert said is not None
        assert said.startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(30) == 0


def test_sigterm_does_not_wait_for_those_who_never_finish() -> None:
    with running("--set", "drain_seconds=1", "--set", "decoders=1") as server:
        slow = socket.create_connection(("127.0.0.1", server.port))
        slow.sendall(HEAD + b"Content-Length: 50\r\n\r\nabc")
        time.sleep(0.2)
        assert server.stop() == 0
        slow.close()


def test_nothing_is_left_behind() -> None:
    with running("--set", "decoders=2") as server:
        children = server.children()
        assert len(children) == 2
        assert server.stop() == 0
        assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_decoders_end_with_a_parent_that_was_killed() -> None:
    with running("--set", "decoders=2") as server:
        children = server.children()
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(alive(child) for child in children))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_reload_swaps_the_model_and_a_bad_one_does_not(tmp_path: Path) -> None:
    name = tmp_path / "name"
    name.write_text("first")
    with running("--name-file", str(name), "--set", "decoders=1") as server:
        assert server.predict(jpeg()).json()["model"] == "first"
        name.write_text("second")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reloaded model=second")
        assert server.predict(jpeg()).json()["model"] == "second"
        name.write_text("")
        server.process.send_signal(signal.SIGHUP)
        assert "is empty" in server.wait_for("reload_failed")
        assert server.predict(jpeg()).json()["model"] == "second"
        assert server.metric('effnet_reloads_total{result="ok"}') == 1
        assert server.metric('effnet_reloads_total{result="failed"}') == 1


def test_a_reload_under_load_loses_nothing(tmp_path: Path) -> None:
    name = tmp_path / "name"
    name.write_text("first")
    with running(
        "--name-file", str(name), "--seconds", "0.01", "--set", "deadline=10.0", "--set", "decoders=1"
    ) as server:
        answers: list[tuple[httpx.Response, float]] = []
        asking = threading.Thread(target=lambda: answers.extend(ask_together(server, 40)))
        asking.start()
        name.write_text("second")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reloaded model=second")
        asking.join(20)
        assert Counter(response.status_code for response, _ in answers) == {200: 40}
        assert {response.json()["model"] for response, _ in answers} <= {"first", "second"}

"""What a server makes of the process it gets: few descriptors, streams that are closed or full."""

from __future__ import annotations

import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest

from effnet.deploy.server.process import with_descriptors
from effnet.deploy.server.settings import ServerSettings
from effnet.errors import InputError
from tests.deploy.server.running import ROOT, Running, jpeg, running
from tests.deploy.server.test_confinement import in_child


def limited(soft: int, hard: int, connections: int = 1024) -> object:
    def call() -> object:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        try:
            granted = with_descriptors(ServerSettings(decoders=2, connections=connections)).connections
        except InputError as error:
            return error.what
        return [granted, resource.getrlimit(resource.RLIMIT_NOFILE)[0]]

    return in_child(call)


def test_the_soft_limit_is_raised_as_far_as_needed() -> None:
    assert limited(256, 4096) == [1024, 1264]
    assert limited(2048, 4096) == [1024, 2048]


@pytest.mark.parametrize("hard", [64, 100, 256, 1024])
def test_connections_are_granted_within_the_hard_limit(hard: int) -> None:
    granted, soft = limited(hard, hard)  # type: ignore[misc]
    assert soft == hard
    assert 1 <= granted < hard


def test_too_few_for_a_single_connection_is_told() -> None:
    assert "descriptors are too few" in str(limited(40, 40))


def test_many_connections_never_exhaust_the_descriptors() -> None:
    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))

    with started(limits) as server:
        held = []
        for _ in range(600):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", server.port))
            held.append(connection)
        time.sleep(1.5)
        statuses = [server.predict(jpeg()).status_code for _ in range(10)]
        for connection in held:
            connection.close()
        assert statuses == [200] * 10
        assert not [line for line in server.lines if "Too many open files" in line]
        assert len(server.lines) < 50


class started:
    """A server of the tiny model whose process is changed before it begins."""

    def __init__(self, before: Callable[[], None]) -> None:
        self._running = running("--set", "decoders=1")
        self._before = before

    def __enter__(self) -> Running:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        original = subprocess.Popen.__init__

        def changed(popen: subprocess.Popen[str], *arguments: object, **options: object) -> None:
            original(popen, *arguments, **{**options, "preexec_fn": self._before})  # type: ignore[arg-type,call-overload]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess.Popen, "__init__", changed)
            server = self._running.__enter__()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
        return server

    def __exit__(self, *error: object) -> None:
        self._running.__exit__(None, None, None)


@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", "2>&- >&-", "2>&- >&- <&-", ">/dev/full"])
def test_a_server_starts_without_anybody_who_reads_its_log(streams: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (
        f"exec {shlex.quote(sys.executable)} -m tests.deploy.server.tiny_server --set port={port} --set decoders=1"
    )
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    process = subprocess.Popen(
        ["sh", "-c", f"{command} {streams}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while True:
            assert process.poll() is None
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < until
                time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_what_happens_again_and_again_is_a_line_in_a_while() -> None:
    import io

    from effnet.deploy.server.access_log import Log

    out = io.StringIO()
    log = Log("text", out)
    for number in range(10_000):
        log.trouble("error", "accept", message=f"again {number}")
    log.trouble("error", "other", message="once")
    log.close()
    assert len(re.findall("error", out.getvalue())) == 2

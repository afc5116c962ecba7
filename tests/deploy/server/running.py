"""A real server process on a free port, and a raw client for requests that no library would send."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]


def jpeg(colour: str = "green", size: tuple[int, int] = (300, 200)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG")
    return out.getvalue()


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str = ""
    lines: list[str] = field(default_factory=list)
    # A connection for each request: one that is kept may be closed by the server at any moment, as HTTP allows.
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            timeout=30, verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
    )

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def predict(self, body: bytes, kind: str = "image/jpeg", **options: Any) -> httpx.Response:
        headers = {"Content-Type": kind, **options.pop("headers", {})}
        return self.client.post(f"{self.url}/predict", content=body, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(f"{self.url}{path}", **options)

    def raw(self, request: bytes, *, timeout: float = 10) -> bytes:
        """Send bytes and return everything until the server closes, or says nothing for half a second."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(request)
            connection.settimeout(timeout)
            answer = b""
            with contextlib.suppress(OSError):
                while piece := connection.recv(65536):
                    answer += piece
                    connection.settimeout(0.5)
            return answer

    def children(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return sorted(int(pid) for task in tasks for pid in task.read_text().split())

    def metric(self, name: str) -> float:
        found = re.findall(rf"^{re.escape(name)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(found[0]) if found else 0.0

    def wait_for_inside(self, count: int, seconds: float = 20) -> None:
        """Wait until so many requests are inside."""
        until = time.monotonic() + seconds
        while self.metric("effnet_inside") < count:
            assert time.monotonic() < until
            time.sleep(0.02)

    def wait_for(self, text: str, seconds: float = 20) -> str:
        """Return the first line of the log that has `text`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in list(self.lines):
                if text in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no {text!r} in {self.lines}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


@contextlib.contextmanager
def running(*arguments: str, program: str = "tests.deploy.server.tiny_server", **environment: str) -> Iterator[Running]:
    """Start a server and wait until it is ready; `arguments` are those of `program`."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", program, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    server = Running(process)

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.lines.append(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        server.url = server.wait_for(" at http://").split(" at ")[1].strip()
        yield server
    finally:
        server.client.close()
        process.kill()
        process.wait()
        reader.join(5)
        assert process.stderr is not None
        process.stderr.close()

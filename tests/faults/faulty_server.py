"""A web server on this machine that does wrong on demand."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclasses.dataclass
class Fault:
    """What the server does wrong, once."""

    hang_up: bool = False
    status: int | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    cut_after: int | None = None
    reset: bool = False
    stall_after: int | None = None
    ranges: bool = True
    shift: int = 0
    body: bytes | None = None
    length: int | None = None
    total: int | None = None


class Server(ThreadingHTTPServer):
    """Serves `body` at every path, with the faults of `plan` in order, and writes down what it was asked.

    Questions without a body (HEAD) have a plan of their own.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag: str | None = '"v1"'
        self.date: str | None = None
        self.plan: list[Fault] = []
        self.head_plan: list[Fault] = []
        self.always = Fault()
        self.log: list[tuple[str, str, str | None, int]] = []
        self.release = threading.Event()
        self.guard = threading.Lock()

    def url(self, path: str = "/models/weights.pth") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    @property
    def ranges(self) -> list[str | None]:
        return [wanted for _, _, wanted, _ in self.log]

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that are killed or refuse are the point of these tests


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server = self.server
        with server.guard:
            plan = server.plan if self.command == "GET" else server.head_plan
            fault = plan.pop(0) if plan else server.always
        body = server.body if fault.body is None else fault.body
        start, status = 0, fault.status or 200
        wanted = self.headers.get("Range")
        condition = self.headers.get("If-Range", "")
        fresh = condition in (server.etag, server.date) and not condition.startswith("W/")  # RFC 9110 13.1.5
        if status == 200 and wanted and fresh and fault.ranges:
            start, status = int(wanted.removeprefix("bytes=").removesuffix("-")), 206
            if start >= len(body):
                status = 416
        server.log.append((self.command, self.path, wanted, status))
        self.close_connection = True
        if fault.hang_up:
            return
        self.send_response(status)
        self.send_header("Connection", "close")  # a client that thinks it stays open may send its next question into it
        for name, value in fault.headers.items():
            self.send_header(name, value)
        if status not in (200, 206):
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.date:
            self.send_header("Last-Modified", server.date)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start + fault.shift}-{len(body) - 1}/{fault.total or len(body)}")
        if fault.length != -1:
            self.send_header("Content-Length", str(fault.length if fault.length is not None else len(body) - start))
        self.end_headers()
        if self.command == "GET":
            self.send(body[start:], fault)

    def send(self, data: bytes, fault: Fault) -> None:
        if fault.cut_after is not None:
            data = data[: fault.cut_after]
        first = len(data) if fault.stall_after is None else fault.stall_after
        self.wfile.write(data[:first])
        self.wfile.flush()
        if fault.stall_after is not None:
            self.server.release.wait(20)
            self.wfile.write(data[first:])
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()

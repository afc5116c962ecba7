"""What do clients cost that ask and never read, and does the server end in spite of them?

    python benchmarks/deaf_clients.py BUNDLE IMAGE [--clients 1030]

So many connections each ask for the page's script 400 times and read nothing. Meanwhile one client asks for a
prediction every half second, for 15 s. Then 200 more come, and the server gets SIGTERM. All on this machine.
Bars: every prediction answered with 200 or 503, those of the last 5 s with 200; nothing held after 10 s but what was
there before; SIGTERM ends the process within 30 s with status 0.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import time
from pathlib import Path

from server_process import Server, serving

ASK = b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400


def deaf(port: int, count: int) -> list[socket.socket]:
    clients = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        client.sendall(ASK)
        clients.append(client)
    return clients


def status(port: int, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/predict", body, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse().status
    connection.close()
    return answer


def descriptors(server: Server) -> int:
    return sum(1 for _ in Path(f"/proc/{server.process.pid}/fd").iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--clients", type=int, default=1030)
    given = parser.parse_args()
    body = given.image.read_bytes()
    with serving(given.bundle, "--threads", "1", cores=sorted(os.sched_getaffinity(0))) as server:
        before, memory = descriptors(server), server.memory_mb()
        clients = deaf(server.port, given.clients)
        began, answers, most = time.monotonic(), [], memory
        while time.monotonic() - began < 15:
            answers.append((round(time.monotonic() - began, 1), status(server.port, body)))
            most = max(most, server.memory_mb())
            time.sleep(0.5)
        left = descriptors(server) - before
        more = deaf(server.port, 200)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
        ended = time.monotonic() - began
    figures = {
        "clients": given.clients,
        "statuses": sorted({code for _, code in answers}),
        "first": answers[0],
        "descriptors_left": left,
        "memory_mb": [round(memory), round(most)],
        "sigterm": {"status": code, "seconds": round(ended, 2)},
        "passed": {code for _, code in answers} <= {200, 503}
        and {code for at, code in answers if at > 10} == {200}
        and left <= 2
        and code == 0
        and ended < 30,
    }
    print(json.dumps(figures, indent=2))
    for client in (*clients, *more):
        client.close()


if __name__ == "__main__":
    main()

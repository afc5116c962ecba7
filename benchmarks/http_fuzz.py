"""Requests that are wrong in many ways, as bytes, for a server that must answer none of them with 500."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence

LOOPBACK = "127.0.0.1"
PATHS = (
    "/predict",
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/about",
    "/openapi.json",
    "/explain",
    "/nope",
    "/predict/",
)
METHODS = ("POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "post", "X" * 30, "")
TYPES = (
    "image/jpeg",
    "application/octet-stream",
    "multipart/form-data; boundary=b",
    "multipart/form-data",
    "multipart/form-data; boundary=" + "b" * 300,
    "text/plain",
    "image/jpeg; q=\xe9",
    "\x01",
    ";;;",
    "",
)
QUERIES = (
    "",
    "?top=1",
    "?top=0",
    "?top=99999999999",
    "?top=%00",
    "?deadline_ms=1",
    "?a=%ff%fe",
    "?top=1&top=2",
    "?" + "x" * 5000,
)


def seeds(images: Sequence[bytes]) -> list[bytes]:
    """Return bodies to start from: images, forms around them, and nothing."""
    form = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n%s\r\n--b--\r\n'
    return [b"", b"\0" * 64, *images, *(form % image for image in images)]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return `data` with some bytes changed, cut, repeated or added."""
    changed = bytearray(data)
    for _ in range(chance.choice((0, 1, 3, 20))):
        place = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            del changed[place : place + chance.choice((1, 10, 1000, len(changed)))]
        elif kind == 1:
            changed[place:place] = chance.randbytes(chance.choice((1, 4, 100)))
        elif kind == 2 and changed:
            changed[min(place, len(changed) - 1)] ^= 1 << chance.randrange(8)
        else:
            changed[place:place] = changed[place : place + 200]
    return bytes(changed[:200_000])


def request(bodies: Sequence[bytes], chance: random.Random) -> bytes:
    """Return one whole request, well formed or not."""
    body = mutated(chance.choice(bodies), chance)
    path = chance.choice(PATHS[:1] * 8 + PATHS) + chance.choice(QUERIES)
    method = "POST" if chance.random() < 0.8 else chance.choice(METHODS)
    version = "HTTP/1.1" if chance.random() < 0.95 else chance.choice(("HTTP/1.0", "HTTP/2", "HTTP/9.9", "", "\0"))
    fields = [f"Host: {LOOPBACK}"] if chance.random() < 0.97 else []
    if chance.random() < 0.95:
        fields.append(f"Content-Type: {chance.choice(TYPES[:3] * 3 + TYPES)}")
    for text in (
        "Content-Encoding: gzip",
        "Expect: 100-continue",
        "Upgrade: websocket\r\nConnection: Upgrade",
        "Range: bytes=0-",
        "Authorization: Bearer \xff",
        "X: " + "y" * 9000,
        "A\0: b",
        "Content-Length: 3",
    ):
        if chance.random() < 0.02:
            fields.append(text)
    kind = chance.random()
    if kind < 0.85:
        fields.append(f"Content-Length: {len(body)}")
    elif kind < 0.95:
        fields.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    elif kind < 0.98:
        fields.append(f"Content-Length: {chance.choice((-1, 10**30, len(body) + 5, max(0, len(body) - 5)))}")
    raw = (
        f"{method} {path} {version}\r\n".encode("latin-1") + "\r\n".join(fields).encode("latin-1") + b"\r\n\r\n" + body
    )
    return mutated(raw, chance) if chance.random() < 0.1 else raw


async def send(port: int, raw: bytes) -> str:
    """Send one request on a connection of its own and return the status; `closed` when that is the answer."""
    answer = b""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            writer.write(raw)
            answer = await asyncio.wait_for(reader.read(4096), 20)
        finally:
            writer.close()
    except OSError:
        pass
    except TimeoutError:
        return "silent"
    status = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return status[1].decode() if status else "closed"


async def fuzz(port: int, images: Sequence[bytes], count: int, seed: int = 0) -> dict[str, int]:
    """Send `count` requests, 24 at a time, and return how many ended in each status."""
    chance, bodies = random.Random(seed), seeds(images)
    work = [request(bodies, chance) for _ in range(count)]
    found: Counter[str] = Counter()

    async def worker() -> None:
        while work:
            found[await send(port, work.pop())] += 1

    await asyncio.gather(*(worker() for _ in range(24)))
    return dict(sorted(found.items()))

"""An open-loop load generator for one server on this machine: requests leave when they are due, whatever came back.

Latencies count from the moment a request was due, so a server that is late cannot slow its own measurement down.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
MOST_OPEN = 512


@dataclass(slots=True)
class Outcome:
    """One request: when it was due, seconds to its answer, and the status; 0 when there was none."""

    due: float
    seconds: float
    status: int
    sent: float = 0.0
    note: str = ""


@dataclass(slots=True)
class Load:
    """What a stretch of load gave."""

    seconds: float
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def unexpected(self) -> dict[str, int]:
        """What was said where neither an answer nor a refusal came."""
        return dict(Counter(o.note for o in self.outcomes if o.note))

    @property
    def statuses(self) -> dict[str, int]:
        return {str(status): count for status, count in sorted(Counter(o.status for o in self.outcomes).items())}

    def rate(self, status: int = 200) -> float:
        return sum(o.status == status for o in self.outcomes) / self.seconds

    def latency_ms(self, *statuses: int) -> dict[str, float]:
        times = sorted(o.seconds for o in self.outcomes if o.status in (statuses or (200,)))
        return percentiles(times)


def percentiles(times: Sequence[float]) -> dict[str, float]:
    if not times:
        return {}
    ordered = sorted(times)

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": round(1000 * ordered[-1], 2)}


def post(body: bytes, path: str = "/predict", kind: str = "image/jpeg") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Client:
    """Connections that are kept and used again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []
        self._open = asyncio.Semaphore(MOST_OPEN)

    async def ask(self, request: bytes, due: float | None = None) -> Outcome:
        due = time.perf_counter() if due is None else due
        async with self._open:
            sent = time.perf_counter()
            try:
                status, text = await asyncio.wait_for(self._exchange(request), 60)
                note = "" if status in (200, 503) else text.decode(errors="replace")[:200]
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
                status, note = 0, type(error).__name__
        return Outcome(due=due, seconds=time.perf_counter() - due, status=status, sent=sent, note=note)

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        reader, writer = await self._connection()
        try:
            writer.write(request)
            status, keep, text = await _response(reader)
        except BaseException:
            writer.close()
            raise
        if keep:
            self._idle.append((reader, writer, time.perf_counter()))
        else:
            writer.close()
        return status, text

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer, since = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing() and time.perf_counter() - since < 3:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(LOOPBACK, self._port)

    def close(self) -> None:
        for _, writer, _ in self._idle:
            writer.close()


async def _response(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    fields = dict(line.split(b":", 1) for line in lines[1:] if b":" in line)
    text = await reader.readexactly(int(fields.get(b"content-length", b"0")))
    return int(lines[0].split()[1]), fields.get(b"connection", b"").strip() != b"close", text


async def open_loop(client: Client, requests: Sequence[bytes], rate: float, seconds: float, *, seed: int = 0) -> Load:
    """Send at `rate` a second with exponential gaps (a Poisson stream) for `seconds`, then wait for all answers."""
    chance = random.Random(seed)
    began = time.perf_counter()
    due, tasks = began, []
    while due < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(client.ask(chance.choice(requests), due)))
        due += chance.expovariate(rate)
    return Load(seconds, list(await asyncio.gather(*tasks)))


async def closed_loop(
    client: Client, requests: Sequence[bytes], clients: int, seconds: float, *, seed: int = 0
) -> Load:
    """Keep `clients` requests in the server for `seconds`; all come equally often, as some cost more than others."""
    order = list(requests)
    random.Random(seed).shuffle(order)
    next_ones = itertools.cycle(order)
    outcomes: list[Outcome] = []
    until = time.perf_counter() + seconds

    async def one() -> None:
        while time.perf_counter() < until:
            outcomes.append(await client.ask(next(next_ones)))

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return Load(time.perf_counter() - began, outcomes)


async def one_by_one(client: Client, requests: Sequence[bytes], count: int, pause: float, *, seed: int = 0) -> Load:
    """Send single requests with pauses between them: the latency of a server that has nothing else to do."""
    chance = random.Random(seed)
    began, outcomes = time.perf_counter(), []
    for _ in range(count):
        outcomes.append(await client.ask(chance.choice(requests)))
        await asyncio.sleep(pause)
    return Load(time.perf_counter() - began, outcomes)


async def slow_client(port: int, kind: str, seconds: float) -> float | None:
    """Open a connection, send so slowly that no request ends, and return the seconds until the server closed it."""
    body = b"Content-Length: 100000\r\n\r\n"
    start = {
        "silent": b"",
        "head": b"POST /predict HTTP/1.1\r\nHost: ",
        "body": b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n" + body,
        "chunks": b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    }[kind]
    drop = {"silent": b"", "head": b"x", "body": b"x", "chunks": b"1\r\nx\r\n"}[kind]
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    began = time.perf_counter()
    try:
        writer.write(start)
        while time.perf_counter() < began + seconds:
            with contextlib.suppress(TimeoutError):
                # The server's end: end of file, after what it may still say.
                if not await asyncio.wait_for(reader.read(65536), 0.5):
                    return time.perf_counter() - began
            writer.write(drop)
        return None
    except OSError:
        return time.perf_counter() - began
    finally:
        writer.close()

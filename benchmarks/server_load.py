"""What does the server cost, and what does it do when too much comes?

Everything that serves (event loop, decoding process, engine with one thread) is bound to one core, and so
is the bare engine that it is compared with: one loop that decodes, prepares, computes and names one image after the
other, in one process, with the same decoder and engine. What asks is bound to another core. Rounds of bare and server
are interleaved; the ratio is the median of the rounds' ratios.

    python benchmarks/server_load.py BUNDLE IMAGE... [--parts goodput,overload,slow,sigterm,fuzz] [--soak-minutes 20]

Bars: goodput >= 90 % of the bare engine at saturation (8 clients that never pause); at twice the load that the bare
engine could do, as a Poisson stream, p99 of what is accepted <= 3 times the
latency without load (its p99 too), refusals within 50 ms at p99; 400 slow clients closed within 10 s while >= 99 % of
normal requests are answered; SIGTERM loses nothing that is inside; no 500 in 5,000 wrong requests; a soak grows
<= 50 MB. Each part writes its figures into the results file and leaves those of the other parts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from http_fuzz import fuzz
from load_client import Client, Load, closed_loop, one_by_one, open_loop, post, slow_client
from machine import describe
from server_process import Server, bare_rate, serving, wait_ended

RESULTS = Path(__file__).parent / "results" / "server_load.json"
CLIENTS = 8
"""Of a saturated server: each sends its next request as soon as it has an answer."""

SLOW_KINDS = ("silent", "head", "body", "chunks")


class Bench:
    """The parts, each returning its figures."""

    def __init__(self, bundle: Path, images: list[Path], given: argparse.Namespace) -> None:
        self.bundle = bundle
        self.images = images
        self.given = given
        self.requests = [post(path.read_bytes()) for path in images]
        self.machine = describe(
            "onnxruntime", "uvicorn", "httptools", "starlette", "numpy", "pillow"
        )  # before the cores are shared out
        cores = sorted(os.sched_getaffinity(0))
        self.serving_core, self.asking_core = cores[0], cores[-1]
        os.sched_setaffinity(0, {self.asking_core})

    def server(self, *options: str):  # type: ignore[no-untyped-def]
        return serving(self.bundle, "--threads", "1", "--decoders", "1", *options, cores=[self.serving_core])

    def goodput(self) -> dict[str, object]:
        """Bare engine against a saturated server, in interleaved rounds."""
        rounds = [self._one_round(seed) for seed in range(self.given.rounds)]
        ratios = [one["server"] / one["bare"] for one in rounds]
        ratio = statistics.median(ratios)
        shown = {"rounds": rounds, "ratios": [round(r, 3) for r in ratios], "ratio": round(ratio, 3)}
        return {"clients": CLIENTS, **shown, "bar": 0.9, "passed": ratio >= 0.9}

    def _one_round(self, seed: int) -> dict[str, object]:
        bare = self.bare()
        with self.server() as server:
            load, busy = asyncio.run(_with(server, lambda client: self._saturated(client, server, seed)))
        rates = {"bare": round(bare, 2), "server": round(load.rate(), 2)}
        return {**rates, "share_of_core_used": round(busy, 3), "statuses": load.statuses}

    async def _saturated(self, client: Client, server: Server, seed: int) -> tuple[Load, float]:
        await closed_loop(client, self.requests, CLIENTS, 1.0)
        before, began = server.cpu_seconds(), time.perf_counter()
        load = await closed_loop(client, self.requests, CLIENTS, self.given.seconds, seed=seed)
        return load, (server.cpu_seconds() - before) / (time.perf_counter() - began)

    def bare(self) -> float:
        seconds, cores = self.given.seconds, [self.serving_core]
        return bare_rate(self.bundle, self.images, threads=1, seconds=seconds, cores=cores)

    def overload(self) -> dict[str, object]:
        """Latency without load, then twice the load that the bare engine could do."""
        bare = self.bare()
        with self.server() as server:
            unloaded, load = asyncio.run(_with(server, lambda client: self._twice(client, bare)))
            banner = server.banner
        accepted, refused = load.latency_ms(200), load.latency_ms(503)
        alone = unloaded.latency_ms(200)
        return {
            "server": banner,
            "bare_rate": round(bare, 2),
            "offered_rate": round(2 * bare, 2),
            "seconds": self.given.overload_seconds,
            "statuses": load.statuses,
            "unexpected": load.unexpected,
            "goodput": round(load.rate(), 2),
            "goodput_of_bare": round(load.rate() / bare, 3),
            "unloaded_ms": alone,
            "accepted_ms": accepted,
            "accepted_ms_after_10_s": Load(
                1, [o for o in load.outcomes if o.due > load.outcomes[0].due + 10]
            ).latency_ms(),
            "refused_ms": refused,
            "p99_accepted_over_p99_unloaded": round(accepted["p99"] / alone["p99"], 2),
            "p99_accepted_over_p50_unloaded": round(accepted["p99"] / alone["p50"], 2),
            "bars": {"p99_ratio": 3, "refused_p99_ms": 50},
            "passed": accepted["p99"] <= 3 * alone["p99"] and refused.get("p99", 0) <= 50,
        }

    async def _twice(self, client: Client, bare: float) -> tuple[Load, Load]:
        await one_by_one(client, self.requests, 30, 0.01)
        unloaded = await one_by_one(client, self.requests, 300, 0.03)
        return unloaded, await open_loop(client, self.requests, 2 * bare, self.given.overload_seconds)

    def slow(self) -> dict[str, object]:
        """400 clients that never finish a request, while normal ones come at half the capacity."""
        bare = self.bare()
        with self.server() as server:
            closed, load = asyncio.run(_with(server, lambda client: self._beside_slow(client, server, bare)))
        times = [seconds for seconds in closed if seconds is not None]
        good = sum(o.status == 200 for o in load.outcomes) / len(load.outcomes)
        return {
            "slow_clients": len(closed),
            "kinds": SLOW_KINDS,
            "left_open_after_20_s": len(closed) - len(times),
            "closed_after_s": {"median": round(statistics.median(times), 2), "max": round(max(times), 2)},
            "normal_rate": round(0.5 * bare, 2),
            "normal_statuses": load.statuses,
            "normal_answered": round(good, 4),
            "normal_ms": load.latency_ms(200),
            "bars": {"closed_s": 10, "answered": 0.99},
            "passed": len(times) == len(closed) and max(times) <= 10 and good >= 0.99,
        }

    async def _beside_slow(self, client: Client, server: Server, bare: float) -> tuple[list[float | None], Load]:
        await closed_loop(client, self.requests, 2, 1.0)
        slow = [asyncio.create_task(slow_client(server.port, SLOW_KINDS[i % 4], 20)) for i in range(400)]
        load = await open_loop(client, self.requests, 0.5 * bare, 15)
        return list(await asyncio.gather(*slow)), load

    def sigterm(self) -> dict[str, object]:
        """Stop servers under load: what was sent before the signal must be answered."""
        bare = self.bare()
        rounds = [self._one_stop(bare, seed) for seed in range(self.given.stops)]
        lost = sum(one["lost"] for one in rounds)
        slowest = max(one["ended_after_s"] for one in rounds)
        return {"rounds": rounds, "lost": lost, "slowest_end_s": slowest, "passed": lost == 0 and slowest <= 30}

    def _one_stop(self, bare: float, seed: int) -> dict[str, object]:
        with self.server() as server:
            signalled, load, ended = asyncio.run(
                _with(server, lambda client: self._stopped(client, server, bare, seed))
            )
            code = server.process.returncode
        before = [o for o in load.outcomes if o.sent and o.sent < signalled]
        inside = [o for o in before if o.sent + (o.seconds - (o.sent - o.due)) >= signalled]
        after = Counter(o.status for o in load.outcomes if o.sent >= signalled)
        return {
            "inside_at_signal": len(inside),
            "inside_statuses": dict(Counter(str(o.status) for o in inside)),
            "lost": sum(o.status == 0 for o in before),
            "statuses_after_signal": {str(status): count for status, count in sorted(after.items())},
            "unanswered_after_signal": dict(Counter(o.note for o in load.outcomes if o.sent >= signalled and o.note)),
            "ended_after_s": round(ended, 2) if ended is not None else float("inf"),
            "exit_code": code,
        }

    async def _stopped(
        self, client: Client, server: Server, bare: float, seed: int
    ) -> tuple[float, Load, float | None]:
        await closed_loop(client, self.requests, 2, 0.5)
        load = asyncio.create_task(open_loop(client, self.requests, 1.2 * bare, 3, seed=seed))
        await asyncio.sleep(2)
        server.terminate()
        signalled = time.perf_counter()
        ended = asyncio.create_task(asyncio.to_thread(wait_ended, server, 35))
        return signalled, await load, await ended

    def fuzz(self) -> dict[str, object]:
        """5,000 wrong requests over raw sockets; the description of the interface is tested with schemathesis in CI."""
        images = [path.read_bytes() for path in self.images[:4]]
        with self.server() as server:
            found = asyncio.run(fuzz(server.port, images, self.given.fuzz))
            alive = asyncio.run(_with(server, lambda client: one_by_one(client, self.requests, 20, 0))).statuses
            restarts = server.metric("effnet_decoder_restarts_total")
        bad = found.get("500", 0) + found.get("silent", 0)
        shown = {"requests": self.given.fuzz, "statuses": found, "decoder_restarts": restarts, "then": alive}
        return {**shown, "passed": bad == 0 and alive == {"200": 20}}

    def soak(self) -> dict[str, object]:
        """Minutes of changing load, pauses not counted; memory of the server and its children, and open descriptors."""
        bare = self.bare()
        with self.server() as server:
            rows, load, unexpected = asyncio.run(_with(server, lambda client: self._soaked(client, server, bare)))
            restarts = server.metric("effnet_decoder_restarts_total")
        first, last = rows[1], rows[-1]
        growth = last["memory_mb"] - first["memory_mb"]
        return {
            "minutes": self.given.soak_minutes,
            "rows": rows,
            "statuses": load,
            "unexpected": unexpected,
            "decoder_restarts": restarts,
            "growth_mb": round(growth, 1),
            "bar_mb": 50,
            "passed": growth <= 50 and last["descriptors"] <= first["descriptors"] + 20,
        }

    async def _soaked(
        self, client: Client, server: Server, bare: float
    ) -> tuple[list[dict[str, float]], dict[str, int], dict[str, int]]:
        statuses: Counter[str] = Counter()
        unexpected: Counter[str] = Counter()
        rows: list[dict[str, float]] = []
        loaded, seed = 0.0, 0
        while True:
            minutes = loaded / 60
            row = {"minute": minutes, "memory_mb": server.memory_mb(), "descriptors": server.descriptors()}
            rows.append({name: round(value, 1) for name, value in row.items()})
            if minutes >= self.given.soak_minutes:
                return rows, dict(statuses), dict(unexpected)
            for share in (0.2, 0.6, 1.5):
                seed += 1
                loaded += self.given.soak_step
                load = await open_loop(client, self.requests, share * bare, self.given.soak_step, seed=seed)
                statuses.update(load.statuses)
                unexpected.update(load.unexpected)


async def _with(server: Server, use: Callable[[Client], object]):  # type: ignore[no-untyped-def]
    client = Client(server.port)
    try:
        return await use(client)  # type: ignore[misc]
    finally:
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path, nargs="+", help="JPEG files; the first --use of them")
    parser.add_argument("--parts", default="goodput,overload,slow,sigterm,fuzz")
    parser.add_argument("--use", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="of each round of goodput")
    parser.add_argument("--overload-seconds", type=float, default=120)
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--fuzz", type=int, default=5000)
    parser.add_argument("--soak-minutes", type=float, default=0)
    parser.add_argument("--soak-step", type=float, default=10)
    parser.add_argument("--note", help="what else the reader must know, such as other work on the machine")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    bench = Bench(given.bundle, sorted(given.images)[: given.use], given)
    parts = [*(given.parts.split(",") if given.parts else []), *(["soak"] if given.soak_minutes else [])]
    result = json.loads(given.output.read_text()) if given.output.exists() else {}
    for part in parts:
        figures = getattr(bench, part)()
        head = {"model": given.bundle.name, "images": len(bench.images), "machine": bench.machine}
        if given.note:
            head["note"] = given.note
        cores = {"serving_core": bench.serving_core, "asking_core": bench.asking_core}
        result[part] = {**head, **cores, **figures}
        given.output.write_text(json.dumps(result, indent=1) + "\n")
        print(part, json.dumps({name: value for name, value in figures.items() if name not in ("rows", "rounds")}))


if __name__ == "__main__":
    main()

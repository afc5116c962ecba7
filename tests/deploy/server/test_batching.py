"""The line is pure and is tested with numbers for time; the batcher with an engine that waits to be told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from effnet.deploy.server.batching import Batcher, ExpiredError, Line, Waiting


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def test_the_line_is_served_in_order_and_in_batches() -> None:
    async def test() -> None:
        line: Line[int, int] = Line()
        loop = asyncio.get_running_loop()
        for number in range(5):
            line.join(Waiting(number, 10.0, 0.0, loop.create_future()))
        assert [w.item for w in line.take(1.0, 2)] == [0, 1]
        assert [w.item for w in line.take(1.0, 9)] == [2, 3, 4]
        assert line.take(1.0, 9) == []

    run(test)


def test_those_that_are_late_or_gone_are_not_in_the_batch() -> None:
    async def test() -> None:
        line: Line[str, str] = Line()
        loop = asyncio.get_running_loop()
        late, gone, good = (loop.create_future() for _ in range(3))
        line.join(Waiting("late", 1.0, 0.0, late))
        line.join(Waiting("gone", 9.0, 0.0, gone))
        line.join(Waiting("good", 9.0, 0.0, good))
        gone.cancel()
        assert [w.item for w in line.take(2.0, 8)] == ["good"]
        assert isinstance(late.exception(), ExpiredError)
        assert len(line) == 0

    run(test)


class Engine:
    """Doubles numbers, one batch each time it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        assert self.go.acquire(timeout=10)
        if 13 in items:
            raise ValueError("thirteen")
        return [2 * item for item in items]


def batcher(engine: Engine, most: int = 4) -> Batcher[int, int]:
    return Batcher(engine, most=most)


async def waiting_in_line(one: Batcher[int, int], depth: int) -> None:
    while one.depth != depth or one.running_since is None:
        await asyncio.sleep(0.001)


def far() -> float:
    return asyncio.get_running_loop().time() + 60


def test_what_waits_while_the_engine_works_is_its_next_batch() -> None:
    async def test() -> None:
        engine = Engine()
        one = batcher(engine)
        first = asyncio.create_task(one.submit(1, far()))
        await waiting_in_line(one, 0)  # a lone item goes at once
        rest = [asyncio.create_task(one.submit(number, far())) for number in range(2, 8)]
        await waiting_in_line(one, 6)
        for _ in range(3):
            engine.go.release()
        results = await asyncio.gather(first, *rest)
        assert [timed.result for timed in results] == [2, 4, 6, 8, 10, 12, 14]
        assert engine.batches == [[1], [2, 3, 4, 5], [6, 7]]
        assert [timed.batch for timed in results] == [1, 4, 4, 4, 4, 2, 2]
        assert all(timed.queued >= 0 and timed.running > 0 for timed in results)

    run(test)


def test_a_failed_batch_fails_its_own_requests_only() -> None:
    async def test() -> None:
        engine = Engine()
        one = batcher(engine, most=2)
        tasks = [asyncio.create_task(one.submit(number, far())) for number in (0, 1, 13, 2, 3)]
        await waiting_in_line(one, 4)  # the first is in the engine by itself
        for _ in range(4):
            engine.go.release()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, ValueError) for result in results] == [False, True, True, False, False]

    run(test)


def test_expired_requests_never_reach_the_engine() -> None:
    async def test() -> None:
        engine = Engine()
        one = batcher(engine)
        first = asyncio.create_task(one.submit(1, far()))
        await waiting_in_line(one, 0)
        late = asyncio.create_task(one.submit(2, asyncio.get_running_loop().time() + 0.001))
        gone = asyncio.create_task(one.submit(3, far()))
        good = asyncio.create_task(one.submit(4, far()))
        await waiting_in_line(one, 3)
        gone.cancel()
        await asyncio.sleep(0.01)
        engine.go.release()
        engine.go.release()
        with pytest.raises(ExpiredError):
            await late
        assert (await first).result == 2
        assert (await good).result == 8
        assert engine.batches == [[1], [4]]

    run(test)


def test_the_thread_ends_with_its_batcher() -> None:
    async def test() -> None:
        engine = Engine()
        before = set(threading.enumerate())
        one = batcher(engine)
        (thread,) = set(threading.enumerate()) - before
        engine.go.release()
        await one.submit(1, far())
        assert thread.is_alive()
        del one
        while thread.is_alive():
            await asyncio.sleep(0.001)

    run(test)

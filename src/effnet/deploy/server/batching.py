"""Dynamic batching: what waits while the engine works becomes its next batch.

There is no timer. When the engine is free the first image goes at once, so a lone request never waits for company; when
it is busy, company gathers by itself. The engine runs in one thread, so the event loop goes on reading and refusing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class ExpiredError(Exception):
    """A deadline passed before the engine was free."""


@dataclass(slots=True, eq=False)
class Waiting(Generic[Item, Result]):
    """One item in line.

    Attributes:
        item: what the engine will see.
        deadline: when its answer is worth nothing any more.
        since: when it came.
        future: gets the result, or ExpiredError; cancelled when nobody waits for it any more.
    """

    item: Item
    deadline: float
    since: float
    future: asyncio.Future[Result] = field(repr=False)


class Line(Generic[Item, Result]):
    """First come, first served, without those for whom it is too late."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting[Item, Result]] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def join(self, waiting: Waiting[Item, Result]) -> None:
        """Come last."""
        self._waiting.append(waiting)

    def take(self, now: float, most: int) -> list[Waiting[Item, Result]]:
        """Return the next batch, at most `most`; tell those that expired, drop those that were given up."""
        batch: list[Waiting[Item, Result]] = []
        while self._waiting and len(batch) < most:
            first = self._waiting.popleft()
            if first.future.done():
                continue
            if first.deadline <= now:
                first.future.set_exception(ExpiredError())
            else:
                batch.append(first)
        return batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed(Generic[Result]):
    """A result and how long it took: seconds in line, seconds in the engine, and how many items were in its batch."""

    result: Result
    queued: float
    running: float
    batch: int


class Batcher(Generic[Item, Result]):
    """Runs a function on batches of what is submitted, in one thread, one batch at a time.

    Attributes:
        running_since: when the batch now in the engine began, on the loop's clock; None between batches.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        executor: Executor,
        most: int,
        finished: Callable[[float, int], None] = lambda now, count: None,
    ) -> None:
        """Take the engine.

        Args:
            run: called in a thread of `executor` with 1 to `most` items; returns as many results.
            executor: has one thread.
            most: items in a batch.
            finished: called with the loop's time and the batch's size after each batch.
        """
        self.running_since: float | None = None
        self._run = run
        self._executor = executor
        self._most = most
        self._finished = finished
        self._line: Line[Item, Timed[Result]] = Line()
        self._loop = asyncio.get_running_loop()
        self._worker: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Items in line."""
        return len(self._line)

    async def submit(self, item: Item, deadline: float) -> Timed[Result]:
        """Return the result for one item.

        Args:
            item: as `run` takes them.
            deadline: on the loop's clock.

        Raises:
            ExpiredError: the deadline passed first.
            Exception: what `run` raised; every item of that batch gets it.
        """
        future: asyncio.Future[Timed[Result]] = self._loop.create_future()
        self._line.join(Waiting(item, deadline, self._loop.time(), future))
        if self._worker is None:
            self._worker = self._loop.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while batch := self._line.take(self._loop.time(), self._most):
                await self._one(batch)
        finally:
            self._worker = None

    async def _one(self, batch: Sequence[Waiting[Item, Timed[Result]]]) -> None:
        began = self.running_since = self._loop.time()
        results: Sequence[Result] | None = None
        failure: Exception | None = None
        try:
            results = await self._loop.run_in_executor(self._executor, self._run, [w.item for w in batch])
        except Exception as error:
            failure = error
        ended = self._loop.time()
        self.running_since = None
        self._finished(ended, len(batch))
        for place, waiting in enumerate(batch):
            if waiting.future.done():
                continue
            if results is None:
                assert failure is not None
                waiting.future.set_exception(failure)
                continue
            waiting.future.set_result(
                Timed(result=results[place], queued=began - waiting.since, running=ended - began, batch=len(batch))
            )

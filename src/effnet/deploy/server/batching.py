"""Dynamic batching: what waits while the engine works becomes its next batch.

There is no timer. When the engine is free the first image goes at once, so a lone request never waits for company; when
it is busy, company gathers by itself. The engine runs in one thread, so the event loop goes on reading and refusing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeAlias, TypeVar
from weakref import finalize

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


Batch: TypeAlias = list[Waiting[Item, Timed[Result]]]
Outcome: TypeAlias = Sequence[Result] | Exception
_Work: TypeAlias = tuple[list[Item], Callable[[Outcome[Result]], None]]


class Batcher(Generic[Item, Result]):
    """Runs a function on batches of what is submitted, in a thread of its own, one batch at a time.

    The thread ends when nobody holds the batcher any more. (A queue and a thread are all that an executor would be used
    for here; what else it does costs as much a request as reading the request's head.)

    Attributes:
        running_since: when the batch now in the engine began, on the loop's clock; None between batches.
        stuck: whether that batch has been in the engine for longer than it may.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        most: int,
        finished: Callable[[float, int, float], None] = lambda now, count, running: None,
        limit: float | None = None,
    ) -> None:
        """Take the engine.

        Args:
            run: called in the thread with 1 to `most` items; returns as many results.
            most: items in a batch.
            finished: called with the loop's time, the batch's size and its seconds in the engine after each batch.
            limit: seconds that a batch may take; those that wait for it, or behind it, then wait no longer. None: any.
        """
        self.running_since: float | None = None
        self.stuck = False
        self._limit = limit
        self._timer: asyncio.TimerHandle | None = None
        self._most = most
        self._finished = finished
        self._line: Line[Item, Timed[Result]] = Line()
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[_Work[Item, Result] | None] = SimpleQueue()
        # A daemon, as an engine that does not come back must not keep the process alive.
        Thread(target=_serve, args=(run, self._work), name="effnet-engine", daemon=True).start()
        finalize(self, self._work.put, None)

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
            ExpiredError: the deadline passed first, or the engine does not come back.
            Exception: what `run` raised; every item of that batch gets it.
        """
        if self.stuck:
            raise ExpiredError
        future: asyncio.Future[Timed[Result]] = self._loop.create_future()
        self._line.join(Waiting(item, deadline, self._loop.time(), future))
        if self.running_since is None:
            self._begin()
        return await future

    def _begin(self) -> None:
        now = self._loop.time()
        batch = self._line.take(now, self._most)
        self.running_since = now if batch else None
        if batch:
            if self._limit is not None:
                self._timer = self._loop.call_later(self._limit, self._give_up, batch)
            self._work.put(([waiting.item for waiting in batch], partial(self._wake, batch)))

    def _wake(self, batch: Batch[Item, Result], outcome: Outcome[Result]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._end, batch, outcome)

    def _give_up(self, batch: Batch[Item, Result]) -> None:
        self.stuck = True
        for waiting in (*batch, *self._line.take(-math.inf, len(self._line))):
            if not waiting.future.done():
                waiting.future.set_exception(ExpiredError())

    def _end(self, batch: Batch[Item, Result], outcome: Outcome[Result]) -> None:
        began, ended = self.running_since, self._loop.time()
        assert began is not None
        self.stuck = False
        if self._timer is not None:
            self._timer.cancel()
        self._finished(ended, len(batch), ended - began)
        self._begin()  # before the answers: the engine shall not wait for them to be written
        for place, waiting in enumerate(batch):
            if waiting.future.done():
                continue
            if isinstance(outcome, Exception):
                waiting.future.set_exception(outcome)
                continue
            waiting.future.set_result(
                Timed(result=outcome[place], queued=began - waiting.since, running=ended - began, batch=len(batch))
            )


def _serve(run: Callable[[Sequence[Item]], Sequence[Result]], work: SimpleQueue[_Work[Item, Result] | None]) -> None:
    while (task := work.get()) is not None:
        items, tell = task
        try:
            outcome: Outcome[Result] = run(items)
        except Exception as error:
            outcome = error
        tell(outcome)
        del task, items, tell, outcome  # a thread that waits must hold neither images nor the batcher

"""Timing several ways to compute the same batch so that the ratios hold: in processes of their own, slice by slice.

On a shared machine the same cell varies by 20 % from minute to minute, but for all alike. So the contestants take short
turns, in another order each round, and what counts is the median of the rounds' ratios. Each has a process of its own
because runtimes keep threads that go on spinning after their work, which would be time stolen from the next one.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from effnet.errors import EffnetError, InputError

Run: TypeAlias = Callable[[NDArray[Any]], NDArray[np.float32]]
Make: TypeAlias = Callable[[], tuple[Run, Mapping[str, Any]]]
"""Makes one way to compute, in a new process, and says with what settings; it must be picklable."""

_WARMUP = 2
_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one contestant did.

    Attributes:
        name: of the contestant.
        milliseconds: median of each round's runs.
        logits: what it computed (N, classes).
        settings: what it says of itself.
    """

    name: str
    milliseconds: tuple[float, ...]
    logits: NDArray[np.float32]
    settings: Mapping[str, Any]

    @property
    def median_ms(self) -> float:
        """Half of the rounds were quicker."""
        return statistics.median(self.milliseconds)

    def ratio_to(self, other: Result) -> float:
        """How many times as fast as `other`: the median of the rounds' ratios."""
        pairs = zip(other.milliseconds, self.milliseconds, strict=True)
        return statistics.median(theirs / mine for theirs, mine in pairs)


def race(
    contestants: Mapping[str, Make],
    images: NDArray[Any],
    *,
    rounds: int = 7,
    seconds: float = 0.5,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Result, ...]:
    """Time every contestant on the same images.

    Args:
        contestants: how to make each, by name.
        images: the batch.
        rounds: turns of each.
        seconds: length of a turn; at least one run is made.
        progress: called with (turns done, turns in all).

    Raises:
        EffnetError: a contestant cannot be made or fails.
    """
    context = multiprocessing.get_context("spawn")
    racers: dict[str, _Racer] = {}
    try:
        for name, make in contestants.items():  # one after the other: making them takes all processors
            racers[name] = _Racer(name, make, images, context)
        times: dict[str, list[float]] = {name: [] for name in racers}
        names = list(racers)
        for number in range(rounds):
            shift = number % len(names)
            for place, name in enumerate(names[shift:] + names[:shift]):
                times[name].append(racers[name].turn(seconds))
                progress(number * len(names) + place + 1, rounds * len(names))
        return tuple(
            Result(name=name, milliseconds=tuple(times[name]), logits=racer.logits, settings=racer.settings)
            for name, racer in racers.items()
        )
    finally:
        for racer in racers.values():
            racer.close()


def order_of(results: Sequence[Result]) -> tuple[Result, ...]:
    """Return the results, quickest first."""
    return tuple(sorted(results, key=lambda result: result.median_ms))


class _Racer:
    """One contestant's process, seen from here."""

    def __init__(self, name: str, make: Make, images: NDArray[Any], context: Any) -> None:
        self.name = name
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.settings: Mapping[str, Any] = self._ask(images)
            self.logits: NDArray[np.float32] = self._ask("logits")
        except BaseException:
            self.close()
            raise

    def turn(self, seconds: float) -> float:
        """Return the median milliseconds of a run during one turn."""
        return float(self._ask(seconds))

    def close(self) -> None:
        self._connection.close()  # which ends its loop
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, question: Any) -> Any:
        try:
            self._connection.send(question)
            if not self._connection.poll(_PATIENCE_S):
                raise InputError(f"no answer in {_PATIENCE_S:.0f} s", where=self.name, fix="leave it out")
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(5)
            what = f"its process ended (status {self._process.exitcode}); memory may be too small"
            raise InputError(what, where=self.name, fix="use a smaller batch, or leave it out") from None
        if isinstance(answer, EffnetError):
            raise answer
        return answer


def _serve(connection: Connection, make: Make) -> None:
    """Answer questions in a contestant's own process: the images, then `logits`, then turns."""
    try:
        images: NDArray[Any] = connection.recv()
        run, settings = make()
        logits = run(images)
        connection.send(dict(settings))
        while True:
            question = connection.recv()
            connection.send(logits if question == "logits" else _turn(run, images, question))
    except (EOFError, OSError, KeyboardInterrupt):
        return
    except EffnetError as error:
        connection.send(error)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
        connection.send(InputError(f"fails: {reason}", fix="leave it out"))


def _turn(run: Run, images: NDArray[Any], seconds: float) -> float:
    for _ in range(_WARMUP if seconds > 0.1 else 0):
        run(images)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        began = time.perf_counter()
        run(images)
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)

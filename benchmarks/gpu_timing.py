"""Timing on a GPU: candidates take turns in one process, CUDA events, medians. A dry run takes one turn on the CPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Bench:
    """Where and how long to measure.

    Attributes:
        device: `cuda`, or `cpu` for a dry run, whose figures mean nothing.
        rounds: turns of each candidate.
        milliseconds: what a turn should take.
        deadline: on the monotonic clock; nothing more is compiled in the last minute before it.
    """

    device: torch.device
    rounds: int = 9
    milliseconds: float = 40.0
    deadline: float = float("inf")

    @property
    def dry(self) -> bool:
        return self.device.type != "cuda"

    def seconds(self, work: Work, repeats: int) -> float:
        """Return the seconds of one call, over `repeats` calls in a row."""
        if self.dry:
            began = time.perf_counter()
            for _ in range(repeats):
                work()
            return (time.perf_counter() - began) / repeats
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        begin.record()
        for _ in range(repeats):
            work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / repeats

    def medians(self, candidates: Mapping[str, Work]) -> dict[str, float]:
        """Return each candidate's median seconds; their order rotates from round to round."""
        if self.dry:
            return {name: self.seconds(work, 1) for name, work in candidates.items()}
        repeats = {}
        for name, work in candidates.items():
            work()  # compiles, tunes
            work()
            repeats[name] = max(1, round(self.milliseconds / 1e3 / max(self.seconds(work, 3), 1e-6)))
        times: dict[str, list[float]] = {name: [] for name in candidates}
        names = list(candidates)
        for turn in range(self.rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                times[name].append(self.seconds(candidates[name], repeats[name]))
        return {name: statistics.median(values) for name, values in times.items()}


class OutOfTimeError(Exception):
    """The next candidate might not compile before the deadline; what was compiled is in the compilers' caches."""


def worked(candidates: Mapping[str, Work], deadline: float = float("inf")) -> tuple[dict[str, Work], dict[str, str]]:
    """Call each candidate once; return those that ran, and for the others what they said."""
    good, failures = {}, {}
    for name, work in candidates.items():
        if deadline - time.monotonic() < 60:
            raise OutOfTimeError
        try:
            work()
            good[name] = work
        except Exception as error:  # a peer that does not compile shall not end the run
            failures[name] = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
    return good, failures

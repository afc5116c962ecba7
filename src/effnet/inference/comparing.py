"""Measuring the networks of a comparison on this device: latency and throughput in turns, and memory."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from effnet.comparison.subject import Measure, Measured, Subject
from effnet.errors import InputError
from effnet.inference.latency import machine_name, network_runner, take_turns
from effnet.inference.memory import measure_memory
from effnet.inference.runtime import find_device, torch_threads

Runner: TypeAlias = Callable[[], object]
"""Does its work once."""

BundleRunner: TypeAlias = Callable[[Subject, int, int | None], Runner | None]
"""From a bundle, a batch and a number of threads to what runs it; None where it takes no such batch."""


def measurer(
    *,
    batch: int = 8,
    rounds: int = 12,
    threads: int | None = None,
    device: str | None = None,
    bundles: BundleRunner = lambda subject, batch, threads: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Measure:
    """Return what `effnet.compare` takes as `measure`.

    Weights do not change how long a network takes, so fresh ones are timed; rows of papers cannot be. Throughput is of
    a quarter as many rounds. A bundle's memory is not measured.

    Args:
        batch: images at once, for the throughput.
        rounds: in each of which every network runs once.
        threads: CPU threads; torch's present number when None.
        device: as torch writes it; None: the accelerator if there is one.
        bundles: runs deployment bundles; as it is, they are not measured.
        progress: called with steps done and in all.

    Raises:
        InputError: a number is not positive, or the device is not there.
    """
    numbers = {"batch": batch, "rounds": rounds, "threads": 1 if threads is None else threads}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} is {value!r}", where=name, fix="give a positive whole number")
    place = find_device(device)

    def runner(subject: Subject, images: int) -> Runner | None:
        if subject.kind == "bundle":
            return bundles(subject, images, threads)
        return None if subject.spec is None else network_runner(subject.spec, images, place)

    def measure(subjects: Sequence[Subject]) -> list[Measured | None]:
        steps = _Steps(progress, total=2 + rounds + _few(rounds) + len(subjects))
        with torch_threads(threads):
            single = _turns([runner(subject, 1) for subject in subjects], rounds, steps)
            many = _turns([runner(subject, batch) for subject in subjects], _few(rounds), steps)
            where = f"{machine_name(place)}, {place}, {torch.get_num_threads()} threads"
        found: list[Measured | None] = []
        for subject, one, several in zip(subjects, single, many, strict=True):
            measured = _measured(one, several, batch, where)
            if measured is not None and subject.spec is not None and subject.kind != "bundle":
                peak = measure_memory(subject.spec, threads=threads, device=device)
                measured = dataclasses.replace(measured, peak_bytes=peak)
            found.append(measured)
            steps.done()
        return found

    return measure


class _Steps:
    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress, self._total, self._count = progress, total, 0

    def done(self) -> None:
        self._count += 1
        self._progress(self._count, self._total)


def _few(rounds: int) -> int:
    return max(3, rounds // 4)


def _turns(runners: Sequence[Runner | None], rounds: int, steps: _Steps) -> list[list[float]]:
    """Time those that can run; the others have no runs."""
    able = [runner for runner in runners if runner is not None]
    timed = iter(take_turns(able, rounds=rounds, progress=lambda done, total: steps.done()))
    return [[] if runner is None else next(timed) for runner in runners]


def _measured(one: Sequence[float], several: Sequence[float], batch: int, where: str) -> Measured | None:
    if not one:
        return None
    ordered = sorted(one)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.1, 0.9))
    return Measured(
        latency_ms=statistics.median(ordered),
        low_ms=low,
        high_ms=high,
        images_per_s=1e3 * batch / statistics.median(several) if several else 1e3 / statistics.median(ordered),
        batch=batch if several else 1,
        peak_bytes=None,
        runs=len(ordered),
        device=where,
    )

"""Measuring the networks of a comparison on this device: latency and throughput in turns, and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from effnet.comparison.subject import Measure, Measured, Subject
from effnet.inference.latency import measure_interleaved
from effnet.inference.memory import measure_memory


def measurer(
    *,
    batch: int = 8,
    rounds: int = 12,
    threads: int | None = None,
    device: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Measure:
    """Return what `effnet.compare` takes as `measure`.

    Weights do not change how long a network takes, so fresh ones are timed; rows of papers cannot be.

    Args:
        batch: images at once, for the throughput.
        rounds: in each of which every network runs once; a quarter as many for the throughput.
        threads, device: as in `measure_latency`.
        progress: called with steps done and in all.
    """

    def measure(subjects: Sequence[Subject]) -> list[Measured | None]:
        specs = list(dict.fromkeys(subject.spec for subject in subjects if subject.spec is not None))
        few = max(3, rounds // 4)
        total = (rounds + 1) + (few + 1) + len(specs)
        single = measure_interleaved(
            specs, rounds=rounds, threads=threads, device=device, progress=lambda done, _: progress(done, total)
        )
        begun = rounds + 1
        many = measure_interleaved(
            specs,
            batch=batch,
            rounds=few,
            threads=threads,
            device=device,
            progress=lambda done, _: progress(begun + done, total),
        )
        begun += few + 1
        measured = {}
        for place, spec in enumerate(specs):
            one, several = single[place], many[place]
            measured[spec] = Measured(
                latency_ms=one.median_ms,
                low_ms=one.low_ms,
                high_ms=one.high_ms,
                images_per_s=1e3 * batch / several.median_ms,
                batch=batch,
                peak_bytes=measure_memory(spec, threads=threads, device=device),
                runs=one.runs,
                device=f"{one.machine}, {one.device}, {one.threads} threads",
            )
            progress(begun + place + 1, total)
        return [None if subject.spec is None else measured[subject.spec] for subject in subjects]

    return measure

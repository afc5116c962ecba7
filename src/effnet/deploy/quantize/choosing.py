"""Which of the graphs that were made is written, and what choosing among them does to its figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from effnet.deploy.quantize.judging import Gate
from effnet.deploy.quantize.variants import Candidate

_TIE = 1.03
"""Times the quickest candidate's milliseconds within which the more faithful one is taken."""

_RESAMPLES = 2000


def choose(candidates: Sequence[Candidate], gate: Gate) -> Candidate | None:
    """Return the quickest candidate that passes; of several that tie, the one whose logits moved least."""
    passing = [one for one in candidates if gate.passes(one.judgement)]
    if not passing:
        return None
    quickest = min(_milliseconds(one) for one in passing)
    return min((one for one in passing if _milliseconds(one) <= _TIE * quickest), key=lambda one: one.moved)


def front(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return those that no other one beats in drop, milliseconds and size at once."""
    return tuple(one for one in candidates if not any(_beats(other, one) for other in candidates))


def optimism(candidates: Sequence[Candidate], gate: Gate, seed: int = 0) -> float | None:
    """Return the points by which the drop of the chosen one is too small, because its images chose it.

    The choice is made again and again on images drawn with replacement, and each time judged on the images that were
    not drawn; the mean difference is what choosing flatters by (Efron's bootstrap). Also one candidate alone is
    flattered: it is only chosen where its images let it pass.

    Returns:
        None when no draw lets any candidate pass.
    """
    changed = np.stack([one.changes for one in candidates]).astype(np.float64)  # (K, N)
    images = changed.shape[1]
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), _RESAMPLES)  # (R, N)
    out = drawn == 0
    usable = out.any(1)
    drawn, out = drawn[usable], out[usable]
    seen = 100 * (drawn @ changed.T) / images  # (R, N) @ (N, K) -> (R, K)
    unseen = 100 * (out @ changed.T) / out.sum(1, keepdims=True)
    times = np.where(seen <= gate.max_drop + 1e-9, [_milliseconds(one) for one in candidates], np.inf)
    quickest = times.min(1, keepdims=True)
    moved = np.where(times <= _TIE * quickest, [one.moved for one in candidates], np.inf)
    rows = np.flatnonzero(np.isfinite(quickest[:, 0]))
    if not len(rows):
        return None
    chosen = moved[rows].argmin(1)
    return max(0.0, float(np.mean(unseen[rows, chosen] - seen[rows, chosen])))


def _milliseconds(one: Candidate) -> float:
    return one.latency_ms or 0.0


def _beats(other: Candidate, one: Candidate) -> bool:
    def figures(candidate: Candidate) -> tuple[float, float, float]:
        return candidate.judgement.drop, _milliseconds(candidate), candidate.size

    pairs = list(zip(figures(other), figures(one), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

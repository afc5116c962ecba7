"""Candidates for alpha, beta and gamma at phi = 1, and what their accuracies say (V1 section 3.3, step 1).

The paper searched "a small grid" and published only the result, 1.2, 1.1, 1.15. Here the grid, its tolerance and the
uncertainty of the result are stated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effnet.cost import cost
from effnet.errors import InputError
from effnet.scaling import Coefficients, compound
from effnet.search.ranking import student_t
from effnet.spec import NetworkSpec

_DRAWS = 20_000
_PAPERS = Coefficients()
_UNEQUAL = 0.3
"""Share by which real MACs may miss the target; the paper's own B1 by equation 3 misses it by 29 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """One candidate and the accuracies of its trainings, in percent."""

    coefficients: Coefficients
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return sum(self.accuracies) / len(self.accuracies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What a study says.

    Attributes:
        chosen: the candidate with the best mean.
        deviation: standard deviation of one training, pooled over the candidates; infinite with one seed only.
        errors: standard error of each candidate's mean.
        probabilities: that each candidate is the best, 0 to 1.
        equals: places of the candidates that cannot be told from the best at 95 %.
        ranges: by coefficient, the least and largest value among those.
        spread: by coefficient, the standard deviation under the probabilities.
    """

    chosen: Coefficients
    deviation: float
    errors: tuple[float, ...]
    probabilities: tuple[float, ...]
    equals: tuple[int, ...]
    ranges: dict[str, tuple[float, float]]
    spread: dict[str, float]


def candidates(
    base: NetworkSpec,
    *,
    step: float = 0.05,
    target: float = 2.0,
    tolerance: float = 0.1,
    count: int | None = None,
) -> list[Coefficients]:
    """Return coefficients of at least 1 with alpha * beta^2 * gamma^2 within `tolerance` of `target`.

    Rounding of channels and repeats makes some of them the same network on a small base: of those one is kept. Networks
    whose real MACs are far from the target times the base's are left out too, because they would be compared at unequal
    cost; that happens because repeats are rounded up. The paper's 1.2, 1.1, 1.15 are always among them.

    Args:
        base: the network at phi = 0.
        step: of alpha, beta and gamma.
        count: how many to choose, spread evenly over the surface; None: all.

    Raises:
        InputError: a number is out of range, or the grid has fewer than two candidates.
    """
    if not 0.005 <= step <= 1 or not 0 <= tolerance < target:
        raise InputError(f"step {step:g}, tolerance {tolerance:g}", where="grid", fix="give 0.05 and 0.1")
    values = [1 + step * i for i in range(round((target + tolerance - 1) / step) + 1)]
    wanted = target * cost(base).macs
    grid, shapes = [_PAPERS], {_shape(base, _PAPERS)}
    for alpha in values:
        for beta in values:
            for gamma in values:
                each = Coefficients(alpha=round(alpha, 6), beta=round(beta, 6), gamma=round(gamma, 6))
                if abs(each.product - target) > tolerance + 1e-9 or each == _PAPERS:
                    continue
                if abs(cost(compound(base, 1, each.alpha, each.beta, each.gamma)).macs / wanted - 1) > _UNEQUAL:
                    continue
                shape = _shape(base, each)
                if shape not in shapes:
                    shapes.add(shape)
                    grid.append(each)
    if len(grid) < 2:
        raise InputError("the grid has no candidates", where="grid", fix="give a finer --step or a wider --tolerance")
    return grid if count is None or count >= len(grid) else _spread(grid, count)


def conclude(results: Sequence[CandidateResult], *, seed: int = 0) -> Conclusion:
    """Say which candidate is best and how sure that is.

    The probabilities are those of the best mean when every mean is redrawn from a Student-t distribution around what
    was measured, with the standard deviation pooled over all candidates. With one seed each, nothing is known of the
    spread, and every candidate is as likely as any other.

    Raises:
        InputError: fewer than two candidates.
    """
    if len(results) < 2:
        raise InputError(f"{len(results)} candidates", where="results", fix="give at least two")
    means = np.array([each.mean for each in results])
    counts = np.array([len(each.accuracies) for each in results])
    freedom = int((counts - 1).sum())
    best = int(means.argmax())
    if freedom == 0:
        chance = np.full(len(results), 1 / len(results))
        return _concluded(results, best, math.inf, chance, tuple(range(len(results))))
    squares = sum(((np.array(each.accuracies) - each.mean) ** 2).sum() for each in results)
    deviation = math.sqrt(float(squares) / freedom)
    rng = np.random.default_rng(seed)
    draws = means + rng.standard_t(freedom, (_DRAWS, len(means))) * deviation / np.sqrt(counts)
    chance = np.bincount(draws.argmax(1), minlength=len(means)) / _DRAWS
    limit = student_t(0.975, freedom) * deviation
    equals = tuple(
        place
        for place in range(len(means))
        if means[best] - means[place] <= limit * math.sqrt(1 / counts[best] + 1 / counts[place])
    )
    return _concluded(results, best, deviation, chance, equals)


def _concluded(
    results: Sequence[CandidateResult],
    best: int,
    deviation: float,
    chance: NDArray[np.float64],
    equals: tuple[int, ...],
) -> Conclusion:
    ranges, spread = {}, {}
    for name in ("alpha", "beta", "gamma"):
        values = np.array([getattr(each.coefficients, name) for each in results])
        among = values[list(equals)]
        ranges[name] = (float(among.min()), float(among.max()))
        middle = float((values * chance).sum())
        spread[name] = math.sqrt(float((chance * (values - middle) ** 2).sum()))
    return Conclusion(
        chosen=results[best].coefficients,
        deviation=deviation,
        errors=tuple(deviation / math.sqrt(len(each.accuracies)) for each in results),
        probabilities=tuple(float(value) for value in chance),
        equals=equals,
        ranges=ranges,
        spread=spread,
    )


def _shape(base: NetworkSpec, bases: Coefficients) -> tuple[object, ...]:
    spec = compound(base, 1, bases.alpha, bases.beta, bases.gamma)
    return spec.stem, spec.stages, spec.head.channels, spec.resolution


def _spread(grid: Sequence[Coefficients], count: int) -> list[Coefficients]:
    """Return `count` of the grid, each as far as possible from those before it; the paper's is the first.

    Distance is in what each coefficient adds to the logarithm of the MACs: log alpha, 2 log beta, 2 log gamma.
    """
    points = np.array([[math.log(c.alpha), 2 * math.log(c.beta), 2 * math.log(c.gamma)] for c in grid])
    chosen = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return [grid[place] for place in sorted(chosen)]

"""The grid of alpha, beta, gamma, and what accuracies say of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from effnet.cost import cost
from effnet.errors import InputError
from effnet.families import find
from effnet.scaling import Coefficients, compound
from effnet.search.coefficient_grid import CandidateResult, candidates, conclude

B0 = find("b0")


def test_candidates_keep_the_constraint_and_the_papers_are_among_them() -> None:
    grid = candidates(B0, step=0.1)
    assert grid[0] == Coefficients() and len(grid) >= 12 and len(set(grid)) == len(grid)
    for each in grid:
        assert min(each.alpha, each.beta, each.gamma) >= 1
        assert abs(each.product - 2) <= 0.1 + 1e-9
        ratio = cost(compound(B0, 1, each.alpha, each.beta, each.gamma)).macs / cost(B0).macs
        assert 1.4 <= ratio <= 2.6


def test_no_two_candidates_are_the_same_network() -> None:
    small = B0.replace(resolution=64)
    specs = [compound(small, 1, c.alpha, c.beta, c.gamma) for c in candidates(small)]
    assert len({(spec.stages, spec.resolution) for spec in specs}) == len(specs)


def test_a_few_are_spread_over_the_whole_surface() -> None:
    few = candidates(B0, step=0.05, count=12)
    assert len(few) == 12 and few[0] == Coefficients()
    for name in ("alpha", "beta", "gamma"):
        values = [getattr(each, name) for each in few]
        every = [getattr(each, name) for each in candidates(B0, step=0.05)]
        assert min(values) == 1 and max(values) >= 0.95 * max(every)


def test_the_tolerance_is_kept() -> None:
    narrow, wide = candidates(B0, tolerance=0.02), candidates(B0, tolerance=0.2)
    assert len(narrow) < len(wide)
    assert all(abs(each.product - 2) <= 0.02 + 1e-9 for each in narrow[1:])


@pytest.mark.parametrize("wrong", [{"step": 0.0}, {"step": 2.0}, {"tolerance": -0.1}, {"tolerance": 3.0}])
def test_impossible_grids_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        candidates(B0, **wrong)


def results(*accuracies: tuple[float, ...]) -> list[CandidateResult]:
    bases = [Coefficients(alpha=1 + i / 10, beta=1.1, gamma=1.2 - i / 100) for i in range(len(accuracies))]
    return [CandidateResult(coefficients=c, accuracies=a) for c, a in zip(bases, accuracies, strict=True)]


def test_a_clear_winner_is_sure() -> None:
    said = conclude(results((50.0, 50.2, 49.8), (60.0, 60.2, 59.8), (40.0, 40.1, 39.9)))
    assert said.chosen.alpha == 1.1 and said.equals == (1,)
    assert said.probabilities[1] > 0.99 and said.ranges["alpha"] == (1.1, 1.1)
    assert said.deviation == pytest.approx(math.sqrt((0.08 + 0.08 + 0.02) / 6))
    assert said.errors[0] == pytest.approx(said.deviation / math.sqrt(3))


def test_noise_is_called_noise() -> None:
    rng = np.random.default_rng(0)
    said = conclude(results(*(tuple(50 + 5 * rng.standard_normal(3)) for _ in range(6))))
    assert len(said.equals) >= 4 and max(said.probabilities) < 0.9
    assert said.ranges["alpha"][1] - said.ranges["alpha"][0] >= 0.3
    assert sum(said.probabilities) == pytest.approx(1)


def test_one_seed_says_nothing_of_the_spread() -> None:
    said = conclude(results((50.0,), (60.0,), (40.0,)))
    assert said.chosen.alpha == 1.1 and said.equals == (0, 1, 2) and math.isinf(said.deviation)
    assert said.probabilities == (1 / 3,) * 3
    with pytest.raises(InputError):
        conclude(results((50.0,)))


def test_pooled_errors_agree_with_a_t_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    for gap in (0.2, 1.0, 3.0):
        one, two = rng.standard_normal(5), gap + rng.standard_normal(5)
        said = conclude(results(tuple(one), tuple(two)))
        p = stats.ttest_ind(one, two).pvalue  # pooled variances, two-sided
        assert (len(said.equals) == 1) == (p < 0.05)

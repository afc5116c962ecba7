"""Rank correlation, intervals and calibration."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.errors import InputError
from effnet.search.ranking import Calibration, interval, kendall

NUMBERS = st.floats(-100, 100).map(lambda x: round(x, 3))


def plain_tau(one: list[float], other: list[float]) -> float:
    """Kendall's tau-b from its definition: agreeing pairs less disagreeing ones, ties taken out of the total."""
    agree = ties_one = ties_other = pairs = 0
    for i in range(len(one)):
        for j in range(i):
            a, b = one[i] - one[j], other[i] - other[j]
            pairs += 1
            ties_one += a == 0
            ties_other += b == 0
            agree += (a * b > 0) - (a * b < 0)
    total = math.sqrt((pairs - ties_one) * (pairs - ties_other))
    return agree / total if total else 0.0


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=12))
def test_tau_is_what_its_definition_says(pairs: list[tuple[int, int]]) -> None:
    one, other = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    found = kendall(one, other)
    assert found.tau == pytest.approx(plain_tau(one, other), abs=1e-9)
    assert -1.000001 <= found.low <= found.high <= 1.000001 and found.count == len(pairs)


def test_order_reversal_and_chance() -> None:
    truth = [float(i) for i in range(30)]
    assert kendall(truth, truth).tau == 1 and kendall(truth[::-1], truth).tau == -1
    shuffled = [float((i * 17) % 30) for i in range(30)]
    found = kendall(shuffled, truth)
    assert found.low < 0 < found.high
    for wrong in ([1.0], []):
        with pytest.raises(InputError):
            kendall(wrong, wrong)
    with pytest.raises(InputError):
        kendall([1.0, 2.0], [1.0])


def test_intervals_are_students() -> None:
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2 and half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert interval([5.0]) == (5.0, math.inf)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=15), NUMBERS, NUMBERS)
def test_calibration_never_reverses_a_score(pairs: list[tuple[float, float]], a: float, b: float) -> None:
    scores, accuracies = [s for s, _ in pairs], [y for _, y in pairs]
    fitted = Calibration.fit(scores, accuracies)
    low, high = sorted((a, b), key=lambda s: fitted.sign * s)
    assert fitted(low) <= fitted(high) + 1e-9
    assert min(accuracies) - 1e-3 <= fitted(a) <= max(accuracies) + 1e-3


def test_a_monotone_relation_is_met_and_an_inverse_one_is_turned() -> None:
    rising = Calibration.fit([1.0, 2.0, 3.0], [10.0, 20.0, 40.0])
    assert rising(2.0) == pytest.approx(20, abs=1e-4) and rising(2.5) == pytest.approx(30, abs=1e-4)
    falling = Calibration.fit([1.0, 2.0, 3.0], [40.0, 20.0, 10.0])
    assert falling(1.0) > falling(2.0) > falling(3.0) > falling(9.0)
    pooled = Calibration.fit([1.0, 2.0, 3.0, 4.0], [10.0, 30.0, 20.0, 40.0])
    assert pooled(2.5) == pytest.approx(25, abs=1e-4)

"""Rounds of a trial: everyone briefly, the better half longer, within the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.experiments.halving import FINALISTS, Rung, first_rung, next_rung, paired_p


def test_all_take_part_in_the_first_round_with_all_images_where_time_allows() -> None:
    rates = {"a": 0.1, "b": 0.2}
    rung = first_rung(["a", "b"], epochs=12, images=240, classes=2, seconds_per_image=rates, seconds=1200)
    assert rung == Rung(number=1, names=("a", "b"), epochs=3, per_class=None)
    short = first_rung(["a", "b"], epochs=12, images=240, classes=2, seconds_per_image=rates, seconds=100)
    assert short.per_class is not None
    assert 8 <= short.per_class < 120
    assert 3 * 2 * short.per_class * (0.1 + 0.2) <= 0.4 * 100 + 3 * 0.3 * 2


def test_the_better_half_goes_on_and_of_equals_the_cheaper() -> None:
    rung = Rung(number=1, names=("a", "b", "c", "d"), epochs=3, per_class=None)
    top1 = {"a": 80.0, "b": 90.0, "c": 80.0, "d": 70.0}
    second = next_rung(
        rung, top1, ["a", "b", "c", "d"], epochs=12, seconds_per_epoch=dict.fromkeys("abcd", 10.0), remaining=1000
    )
    assert second == Rung(number=2, names=("b", "a"), epochs=12, per_class=None)
    last = next_rung(second, {"a": 1, "b": 2}, ["a", "b"], epochs=12, seconds_per_epoch={"a": 1, "b": 1}, remaining=1e6)
    assert last is None


def test_the_last_round_is_as_long_as_the_time_allows_or_does_not_take_place() -> None:
    rung = Rung(number=1, names=("a", "b", "c"), epochs=3, per_class=None)
    top1, cost = {"a": 1.0, "b": 2.0, "c": 3.0}, dict.fromkeys("abc", 10.0)
    short = next_rung(rung, top1, list("abc"), epochs=12, seconds_per_epoch=cost, remaining=150)
    assert short is not None
    assert short.epochs == 6
    assert next_rung(rung, top1, list("abc"), epochs=12, seconds_per_epoch=cost, remaining=60) is None


def test_who_was_given_up_does_not_go_on() -> None:
    rung = Rung(number=1, names=("a", "b", "c"), epochs=3, per_class=None)
    second = next_rung(rung, {"c": 50.0}, list("abc"), epochs=12, seconds_per_epoch={"c": 1.0}, remaining=1000)
    assert second is not None
    assert second.names == ("c",)
    assert next_rung(rung, {}, list("abc"), epochs=12, seconds_per_epoch={}, remaining=1000) is None


@given(count=st.integers(2, 12), minutes=st.floats(1, 1e4))
def test_rounds_end_with_two_and_stay_within_the_plan(count: int, minutes: float) -> None:
    names = [f"n{i}" for i in range(count)]
    rung: Rung | None = Rung(number=1, names=tuple(names), epochs=3, per_class=None)
    cost, remaining, rounds = dict.fromkeys(names, 7.0), 60 * minutes, 0
    while rung is not None:
        rounds += 1
        assert rounds <= 8
        assert len(rung.names) >= FINALISTS
        top1 = {name: float(place) for place, name in enumerate(rung.names)}
        following = next_rung(rung, top1, names, epochs=12, seconds_per_epoch=cost, remaining=remaining)
        if following is not None:
            planned = sum(cost[name] * following.epochs for name in following.names)
            assert planned <= remaining
            remaining -= planned
        rung = following


@pytest.mark.parametrize(
    ("first", "second", "chance"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 2**10), (6, 1, 2 * 8 / 2**7), (1, 6, 2 * 8 / 2**7)],
)
def test_the_paired_test_is_mcnemar_s(first: int, second: int, chance: float) -> None:
    assert paired_p(first, second) == pytest.approx(chance)

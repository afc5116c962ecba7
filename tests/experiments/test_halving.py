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


def following(rung: Rung, top1: dict[str, float], *, seconds_per_image: float, remaining: float) -> Rung | None:
    """Return the next round of a data set of 240 images of 2 classes."""
    rates = dict.fromkeys(rung.names, seconds_per_image)
    names = sorted(rung.names)
    return next_rung(rung, top1, names, epochs=12, images=240, classes=2, seconds_per_image=rates, remaining=remaining)


def test_the_better_half_goes_on_and_of_equals_the_cheaper() -> None:
    rung = Rung(number=1, names=("a", "b", "c", "d"), epochs=3, per_class=None)
    top1 = {"a": 80.0, "b": 90.0, "c": 80.0, "d": 70.0}
    second = following(rung, top1, seconds_per_image=0.01, remaining=1000)
    assert second == Rung(number=2, names=("b", "a"), epochs=12, per_class=None)
    assert following(second, {"a": 1.0, "b": 2.0}, seconds_per_image=0.01, remaining=1e6) is None


def test_the_last_round_is_as_long_as_the_time_allows_or_does_not_take_place() -> None:
    rung = Rung(number=1, names=("a", "b", "c"), epochs=3, per_class=None)
    top1 = {"a": 1.0, "b": 2.0, "c": 3.0}
    short = following(rung, top1, seconds_per_image=0.1, remaining=400)
    assert short is not None
    assert short.epochs == 7
    assert 0.1 * 2 * 240 * short.epochs <= 0.85 * 400
    assert following(rung, top1, seconds_per_image=0.1, remaining=150) is None


def test_time_that_is_left_brings_more_images_to_the_last_round() -> None:
    rung = Rung(number=1, names=("a", "b"), epochs=3, per_class=20)
    top1 = {"a": 1.0, "b": 2.0}
    plenty = following(rung, top1, seconds_per_image=0.01, remaining=1000)
    assert plenty == Rung(number=2, names=("b", "a"), epochs=12, per_class=None)
    some = following(rung, top1, seconds_per_image=0.1, remaining=200)
    assert some is not None
    assert (some.epochs, some.per_class) == (12, 35)
    little = following(rung, top1, seconds_per_image=0.1, remaining=60)
    assert little is not None
    assert (little.epochs, little.per_class) == (6, 20)


def test_who_was_given_up_does_not_go_on() -> None:
    rung = Rung(number=1, names=("a", "b", "c"), epochs=3, per_class=None)
    second = following(rung, {"c": 50.0}, seconds_per_image=0.01, remaining=1000)
    assert second is not None
    assert second.names == ("c",)
    assert following(rung, {}, seconds_per_image=0.01, remaining=1000) is None


@given(count=st.integers(2, 12), minutes=st.floats(1, 1e4), per_class=st.none() | st.integers(8, 120))
def test_rounds_end_with_two_and_stay_within_the_plan(count: int, minutes: float, per_class: int | None) -> None:
    names = [f"n{i:02}" for i in range(count)]
    rung: Rung | None = Rung(number=1, names=tuple(names), epochs=3, per_class=per_class)
    remaining, rounds = 60 * minutes, 0
    while rung is not None:
        rounds += 1
        assert rounds <= 8
        assert len(rung.names) >= FINALISTS
        top1 = {name: float(place) for place, name in enumerate(rung.names)}
        after = following(rung, top1, seconds_per_image=0.03, remaining=remaining)
        if after is not None:
            images = 240 if after.per_class is None else 2 * after.per_class
            planned = 0.03 * images * after.epochs * len(after.names)
            assert planned <= remaining
            remaining -= planned
        rung = after


@pytest.mark.parametrize(
    ("first", "second", "chance"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 2**10), (6, 1, 2 * 8 / 2**7), (1, 6, 2 * 8 / 2**7)],
)
def test_the_paired_test_is_mcnemar_s(first: int, second: int, chance: float) -> None:
    assert paired_p(first, second) == pytest.approx(chance)

"""The learning rate against closed forms and the published figures."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.errors import EffnetError, InputError
from effnet.training.learning_rate import Schedule, layer_multipliers, scaled


def test_published_peaks() -> None:
    assert scaled(0.016, 4096) == pytest.approx(0.256, abs=1e-15)  # V2, and V1's text
    assert scaled(0.016, 2048) == pytest.approx(0.128, abs=1e-15)  # V1's code
    assert scaled(0.0005, 512) == pytest.approx(0.001, abs=1e-15)  # V2's fine-tuning code
    assert scaled(0.1, 256) == 0.1


def test_a_step_needs_samples() -> None:
    with pytest.raises(InputError, match="0 samples"):
        scaled(0.1, 0)


# 1,281,167 images in batches of 4096 and 1024 are not whole; 5 and 625 are chosen for stairs at whole steps.
@pytest.mark.parametrize("per_epoch", [5, 625, 312, 1251])
def test_staircase_changes_at_exactly_the_right_step(per_epoch: int) -> None:
    schedule = Schedule(warmup_epochs=0)
    decay_steps = Fraction(24 * per_epoch, 10)
    for step in range(60 * per_epoch):
        stairs = Fraction(step) / decay_steps
        want = 0.97 ** (stairs.numerator // stairs.denominator)
        assert schedule.share_at(step / per_epoch, 350) == want, step


def test_decay_counts_from_the_first_step_while_warming_up() -> None:
    schedule = Schedule()
    assert schedule.share_at(0, 350) == 0
    assert schedule.share_at(2.5, 350) == 0.5
    assert schedule.share_at(4.999, 350) == pytest.approx(0.9998)
    assert schedule.share_at(5, 350) == 0.97**2
    assert schedule.share_at(7.2, 350) == 0.97**3
    assert schedule.share_at(350, 350) == 0.97**145


@given(step=st.integers(0, 10_000), per_epoch=st.integers(1, 100))
def test_cosine_closed_form(step: int, per_epoch: int) -> None:
    epochs = 10_000 / per_epoch
    schedule = Schedule(decay="cosine", warmup_epochs=0)
    want = 0.5 * (1 + math.cos(math.pi * step / 10_000))
    assert schedule.share_at(step / per_epoch, epochs) == pytest.approx(want, abs=1e-12)


def test_cosine_ends_at_zero_or_at_the_lowest_share() -> None:
    assert Schedule(decay="cosine").share_at(30, 30) == 0
    assert Schedule(decay="cosine", lowest=0.05).share_at(30, 30) == 0.05
    assert Schedule(decay="cosine", warmup_epochs=0).share_at(0, 30) == 1
    assert Schedule(lowest=0.9).share_at(300, 350) == 0.9


@given(epoch=st.floats(5, 100))
def test_constant_stays_at_the_peak(epoch: float) -> None:
    assert Schedule(decay="constant").share_at(epoch, 100) == 1


@given(
    decay=st.sampled_from(["staircase", "cosine", "constant"]),
    warmup=st.floats(0, 9),
    epoch=st.floats(0, 10),
    later=st.floats(0, 10),
)
def test_rises_then_never_rises_again_and_stays_within_the_peak(
    decay: str, warmup: float, epoch: float, later: float
) -> None:
    schedule = Schedule(decay=decay, warmup_epochs=warmup)  # type: ignore[arg-type]
    epoch, later = sorted((epoch, later))
    first, second = schedule.share_at(epoch, 10), schedule.share_at(later, 10)
    assert 0 <= first <= 1
    if later < warmup - 1e-6:
        assert first <= second
    elif epoch >= warmup:
        assert first >= second


def test_warmup_longer_than_the_run_keeps_rising() -> None:
    assert Schedule(warmup_epochs=5).share_at(2, 2) == 0.4


@pytest.mark.parametrize("epoch", [-0.1, 10.1, float("nan")])
def test_positions_outside_the_run_are_refused(epoch: float) -> None:
    with pytest.raises(InputError, match="of 10"):
        Schedule().share_at(epoch, 10)


@pytest.mark.parametrize(
    "fields",
    [
        {"decay": "cosin"},
        {"warmup_epochs": -1},
        {"decay_rate": 0},
        {"decay_rate": 1.5},
        {"decay_epochs": 0},
        {"lowest": 2},
    ],
)
def test_impossible_schedules_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(EffnetError) as caught:
        Schedule(**fields)  # type: ignore[arg-type]
    assert caught.value.where == next(iter(fields))
    assert caught.value.fix


def test_layers_closed_form() -> None:
    assert layer_multipliers(4, 0.5) == (0.125, 0.25, 0.5, 1.0)
    assert layer_multipliers(3, 1.0) == (1.0, 1.0, 1.0)
    assert layer_multipliers(1, 0.1) == (1.0,)
    for layers, decay in ((0, 0.5), (3, 0.0), (3, 1.1), (3, float("nan"))):
        with pytest.raises(InputError):
            layer_multipliers(layers, decay)

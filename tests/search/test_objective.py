"""Rewards, as the papers write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.errors import EffnetError
from effnet.search.objective import Objective
from effnet.search.pareto import front

POSITIVE = st.floats(0.01, 100)


def test_soft_is_mnasnets_equation_2() -> None:
    soft = Objective(cost="latency", target=75.0)
    assert soft.reward(0.752, {"latency": 75.0}) == 0.752
    assert soft.reward(0.5, {"latency": 150.0}) == pytest.approx(0.5 * 2**-0.07)
    # Doubling the latency is worth 5 % of relative accuracy: the two are equally good (Mnas section 3).
    assert soft.reward(0.5 * 1.05, {"latency": 150.0}) == pytest.approx(soft.reward(0.5, {"latency": 75.0}), rel=1e-3)


def test_hard_forbids_in_proportion_and_gives_nothing_below() -> None:
    hard = Objective(cost="macs", target=400e6, form="hard")
    assert hard.reward(0.7, {"macs": 100e6}) == hard.reward(0.7, {"macs": 400e6}) == 0.7
    assert hard.reward(0.7, {"macs": 800e6}) == pytest.approx(0.35)


def test_v2_trades_step_time_and_parameters() -> None:
    v2 = Objective(cost="step_time", target=10.0, form="v2", params_target=20e6)
    assert v2.kinds == ("step_time", "params")
    reward = v2.reward(0.8, {"step_time": 20.0, "params": 40e6})
    assert reward == pytest.approx(0.8 * 2**-0.07 * 2**-0.05)


@given(accuracy=st.floats(0.01, 1), cost=POSITIVE, more=st.floats(1.01, 10), form=st.sampled_from(["soft", "hard"]))
def test_more_cost_never_pays_and_more_accuracy_always_does(
    accuracy: float, cost: float, more: float, form: str
) -> None:
    objective = Objective(cost="latency", target=1.0, form=form)  # type: ignore[arg-type]
    reward = objective.reward(accuracy, {"latency": cost})
    assert objective.reward(accuracy, {"latency": cost * more}) <= reward
    assert objective.reward(accuracy * 1.01, {"latency": cost}) > reward


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": 0},
        {"target": float("inf")},
        {"target": 1.0, "weight": 0.07},
        {"target": 1.0, "cost": "flops"},
        {"target": 1.0, "form": "softer"},
        {"target": 1.0, "form": "v2"},
        {"target": 1.0, "params_target": 5.0},
    ],
)
def test_rewards_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(EffnetError):
        Objective(**wrong)  # type: ignore[arg-type]


@given(st.lists(st.tuples(POSITIVE, POSITIVE), max_size=30))
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    chosen = front(points)
    for place, (cost, accuracy) in enumerate(points):
        beaten = any((c <= cost and a > accuracy) or (c < cost and a >= accuracy) for c, a in points)
        assert beaten != any(points[i] == (cost, accuracy) for i in chosen), place
    assert [points[i][0] for i in chosen] == sorted(points[i][0] for i in chosen)
    assert len({points[i] for i in chosen}) == len(chosen)

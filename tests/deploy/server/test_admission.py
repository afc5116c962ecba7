"""Who may come in, with a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.deploy.server.admission import CALM, Admission


def admission(**changes: float) -> Admission:
    values = {"places": 64, "deadline": 1.0, "pace": 0.01, "alone": 0.012, **changes}
    return Admission(**values)  # type: ignore[arg-type]


def fill(door: Admission, now: float, most: int = 1000) -> int:
    """Let in as many as may come at one moment."""
    for count in range(most):
        if door.enter(now) is not None:
            return count
    return most


def test_a_burst_may_queue_up_to_the_deadline() -> None:
    door = admission(places=1000)
    entered = fill(door, 0.0)
    assert 0.45 <= entered * 0.01 + 0.012 <= 0.52
    assert door.inside == entered


def test_places_are_a_bound_of_their_own() -> None:
    assert fill(admission(places=5), 0.0) == 5


def test_a_refusal_says_how_long_to_wait() -> None:
    door = admission(places=1000)
    fill(door, 0.0)
    wait = door.enter(0.0)
    assert wait is not None
    assert 0.4 < wait <= 0.5, "until the backlog is worked off"


def serve_one(door: Admission, now: float) -> None:
    door.finished(now, 1)
    door.leave(now)


def test_after_a_refusal_only_little_may_wait() -> None:
    door = admission(places=1000)
    now, entered, inside = 0.0, fill(door, 0.0), []
    for _ in range(400):  # two requests come in the time of one
        now += 0.005
        door.enter(now)
        now += 0.005
        serve_one(door, now)
        door.enter(now)
        inside.append(door.inside)
    assert door.overloaded(now)
    assert entered > 45
    assert inside[0] > 45
    assert 1 <= min(inside[200:]) <= max(inside[200:]) <= 3


def test_after_a_calm_time_bursts_may_queue_again() -> None:
    door = admission(places=1000)
    entered = fill(door, 0.0)
    for _ in range(entered):
        door.leave(1.0)
    assert fill(door, 1.0 + CALM + 0.01) == pytest.approx(entered, abs=1)


def test_somebody_is_always_let_into_an_empty_server() -> None:
    door = admission(deadline=0.001, pace=5.0, alone=5.0)
    assert door.enter(0.0) is None
    assert door.enter(0.0) is not None
    door.leave(9.0)
    assert door.enter(9.0) is None


def test_the_pace_is_learnt_while_busy_only() -> None:
    door = admission()
    now = 0.0
    for _ in range(100):
        door.enter(now)
        now += 0.05
        serve_one(door, now)
        now += 10.0  # idle: says nothing about the pace
    assert door.pace == pytest.approx(0.05, rel=0.01)


def test_batches_may_fill_in_an_overload() -> None:
    door = admission(places=1000, batch=8)
    fill(door, 0.0)
    for _ in range(door.inside):
        door.leave(0.5)
    assert fill(door, 0.6) >= 8


@given(steps=st.lists(st.tuples(st.sampled_from("ed"), st.floats(0, 0.2)), max_size=60))
def test_whatever_comes_the_counts_are_right(steps: list[tuple[str, float]]) -> None:
    door, now, inside = admission(places=7), 0.0, 0
    for step, passed in steps:
        now += passed
        if step == "e":
            wait = door.enter(now)
            inside += wait is None
            assert wait is None or (wait > 0 and inside)
        elif inside:
            serve_one(door, now)
            inside -= 1
        assert door.inside == inside <= 7
        assert door.waiting(now) >= 0
        assert door.pace > 0

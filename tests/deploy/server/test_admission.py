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


def slow_alone(door: Admission, now: float, seconds: float, work: float) -> float:
    """One large image in an empty server; returns the time after it."""
    assert door.enter(now, work) is None
    door.finished(now + seconds, 1, 0.009)
    door.leave(now + seconds, alone=seconds, work=work)
    return now + seconds


@pytest.mark.parametrize("work", [0.45, 0.12])
def test_large_images_teach_nothing_about_others(work: float) -> None:
    door = admission()
    before, now = fill(admission(), 0.0), 0.0
    for _ in range(30):
        now = slow_alone(door, now, work, work)
    assert door.pace < 0.02
    assert fill(door, now) >= before - 5


def test_images_that_do_not_say_that_they_are_large_move_little() -> None:
    door, now = admission(), 0.0
    for _ in range(300):
        door.enter(now)
        now += 0.7
        door.disturbed()
        door.finished(now, 1, 0.009)
        door.leave(now)
    assert door.pace < 0.02
    for _ in range(300):  # not even that was seen
        door.enter(now)
        now += 0.7
        door.finished(now, 1, 0.009)
        door.leave(now, alone=0.05)
    assert door.pace < 0.07


def test_an_estimate_forgets_with_time() -> None:
    door, now = admission(), 0.0
    for _ in range(100):
        door.enter(now)
        now += 0.4
        serve_one(door, now)
    assert door.pace == pytest.approx(0.4, rel=0.05)
    assert door.pace_at(now + 5) == pytest.approx(0.2, rel=0.1)
    assert door.pace_at(now + 100) == pytest.approx(0.01, rel=0.01)
    assert fill(door, now + 100) > 40


def test_an_old_estimate_gives_way_to_the_next_measurement() -> None:
    door, now = admission(), 0.0
    for _ in range(100):
        door.enter(now)
        now += 0.4
        serve_one(door, now)
    now += 100
    door.enter(now)
    serve_one(door, now + 0.01)
    assert door.pace == pytest.approx(0.01, rel=0.01)


def test_a_single_measurement_moves_an_estimate_little() -> None:
    door = admission()
    door.enter(0.0)
    serve_one(door, 1000.0)
    assert door.pace <= 0.0121


def test_large_images_are_weighed() -> None:
    door = admission(places=1000, decoders=2)
    assert fill(door, 0.0) > 40
    door = admission(places=1000, decoders=2)
    for _ in range(4):
        door.enter(0.0, 0.19)
    assert 5 <= fill(door, 0.0) + 4 < 15


def test_heavy_images_wait_apart_and_keep_nobody_out() -> None:
    door = admission(places=1000, decoders=2)
    assert door.is_heavy(0.45)
    assert door.enter(0.0, 0.45) is None
    wait = door.enter(0.0, 0.45)
    assert wait is not None
    assert wait > 0
    assert not door.overloaded(0.0), "others need not be strict for that"
    assert fill(door, 0.0) > 40
    for _ in range(door.inside - 1):
        door.leave(1.0)
    door.leave(1.0, work=0.45)
    assert door.enter(1.0, 0.45) is None


@given(
    steps=st.lists(st.tuples(st.sampled_from("ed"), st.floats(0, 0.2)), max_size=60),
    work=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_whatever_comes_the_counts_are_right(steps: list[tuple[str, float]], work: float) -> None:
    door, now, inside = admission(places=7), 0.0, 0
    for step, passed in steps:
        now += passed
        if step == "e":
            wait = door.enter(now, work)
            inside += wait is None
            assert wait is None or (wait > 0 and inside)
        elif inside:
            door.finished(now, 1)
            door.leave(now, work=work)
            inside -= 1
        assert door.inside == inside <= 7
        assert door.waiting(now) >= 0
        assert door.pace > 0

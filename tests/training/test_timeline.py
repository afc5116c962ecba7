from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.errors import InputError
from effnet.training.progressive import ProgressiveSchedule, Ramp, first_step
from effnet.training.timeline import Timeline, shares

schedules = st.builds(
    lambda stages, scale: ProgressiveSchedule(stages=stages, image_size=Ramp(8, 32), batch_scale=Ramp(scale, 1)),
    st.integers(1, 6),
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
)


@given(schedules, st.integers(1, 200), st.integers(1, 7), st.integers(1, 64))
def test_every_epoch_holds_every_sample_once_in_order(schedule, samples, epochs, batch):
    line = Timeline(schedule, samples=samples, epochs=epochs, batch=batch)
    expected = 0
    for number in range(line.steps):
        step = line.at(number)
        assert step.number == number
        assert 1 <= step.count <= line.batch_of(step.settings)
        assert step.epoch * samples + step.first == expected
        assert step.position == pytest.approx(expected / samples)
        expected += step.count
        assert step.ends_epoch == (expected % samples == 0)
    assert expected == samples * epochs


@given(schedules, st.integers(1, 200), st.integers(1, 7), st.integers(1, 64))
def test_a_step_belongs_to_the_stage_of_its_first_sample_and_to_no_other(schedule, samples, epochs, batch):
    line = Timeline(schedule, samples=samples, epochs=epochs, batch=batch)
    total = samples * epochs
    for number in range(line.steps):
        step = line.at(number)
        first = step.epoch * samples + step.first
        assert step.settings.stage == schedule.stage_at(first, total)
        assert first + step.count <= first_step(step.settings.stage + 1, total, schedule.stages)


@given(st.integers(1, 500), st.integers(1, 64))
def test_the_steps_of_an_epoch_differ_by_at_most_one_image(samples, batch):
    line = Timeline(ProgressiveSchedule(stages=1, image_size=Ramp(8, 8)), samples=samples, epochs=1, batch=batch)
    counts = [line.at(number).count for number in range(line.steps)]
    assert max(counts) - min(counts) <= 1
    assert line.steps == -(-samples // batch)


@given(st.integers(0, 300), st.integers(1, 20))
def test_shares_cover_every_place_once(count, parts):
    cut = shares(count, parts)
    assert [place for part in cut for place in part] == list(range(count))
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


@pytest.mark.parametrize("bad", [{"samples": 0}, {"epochs": 0}, {"batch": 0}])
def test_nothing_to_train_on_is_refused(bad):
    with pytest.raises(InputError):
        Timeline(ProgressiveSchedule(image_size=Ramp(8, 8)), **{"samples": 4, "epochs": 1, "batch": 2} | bad)


def test_a_step_outside_the_run_is_refused():
    line = Timeline(ProgressiveSchedule(image_size=Ramp(8, 8)), samples=4, epochs=1, batch=2)
    with pytest.raises(InputError):
        line.at(line.steps)

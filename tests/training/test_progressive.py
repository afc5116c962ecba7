"""Progressive learning against the published tables, and the laws of its stages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.cost import cost
from effnet.errors import InputError, UnknownNameError
from effnet.families.catalog import find
from effnet.training.progressive import (
    PUBLISHED,
    ProgressiveSchedule,
    Ramp,
    first_step,
    published,
    relative_compute,
    stage_at,
)

# The released code's four stages: size, RandAugment magnitude (2 digits), mixup = CutMix alpha (3 digits), dropout.
CODE = {
    "code_s": ([171, 214, 257, 300], [5.00, 6.67, 8.33, 10.00], [0.000, 0.000, 0.000, 0.000], 0.2),
    "code_m": ([192, 256, 320, 384], [5.00, 8.33, 11.67, 15.00], [0.000, 0.067, 0.133, 0.200], 0.3),
    "code_l": ([192, 256, 320, 384], [5.00, 10.00, 15.00, 20.00], [0.000, 0.167, 0.333, 0.500], 0.4),
    "code_xl": ([192, 256, 320, 384], [5.00, 10.00, 15.00, 20.00], [0.000, 0.167, 0.333, 0.500], 0.4),
    "code_b0": ([144, 160, 176, 192], [0, 0, 0, 0], [0, 0, 0, 0], 0.2),
    "code_b1": ([144, 160, 176, 192], [0, 0, 0, 0], [0, 0, 0, 0], 0.2),
    "code_b2": ([148, 168, 188, 208], [0, 0, 0, 0], [0, 0, 0, 0], 0.3),
    "code_b3": ([156, 184, 212, 240], [0, 0, 0, 0], [0, 0, 0, 0], 0.3),
}

# V2 Table 6: image size, RandAugment, mixup and dropout, smallest and largest.
PAPER = {
    "paper_s": ((128, 300), (5, 15), (0, 0), (0.1, 0.3)),
    "paper_m": ((128, 380), (5, 20), (0, 0.2), (0.1, 0.4)),
    "paper_l": ((128, 380), (5, 25), (0, 0.5), (0.1, 0.5)),
}


def test_every_published_schedule_is_checked_here() -> None:
    assert set(PUBLISHED) == {*CODE, *PAPER}


@pytest.mark.parametrize("name", CODE)
def test_code_form_is_the_released_table(name: str) -> None:
    sizes, magnitudes, alphas, dropout = CODE[name]
    stages = [published(name).settings(i) for i in range(4)]
    assert [s.image_size for s in stages] == sizes
    assert [round(s.magnitude, 2) for s in stages] == magnitudes
    assert [round(s.mixup, 3) for s in stages] == alphas
    assert [round(s.cutmix, 3) for s in stages] == alphas
    assert {s.dropout for s in stages} == {dropout}


@pytest.mark.parametrize("name", PAPER)
def test_paper_form_is_table_6_with_linear_steps_between(name: str) -> None:
    schedule = published(name)
    for i in range(4):
        stage = schedule.settings(i)
        (size, magnitude, mixup, dropout) = (a + (b - a) * i / 3 for a, b in PAPER[name])
        assert stage.image_size == int(size + 1e-9)
        assert stage.magnitude == pytest.approx(magnitude)
        assert stage.mixup == pytest.approx(mixup)
        assert stage.dropout == pytest.approx(dropout)
        assert stage.cutmix == 0
        assert stage.drop_path == 0.2
    assert stage.image_size == PAPER[name][0][1]
    assert (stage.magnitude, stage.mixup, stage.dropout) == tuple(pair[1] for pair in PAPER[name][1:])


def test_paper_stages_of_350_epochs_are_about_87_epochs_each() -> None:
    starts = [first_step(i, 350, 4) for i in range(5)]
    assert starts == [0, 87, 175, 262, 350]


def test_one_stage_is_a_fixed_size() -> None:
    schedule = ProgressiveSchedule(stages=1, image_size=Ramp(128, 300), dropout=Ramp(0.1, 0.3))
    assert {schedule.settings_at(step, 50).image_size for step in range(50)} == {300}
    assert schedule.settings_at(0, 50).dropout == 0.3


@given(total=st.integers(1, 400), stages=st.integers(1, 40))
def test_stages_cover_every_step_once_and_in_order(total: int, stages: int) -> None:
    seen = [stage_at(step, total, stages) for step in range(total)]
    cut = [
        stage
        for stage in range(stages)
        for _ in range(first_step(stage, total, stages), first_step(stage + 1, total, stages))
    ]
    assert seen == cut
    assert seen == sorted(seen)
    assert seen[-1] == stages - 1
    lengths = [seen.count(stage) for stage in range(stages)]
    assert max(lengths) - min(lengths) <= 1


@given(
    total=st.integers(1, 10**12),
    stages=st.integers(1, 100),
    data=st.data(),
)
def test_boundaries_are_exact_in_long_runs(total: int, stages: int, data: st.DataObject) -> None:
    stage = data.draw(st.integers(0, stages - 1))
    start, end = first_step(stage, total, stages), first_step(stage + 1, total, stages)
    if start < end:
        assert stage_at(start, total, stages) == stage_at(end - 1, total, stages) == stage
    if start:
        assert stage_at(start - 1, total, stages) < stage or start == end


ramps = st.tuples(st.floats(0, 30), st.floats(0, 30)).map(lambda pair: Ramp(*pair))
rates = st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)).map(lambda pair: Ramp(*pair))


@st.composite
def schedules(draw: st.DrawFn) -> ProgressiveSchedule:
    start = draw(st.integers(1, 300))
    pixels = draw(st.booleans())
    return ProgressiveSchedule(
        image_size=Ramp(start, start + draw(st.integers(0, 300))),
        stages=draw(st.integers(1, 12)),
        form=draw(st.sampled_from(["paper", "code"])),
        multiple=draw(st.sampled_from([1, 2, 16, 32])),
        magnitude=draw(ramps),
        mixup=draw(ramps),
        cutmix=draw(ramps),
        dropout=draw(rates),
        drop_path=draw(rates),
        constant_pixels=pixels,
        batch_scale=Ramp(1, 1) if pixels else draw(st.floats(1, 8).map(lambda scale: Ramp(scale, 1))),
    )


@given(schedule=schedules())
def test_every_quantity_goes_one_way_and_ends_at_its_end(schedule: ProgressiveSchedule) -> None:
    stages = [schedule.settings(i) for i in range(schedule.stages)]
    sizes = [s.image_size for s in stages]
    assert sizes == sorted(sizes)
    assert schedule.image_size.start <= sizes[0]
    assert all(size % schedule.multiple == 0 for size in sizes[1:-1] if size != schedule.image_size.start)
    for name in ("image_size", "magnitude", "mixup", "cutmix", "dropout", "drop_path"):
        values = [getattr(s, name) for s in stages]
        assert values[-1] == getattr(schedule, name).end
        assert values in (sorted(values), sorted(values, reverse=True))
    assert stages[-1].batch_scale == 1
    batches = [s.batch_size(24) for s in stages]
    assert batches == sorted(batches, reverse=True)
    assert batches[-1] == 24


@given(schedule=schedules(), total=st.integers(1, 500), data=st.data())
def test_a_run_resumed_anywhere_finds_the_same_settings(
    schedule: ProgressiveSchedule, total: int, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, total - 1))
    again = schedule.settings_at(step, total)
    assert (
        again
        == schedule.settings(again.stage)
        == schedule.settings_at(first_step(again.stage, total, schedule.stages), total)
    )
    assert schedule.settings_at(total - 1, total).image_size == schedule.image_size.end


@given(start=st.integers(1, 512), grow=st.integers(0, 512), full=st.integers(1, 4096), stages=st.integers(1, 9))
def test_constant_pixels_fill_the_memory_and_never_more(start: int, grow: int, full: int, stages: int) -> None:
    schedule = ProgressiveSchedule(image_size=Ramp(start, start + grow), stages=stages, constant_pixels=True)
    budget = full * (start + grow) ** 2
    for i in range(stages):
        stage = schedule.settings(i)
        batch, area = stage.batch_size(full), stage.image_size**2
        assert batch * area <= budget < (batch + 1) * area


def test_batch_follows_its_ramp() -> None:
    schedule = ProgressiveSchedule(image_size=Ramp(128, 256), batch_scale=Ramp(4, 1))
    assert [schedule.settings(i).batch_size(32) for i in range(4)] == [128, 96, 64, 32]


def test_sizes_between_the_ends_are_rounded_down_and_the_ends_are_kept() -> None:
    schedule = ProgressiveSchedule(image_size=Ramp(100, 300), multiple=32)
    assert [schedule.settings(i).image_size for i in range(4)] == [100, 160, 224, 300]


def test_relative_compute_is_the_ratio_of_areas_when_cost_is_area() -> None:
    shares = relative_compute(published("paper_s"), lambda size: size**2)
    assert shares == tuple(size**2 / 300**2 for size in (128, 185, 242, 300))
    assert relative_compute(ProgressiveSchedule(image_size=Ramp(64, 64)), lambda size: size**2) == (1, 1, 1, 1)
    with pytest.raises(InputError, match="0 MACs"):
        relative_compute(published("paper_s"), lambda size: 0)


def test_papers_schedule_computes_little_more_than_half_on_the_real_network() -> None:
    spec = find("efficientnetv2_s")
    shares = relative_compute(published("paper_s"), lambda size: cost(spec, resolution=size).macs)
    assert shares[0] < 0.18
    assert shares[-1] == 1
    assert 0.55 < sum(shares) / 4 < 0.57


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"image_size": Ramp(300, 128)}, "image_size"),
        ({"image_size": Ramp(128.5, 300)}, "image_size"),
        ({"image_size": Ramp(0, 300)}, "image_size"),
        ({"image_size": (128, 300)}, "image_size"),
        ({"stages": 0}, "stages"),
        ({"stages": 4.0}, "stages"),
        ({"form": "papers"}, "form"),
        ({"multiple": 0}, "multiple"),
        ({"dropout": Ramp(0.1, 1)}, "dropout"),
        ({"drop_path": Ramp(1.2, 0.1)}, "drop_path"),
        ({"batch_scale": Ramp(0, 1)}, "batch_scale"),
        ({"batch_scale": Ramp(2, 1), "constant_pixels": True}, "constant_pixels"),
        ({"constant_pixels": 1}, "constant_pixels"),
    ],
)
def test_impossible_schedules_are_refused(fields: dict[str, object], where: str) -> None:
    with pytest.raises((InputError, UnknownNameError)) as caught:
        ProgressiveSchedule(**{"image_size": Ramp(128, 300), **fields})  # type: ignore[arg-type]
    assert caught.value.where == where
    assert caught.value.fix


@pytest.mark.parametrize("ends", [(-1, 2), (0, float("nan")), (float("inf"), 0), ("1", 2), (True, 2)])
def test_impossible_ramps_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(InputError):
        Ramp(*ends)


def test_steps_outside_the_run_are_refused() -> None:
    schedule = published("paper_s")
    for step, total in ((-1, 10), (10, 10), (0, 0)):
        with pytest.raises(InputError, match=f"step {step} of {total}"):
            schedule.settings_at(step, total)
    for stage in (-1, 4):
        with pytest.raises(InputError, match=f"stage {stage} of 4"):
            schedule.settings(stage)


def test_an_unknown_schedule_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="paper_s"):
        published("papers")

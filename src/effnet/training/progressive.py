"""Progressive learning (V2 section 4.2): small images and weak regularisation first, both growing in stages.

A schedule is a value, and a stage's settings are a pure function of how far training has come, so a resumed run finds
itself in the stage it left. `step` and `total_steps` count anything that training counts: optimizer steps, samples, or
epochs. Stage i of M, from 0 as in the paper, runs from i/M of the total until (i+1)/M of it, and no weight is
re-initialised between stages. One stage means a fixed size.

    >>> from effnet.training.progressive import published
    >>> [published("paper_m").settings_at(step, 4).image_size for step in range(4)]
    [128, 212, 296, 380]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from effnet.errors import InputError, UnknownNameError
from effnet.training.fields import bounded, prove

Form = Literal["paper", "code"]


@dataclass(frozen=True, slots=True)
class Ramp:
    """A quantity that goes linearly from `start` in the first stage to `end` in the last."""

    start: float = bounded(..., 0, 1e6)
    end: float = bounded(..., 0, 1e6)

    def __post_init__(self) -> None:
        """Refuse negative and endless values."""
        prove(self)

    def at(self, stage: int, stages: int) -> float:
        """Return the value in `stage` (from 0) of `stages`: exactly `end` in the last, and if there is but one."""
        if stage == stages - 1:
            return self.end
        value = self.start + (self.end - self.start) * stage / (stages - 1)
        # Rounding may step over the end by a last digit, and a rate of exactly the end must stay the largest.
        return min(max(value, min(self.start, self.end)), max(self.start, self.end))


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """What one stage trains with.

    Attributes:
        stage: its number, from 0.
        image_size: side of the training images in pixels.
        magnitude: of RandAugment, on its scale where 10 is a full-strength operation.
        mixup, cutmix: alpha of the Beta distribution that mixing ratios are drawn from; 0 is off.
        dropout: rate before the classifier.
        drop_path: rate that the last block approaches.
        batch_scale: batch size over the batch size at full image size.
    """

    stage: int
    image_size: int
    magnitude: float
    mixup: float
    cutmix: float
    dropout: float
    drop_path: float
    batch_scale: float

    def batch_size(self, full: int) -> int:
        """Return the batch for this stage when `full` samples are the batch at full size; rounded down, so it fits."""
        # A scale such as (300 / 128)**2 is not exact in floats; it must not cost a sample that fits.
        return max(1, math.floor(full * self.batch_scale + 1e-9))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressiveSchedule:
    """Every quantity that changes during progressive learning, from the first stage to the last.

    Attributes:
        stages: M; 1 trains at the end values throughout.
        form: how image sizes are spread. `paper`: S_i = S_0 + (S_e - S_0) * i / (M - 1) (V2 Algorithm 1). `code`:
            S_i = S_0 + (S_e - S_0) * (i + 1) / M as Google released it, whose first stage is already larger than S_0.
            Regularisers go by i / (M - 1) in both.
        image_size: pixels, whole numbers; sizes in between are rounded down.
        multiple: sizes between the first and the last are rounded down to a multiple of it.
        magnitude, mixup, cutmix, dropout, drop_path, batch_scale: see StageSettings. The released code mixes by
            CutMix too, of which the paper says nothing, and computes the ramp of dropout without applying it.
        constant_pixels: let the batch hold the same number of pixels at every size, hence about the same memory,
            instead of following `batch_scale`.
    """

    image_size: Ramp
    stages: int = bounded(4, 1, 10_000)
    form: Form = "paper"
    multiple: int = bounded(1, 1, 512)
    magnitude: Ramp = Ramp(0, 0)
    mixup: Ramp = Ramp(0, 0)
    cutmix: Ramp = Ramp(0, 0)
    dropout: Ramp = Ramp(0, 0)
    drop_path: Ramp = Ramp(0, 0)
    batch_scale: Ramp = Ramp(1, 1)
    constant_pixels: bool = False

    def __post_init__(self) -> None:
        """Refuse schedules that cannot be trained."""
        prove(self)
        size = self.image_size
        for value in (size.start, size.end):
            if not value.is_integer() or not 1 <= value <= 16384:
                raise InputError(
                    f"image_size is {value:g} px", where="image_size", fix="give whole pixels from 1 to 16384"
                )
        if size.start > size.end:
            raise InputError(
                f"image_size shrinks from {size.start:g} to {size.end:g} px",
                where="image_size",
                fix=f"start at {size.end:g} px or less",
            )
        for name in ("dropout", "drop_path"):
            if max(getattr(self, name).start, getattr(self, name).end) >= 1:
                raise InputError(f"{name} reaches 1", where=name, fix="give rates below 1")
        if min(self.batch_scale.start, self.batch_scale.end) <= 0:
            raise InputError("batch_scale reaches 0", where="batch_scale", fix="give factors above 0")
        if self.constant_pixels and self.batch_scale != Ramp(1, 1):
            raise InputError(
                "both constant_pixels and batch_scale set the batch",
                where="constant_pixels",
                fix="leave out one of the two",
            )

    def settings(self, stage: int) -> StageSettings:
        """Return what `stage` (from 0) trains with.

        Raises:
            InputError: no such stage.
        """
        if not 0 <= stage < self.stages:
            raise InputError(f"stage {stage} of {self.stages}", where="stage", fix=f"give 0 to {self.stages - 1}")
        size = self._size(stage)
        pixels = float(Fraction(int(self.image_size.end), size) ** 2)
        return StageSettings(
            stage=stage,
            image_size=size,
            magnitude=self.magnitude.at(stage, self.stages),
            mixup=self.mixup.at(stage, self.stages),
            cutmix=self.cutmix.at(stage, self.stages),
            dropout=self.dropout.at(stage, self.stages),
            drop_path=self.drop_path.at(stage, self.stages),
            batch_scale=pixels if self.constant_pixels else self.batch_scale.at(stage, self.stages),
        )

    def stage_at(self, step: int, total_steps: int) -> int:
        """Return the stage that `step` (from 0) of `total_steps` belongs to; see the module function."""
        return stage_at(step, total_steps, self.stages)

    def settings_at(self, step: int, total_steps: int) -> StageSettings:
        """Return what `step` (from 0) of `total_steps` trains with.

        Raises:
            InputError: the step is not part of the run.
        """
        return self.settings(self.stage_at(step, total_steps))

    def _size(self, stage: int) -> int:
        first, last = int(self.image_size.start), int(self.image_size.end)
        if stage == self.stages - 1:
            return last
        part = Fraction(stage, self.stages - 1) if self.form == "paper" else Fraction(stage + 1, self.stages)
        size = math.floor(first + (last - first) * part)
        return max(first, size // self.multiple * self.multiple)


def stage_at(step: int, total_steps: int, stages: int) -> int:
    """Return the stage (from 0) of `step` (from 0): stage i starts at floor(i * total_steps / stages).

    With fewer steps than stages the first stages are skipped; the last step is always in the last stage.

    Raises:
        InputError: the step is not part of the run.
    """
    if not 0 <= step < total_steps:
        raise InputError(f"step {step} of {total_steps}", where="step", fix="give a step from 0 to one below the total")
    # floor(i * total / stages) <= step  <=>  i * total < (step + 1) * stages: the largest such i
    return ((step + 1) * stages - 1) // total_steps


def first_step(stage: int, total_steps: int, stages: int) -> int:
    """Return the step at which `stage` (from 0) starts; for `stage == stages` that is `total_steps`."""
    return stage * total_steps // stages


def relative_compute(schedule: ProgressiveSchedule, macs: Callable[[int], float]) -> tuple[float, ...]:
    """Return each stage's compute for one image over that at full size; their mean is the whole run's share.

    The mean assumes that stages see equally many images, as they do when steps count epochs or samples. It is an
    estimate of compute, not of time: small images rarely fill a GPU as well, and decoding does not shrink as fast.

    Args:
        macs: multiply-accumulates of one image at a size in pixels, such as
            `lambda size: cost(spec, resolution=size).macs`.

    Raises:
        InputError: the full size costs nothing.
    """
    full = macs(int(schedule.image_size.end))
    if not full > 0:
        raise InputError(f"{full} MACs at full size", where="macs", fix="give a function that counts them")
    return tuple(macs(schedule.settings(stage).image_size) / full for stage in range(schedule.stages))


def published(name: str) -> ProgressiveSchedule:
    """Return a published schedule: `paper_s`, `_m`, `_l` or `code_s`, `_m`, `_l`, `_xl`, `_b0` to `_b3`.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in PUBLISHED:
        raise UnknownNameError.among("progressive schedule", name, PUBLISHED)
    return PUBLISHED[name]


def _paper(size: int, magnitude: float, mixup: float, dropout: float) -> ProgressiveSchedule:
    return ProgressiveSchedule(
        image_size=Ramp(128, size),
        magnitude=Ramp(5, magnitude),
        mixup=Ramp(0, mixup),
        dropout=Ramp(0.1, dropout),
        drop_path=Ramp(0.2, 0.2),
    )


def _code(size: int, magnitude: float | None, alpha: float, dropout: float) -> ProgressiveSchedule:
    return ProgressiveSchedule(
        form="code",
        image_size=Ramp(128, size),
        magnitude=Ramp(0, 0) if magnitude is None else Ramp(5, magnitude),
        mixup=Ramp(0, alpha),
        cutmix=Ramp(0, alpha),
        dropout=Ramp(dropout, dropout),
        drop_path=Ramp(0.2, 0.2),
    )


# V2 Table 6; the last mixup alpha of L is 0.5 in the code and 0.4 in transcriptions of the paper.
# fmt: off
PUBLISHED: dict[str, ProgressiveSchedule] = {
    #                 size  RandAugment  mixup  dropout
    "paper_s":  _paper(300,          15,   0.0,     0.3),
    "paper_m":  _paper(380,          20,   0.2,     0.4),
    "paper_l":  _paper(380,          25,   0.5,     0.5),
    # Google's code: mixup and CutMix share their alpha, dropout is constant, B0 to B3 use AutoAugment.
    "code_s":   _code(300,           10,   0.0,     0.2),
    "code_m":   _code(384,           15,   0.2,     0.3),
    "code_l":   _code(384,           20,   0.5,     0.4),
    "code_xl":  _code(384,           20,   0.5,     0.4),
    "code_b0":  _code(192,         None,   0.0,     0.2),
    "code_b1":  _code(192,         None,   0.0,     0.2),
    "code_b2":  _code(208,         None,   0.0,     0.3),
    "code_b3":  _code(240,         None,   0.0,     0.3),
}
# fmt: on

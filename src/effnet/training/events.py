"""What a training run tells those who watch it: displays, metric files, trackers.

The trainer calls every observer with every event, in order, on the first process only. An observer never changes the
run: the same run without it gives the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from effnet.training.progressive import StageSettings
from effnet.training.score import Chooser, Score

Ending: TypeAlias = Literal["completed", "no_improvement", "out_of_time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One setting that was chosen for the person, and why."""

    setting: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Training begins or goes on.

    Attributes:
        folder: of the run.
        epochs, steps: of the whole run.
        step: steps done before, 0 unless the run was resumed.
    """

    folder: Path
    epochs: int
    steps: int
    step: int
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted:
    """The following steps train with other settings (also sent once at the start and after a resume).

    Attributes:
        batch: images in one optimizer step.
    """

    step: int
    stages: int
    settings: StageSettings
    batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """One optimizer step is done.

    Attributes:
        step: steps done, this one included.
        epoch: epochs done, fractions included.
        stage: from 0.
        loss: mean over the step's images on all processes.
        rate: learning rate, before the layers' shares.
        gradient_norm: before clipping; None where it was not computed.
        samples: images in this step, on all processes.
        seconds: wall time of the step, waiting included.
        waited: seconds of it in which the loader was waited for.
        skipped: whether the step was left out because its loss or gradient was not finite.
    """

    step: int
    epoch: float
    stage: int
    loss: float
    rate: float
    gradient_norm: float | None
    samples: int
    seconds: float
    waited: float
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The network was judged on the validation images, with averaged weights where the recipe keeps them.

    Attributes:
        step: steps done.
        epoch: epochs done.
        score: how good it is, with counts, interval and the classes that are never answered.
        chooser: what the best network of the run is chosen by.
        best: whether this network is the one to hand over so far.
        seconds: it took.
    """

    step: int
    epoch: float
    score: Score
    best: bool
    seconds: float
    chooser: Chooser = "top1"

    @property
    def metrics(self) -> Mapping[str, float]:
        """By name: `top1`, `top5`, `ece`, `mean_of_classes` (percent), `loss`."""
        return self.score.metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint is on the disk."""

    step: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something that a person should know, and the run survives."""

    step: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Training is over.

    Attributes:
        seconds: trained in all, earlier sessions of a resumed run included.
        score: of the best network; None without validation images.
        chooser: what it was chosen by.
    """

    step: int
    ending: Ending
    seconds: float
    score: Score | None
    chooser: Chooser = "top1"

    @property
    def best(self) -> float | None:
        """Top-1 of the best network in percent; None without validation images."""
        return None if self.score is None else self.score.top1


Event: TypeAlias = Started | StageStarted | Stepped | Evaluated | Saved | Warned | Finished
Observer: TypeAlias = Callable[[Event], None]

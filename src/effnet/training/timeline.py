"""Which images each optimizer step sees, and with which settings: a pure function of the recipe and the data's size.

A run is `epochs` passes over N samples in an order that the sampler decides; this module cuts that line of samples into
steps. Progressive stages begin at their share of the samples (V2 Algorithm 1), so a stage may begin within an epoch. In
each piece between two such borders the steps are as equal as whole numbers allow: no image is left out of an epoch and
no step is a tiny remainder, whose norm statistics would be noise.

    >>> from effnet.training.catalog import find
    >>> from effnet.families import find as network
    >>> recipe = find("finetune")
    >>> line = Timeline(recipe.progressive_for(network("b0")), samples=245, epochs=12, batch=32)
    >>> line.steps, line.at(0).count, line.at(95).epoch
    (96, 30, 11)
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from dataclasses import dataclass

from effnet.errors import InputError
from effnet.spec import NetworkSpec
from effnet.training.progressive import ProgressiveSchedule, StageSettings, first_step
from effnet.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimizer step.

    Attributes:
        number: from 0.
        epoch: that its images belong to, from 0.
        first: place of its first image in that epoch's order.
        count: images in it, over all processes and accumulated batches.
        settings: of its progressive stage.
        position: epochs done before it, fractions included; the learning rate follows it.
        ends_epoch: whether it is the last of its epoch.
    """

    number: int
    epoch: int
    first: int
    count: int
    settings: StageSettings
    position: float
    ends_epoch: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """Samples of one epoch in one stage: `first` to `last` of the epoch, in `steps` steps from number `step` on."""

    epoch: int
    stage: int
    first: int
    last: int
    step: int
    steps: int


class Timeline:
    """Every step of a run, by number.

    Attributes:
        steps: in the whole run.
    """

    def __init__(self, schedule: ProgressiveSchedule, *, samples: int, epochs: int, batch: int) -> None:
        """Cut `epochs` passes over `samples` images into steps.

        Args:
            schedule: of the progressive stages.
            samples: in one epoch.
            epochs: passes.
            batch: images in one optimizer step at full image size; a stage's `batch_scale` multiplies it.

        Raises:
            InputError: one of the numbers is below 1.
        """
        for name, value in (("samples", samples), ("epochs", epochs), ("batch", batch)):
            if value < 1:
                raise InputError(f"{name} is {value}", where=name, fix="give at least 1")
        self.samples = samples
        self.epochs = epochs
        self._settings = tuple(schedule.settings(stage) for stage in range(schedule.stages))
        self._batch = batch
        self._pieces = tuple(self._cut(schedule.stages))
        self._starts = [piece.step for piece in self._pieces]
        self.steps = self._pieces[-1].step + self._pieces[-1].steps

    def _cut(self, stages: int) -> list[_Piece]:
        total = self.samples * self.epochs
        # Of two stages that begin at one place, the later counts.
        borders = {first_step(stage, total, stages): stage for stage in range(stages)}
        edges = [*sorted(borders.keys() | {self.samples * epoch for epoch in range(self.epochs)}), total]
        pieces: list[_Piece] = []
        stage = step = 0
        for start, end in itertools.pairwise(edges):
            stage = borders.get(start, stage)
            epoch = start // self.samples
            steps = -(-(end - start) // self._settings[stage].batch_size(self._batch))
            first = start - epoch * self.samples
            pieces.append(_Piece(epoch, stage, first, first + end - start, step, steps))
            step += steps
        return pieces

    def at(self, number: int) -> Step:
        """Return the step of that number.

        Raises:
            InputError: the run has no such step.
        """
        if not 0 <= number < self.steps:
            raise InputError(f"step {number} of {self.steps}", where="step", fix=f"give 0 to {self.steps - 1}")
        piece = self._pieces[bisect_right(self._starts, number) - 1]
        place, length = number - piece.step, piece.last - piece.first
        first = piece.first + length * place // piece.steps
        last = piece.first + length * (place + 1) // piece.steps
        return Step(
            number=number,
            epoch=piece.epoch,
            first=first,
            count=last - first,
            settings=self._settings[piece.stage],
            position=piece.epoch + first / self.samples,
            ends_epoch=last == self.samples,
        )

    def batch_of(self, settings: StageSettings) -> int:
        """Return the images in one full optimizer step of a stage."""
        return settings.batch_size(self._batch)


def timeline_of(recipe: Recipe, spec: NetworkSpec, samples: int) -> Timeline:
    """Return the steps of a run of `recipe`, whose batch size is decided, over `samples` images.

    Raises:
        InputError: the recipe's stages do not fit the network, or a number is below 1.
    """
    batch = (recipe.batch.size or 1) * recipe.batch.accumulate
    return Timeline(recipe.progressive_for(spec), samples=samples, epochs=recipe.epochs, batch=batch)


def shares(count: int, parts: int) -> tuple[range, ...]:
    """Return `count` places cut into `parts` neighbouring ranges, as equal as whole numbers allow."""
    return tuple(range(count * part // parts, count * (part + 1) // parts) for part in range(parts))

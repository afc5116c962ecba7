"""Which images each step takes, and which of them this process computes: a function of the seed and the step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from effnet.data.request import Request
from effnet.data.sampling import epoch_order
from effnet.data.source import Source
from effnet.training.distributed import World
from effnet.training.recipe import Recipe
from effnet.training.timeline import Step, Timeline, shares


class StepImages:
    """The images of a run, step by step."""

    def __init__(self, source: Source, recipe: Recipe, timeline: Timeline, world: World) -> None:
        """Take what decides them; the timeline is the recipe's over the images of `source`."""
        self._source = source
        self._recipe = recipe
        self._timeline = timeline
        self._world = world
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def of(self, step: Step) -> NDArray[np.int64]:
        """Return the indices of a step's images, on all processes together: (count,)."""
        if step.epoch != self._epoch:
            shards = getattr(self._source, "shards", None)
            self._epoch = step.epoch
            self._order = epoch_order(
                self._source.labels,
                seed=self._recipe.seed,
                epoch=step.epoch,
                sampling="balanced" if self._recipe.batch.sampling == "balanced" else "natural",
                shards=shards,
            )
        return self._order[step.first : step.first + step.count]

    def requests(self, start: int) -> Iterator[Request]:
        """Yield what this process's loader must bring for each accumulated batch from step `start` on."""
        for number in range(start, self._timeline.steps):
            step = self._timeline.at(number)
            indices = self.of(step)
            for places in self.micro_batches(step):
                yield Request(
                    epoch=step.epoch,
                    indices=tuple(indices[_padded(places)].tolist()),
                    image_size=step.settings.image_size,
                    magnitude=step.settings.magnitude,
                )

    def micro_batches(self, step: Step) -> list[range]:
        """Return this process's places in the step, a range for each accumulated batch; a range can be empty."""
        parts = shares(step.count, min(self._recipe.batch.accumulate, step.count))
        mine = [shares(len(part), self._world.size)[self._world.rank] for part in parts]
        return [range(part.start + own.start, part.start + own.stop) for part, own in zip(parts, mine, strict=True)]


def _padded(places: range) -> list[int]:
    # Norm statistics need two values; a place given twice counts once, as the loss is a mean. An empty share computes
    # with an image of another process, at weight 0, because all of them must take part in the exchange.
    chosen = list(places) or [max(0, places.start - 1)]
    return chosen * 2 if len(chosen) == 1 else chosen

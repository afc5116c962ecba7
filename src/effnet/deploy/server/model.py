"""What the server needs of a model, and what it finds out about one before it serves it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from effnet.errors import WeightsError
from effnet.inference.prediction import Score
from effnet.preprocessing import Preprocess

_ENOUGH = 0.1
"""A larger batch has to be so much faster an image, as a share, to be worth its longer wait."""

_REPEATS = 5
_WARM_UP_SECONDS = 5.0

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]


class PixelClassifier(Protocol):
    """The part of `effnet.inference.classifier.Classifier` that comes after decoding."""

    preprocess: Preprocess
    labels: tuple[str, ...] | None

    def classify(self, pixels: Sequence[Pixels]) -> Logits:
        """Run the network: N images, uint8 (size, size, channels) -> float32 logits (N, classes)."""
        ...

    def name(self, logits: Logits, top: int) -> Iterator[tuple[Score, ...]]:
        """Return the `top` most probable classes of each row of logits (N, classes), most probable first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A classifier and what clients and operators are told about it.

    Attributes:
        name: what clients see.
        classes: how many.
        classifier: computes.
        settings: engine, threads and whatever else decides how it runs, for people.
    """

    name: str
    classes: int
    classifier: PixelClassifier = field(repr=False)
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def preprocess(self) -> Preprocess:
        """How decoding makes an image into pixels."""
        return self.classifier.preprocess

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names in output order; None when the classes have none."""
        return self.classifier.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How fast a model is on this machine.

    Attributes:
        seconds: for a batch, by its size: 1, 2, 4 and so on.
        batch: the size from which larger ones gain nothing.
    """

    seconds: Mapping[int, float]
    batch: int

    @property
    def one(self) -> float:
        """Seconds for one image."""
        return self.seconds[1]

    @property
    def pace(self) -> float:
        """Seconds an image in batches of `batch`."""
        return self.seconds[self.batch] / self.batch


def measure(model: ServedModel, most: int, clock: Callable[[], float] = time.perf_counter) -> Timing:
    """Run a model on grey images of every batch size up to `most`, which also warms it up.

    Stops early where a model is slow; at least batch 1 is measured.

    Raises:
        WeightsError: its answers are not one number a class.
    """
    grey = np.full((model.preprocess.size, model.preprocess.size, len(model.preprocess.mean)), 127, np.uint8)
    seconds: dict[int, float] = {}
    began, size = clock(), 1
    while size <= most and (not seconds or clock() - began < _WARM_UP_SECONDS):
        logits = model.classifier.classify([grey] * size)  # the first run of a size allocates
        if logits.shape != (size, model.classes):
            what = f"{size} images give numbers of shape {logits.shape} for {model.classes} classes"
            raise WeightsError(what, where=model.name, fix="export the model again")
        times = []
        for _ in range(_REPEATS):
            start = clock()
            model.classifier.classify([grey] * size)
            times.append(clock() - start)
        seconds[size] = min(times)  # the least disturbed: what differs is others' work, not the model's
        size *= 2
    return Timing(seconds=seconds, batch=efficient_batch(seconds))


def measured(model: ServedModel, most: int) -> tuple[ServedModel, Timing]:
    """Return a model and how fast it is; raises as `measure` does."""
    return model, measure(model, most)


def efficient_batch(seconds: Mapping[int, float]) -> int:
    """Return the smallest batch whose time an image is within 10 % of the best."""
    best = min(time / size for size, time in seconds.items())
    return min(size for size, time in seconds.items() if time / size <= best * (1 + _ENOUGH))

"""What a person has and wants: the data, the device, the limits and the goal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from effnet.errors import InputError, UnknownNameError

Goal = Literal["prototype", "balanced", "best", "fast-training"]
Target = Literal["any", "gpu", "cpu", "mobile", "edgetpu"]

GOALS: tuple[Goal, ...] = get_args(Goal)
TARGETS: tuple[Target, ...] = get_args(Target)

TINY = 64
"""Pixels of the median shorter side up to which images are tiny; as in `effnet.training.decisions`."""

_LEARN_FROM_NOTHING = 10_000
"""Tiny images from which training from nothing at their own size beats enlarging them for ImageNet weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known; None is unknown, or no limit.

    Attributes:
        goal: what counts.
        images, classes: to learn from.
        image_side: median shorter side in pixels.
        target: where the network will run.
        trained_on: what it is trained on.
        max_params, max_macs, max_memory_bytes: as in `effnet.Budget`, for one image.
        max_latency_ms: for one image, as measured on this device.
        max_train_hours: on this device.

    Raises:
        InputError: a number is not positive, or there are more classes than images.
        UnknownNameError: no such goal or target.
    """

    goal: Goal = "balanced"
    images: int | None = None
    classes: int | None = None
    image_side: int | None = None
    target: Target = "any"
    trained_on: Literal["cpu", "gpu"] | None = None
    max_params: int | None = None
    max_macs: int | None = None
    max_memory_bytes: int | None = None
    max_latency_ms: float | None = None
    max_train_hours: float | None = None

    def __post_init__(self) -> None:
        """Refuse situations that cannot be."""
        if self.goal not in GOALS:
            raise UnknownNameError.among("goal", str(self.goal), GOALS, see=f"known: {', '.join(GOALS)}")
        if self.target not in TARGETS:
            raise UnknownNameError.among("target", str(self.target), TARGETS, see=f"known: {', '.join(TARGETS)}")
        if self.trained_on not in (None, "cpu", "gpu"):
            raise UnknownNameError.among("device", str(self.trained_on), ("cpu", "gpu"))
        for name in _NUMBERS:
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise InputError(f"{name} is {value!r}", where=name, fix="give a positive number")
        if self.images is not None and self.classes is not None and self.classes > self.images:
            what = f"{self.classes} classes of {self.images} images"
            raise InputError(what, where="classes", fix="give at least one image a class")

    @property
    def tiny(self) -> bool:
        """Whether the images are of icons' size, such as CIFAR's."""
        return self.image_side is not None and self.image_side <= TINY

    @property
    def from_nothing(self) -> bool:
        """Whether training begins without ImageNet weights: many tiny images, at their own size."""
        return self.tiny and self.images is not None and self.images >= _LEARN_FROM_NOTHING


_NUMBERS = (
    "images",
    "classes",
    "image_side",
    "max_params",
    "max_macs",
    "max_memory_bytes",
    "max_latency_ms",
    "max_train_hours",
)

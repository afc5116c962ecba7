"""RandAugment and AutoAugment: which operations an image gets, and how strong.

    ops = RandAugment(magnitude=15).draw(rng)
    image = augment_ops.apply(image, ops)

Sources: AutoAugment arXiv 1805.09501, RandAugment arXiv 1909.13719, and the code that trained EfficientNet
(tensorflow/tpu and google/automl, `autoaugment.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from effnet.data.augment_ops import OPERATIONS, Op, Reach, operation
from effnet.errors import InputError

_NAMES = tuple(OPERATIONS)

Step = tuple[str, float, float]
"""An operation, the probability that it happens, its magnitude."""

AUTOAUGMENT_V0: tuple[tuple[Step, Step], ...] = (
    (("Equalize", 0.8, 1), ("ShearY", 0.8, 4)),
    (("Color", 0.4, 9), ("Equalize", 0.6, 3)),
    (("Color", 0.4, 1), ("Rotate", 0.6, 8)),
    (("Solarize", 0.8, 3), ("Equalize", 0.4, 7)),
    (("Solarize", 0.4, 2), ("Solarize", 0.6, 2)),
    (("Color", 0.2, 0), ("Equalize", 0.8, 8)),
    (("Equalize", 0.4, 8), ("SolarizeAdd", 0.8, 3)),
    (("ShearX", 0.2, 9), ("Rotate", 0.6, 8)),
    (("Color", 0.6, 1), ("Equalize", 1.0, 2)),
    (("Invert", 0.4, 9), ("Rotate", 0.6, 0)),
    (("Equalize", 1.0, 9), ("ShearY", 0.6, 3)),
    (("Color", 0.4, 7), ("Equalize", 0.6, 0)),
    (("Posterize", 0.4, 6), ("AutoContrast", 0.4, 7)),
    (("Solarize", 0.6, 8), ("Color", 0.6, 9)),
    (("Solarize", 0.2, 4), ("Rotate", 0.8, 9)),
    (("Rotate", 1.0, 7), ("TranslateY", 0.8, 9)),
    (("ShearX", 0.0, 0), ("Solarize", 0.8, 4)),
    (("ShearY", 0.8, 0), ("Color", 0.6, 4)),
    (("Color", 1.0, 0), ("Rotate", 0.6, 2)),
    (("Equalize", 0.8, 4), ("Equalize", 0.0, 8)),
    (("Equalize", 1.0, 4), ("AutoContrast", 0.6, 2)),
    (("ShearY", 0.4, 7), ("SolarizeAdd", 0.6, 7)),
    (("Posterize", 0.8, 2), ("Solarize", 0.6, 10)),
    (("Solarize", 0.6, 8), ("Equalize", 0.6, 1)),
    (("Color", 0.8, 6), ("Rotate", 0.4, 5)),
)
"""The 25 sub-policies that the official code calls v0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandAugment:
    """A few operations, each chosen uniformly from the sixteen, all at one magnitude.

    Args:
        layers: operations drawn, one after another.
        magnitude: 10 is the scale's nominal end; V2 goes up to 25 (its Table 6).
        magnitude_std: standard deviation of a normal spread of the magnitude, drawn anew for each operation and kept
            at 0 or more (timm's `mstd`).
        probability: an operation happens with a probability that is itself drawn uniformly from this range. The
            official code draws it from 0.2-0.8 but then never reads it, so what it computed is (1, 1), twice as much
            augmentation at the same magnitude; timm uses 0.5.
        translate: px that TranslateX and TranslateY shift at magnitude 10.
        cutout: px of half the side of Cutout's square at magnitude 10. Both are for images of 128 px and more; scale
            them down with smaller ones.

    Raises:
        InputError: a number is outside its range.
    """

    layers: int = 2
    magnitude: float = 10.0
    magnitude_std: float = 0.0
    probability: tuple[float, float] = (0.2, 0.8)
    translate: float = 100.0
    cutout: float = 40.0

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _require_at_least_zero("RandAugment", layers=self.layers, magnitude=self.magnitude)
        _require_at_least_zero("RandAugment", magnitude_std=self.magnitude_std)
        _require_at_least_zero("RandAugment", translate=self.translate, cutout=self.cutout)
        if not 0 <= self.probability[0] <= self.probability[1] <= 1:
            raise InputError(f"probability {self.probability}", where="RandAugment", fix="give 0 <= least <= most <= 1")

    def draw(self, rng: np.random.Generator) -> tuple[Op, ...]:
        """Draw the operations for one image; at most `layers`."""
        draws = rng.random((self.layers, 6)).tolist()
        spread = rng.standard_normal(self.layers).tolist() if self.magnitude_std else [0.0] * self.layers
        reach = Reach(self.translate, self.cutout)
        least, most = self.probability
        ops = []
        for (choice, chance, coin, sign, row, column), sigma in zip(draws, spread, strict=True):
            if coin < least + (most - least) * chance:
                name = _NAMES[int(choice * len(_NAMES))]
                magnitude = max(0.0, self.magnitude + self.magnitude_std * sigma)
                ops.append(operation(name, magnitude, reach, negative=sign < 0.5, at=(row, column)))
        return tuple(ops)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoAugment:
    """One of 25 learned pairs of operations (policy v0), each with its own probability and magnitude.

    Args:
        translate: px that TranslateY shifts at magnitude 10 (TranslateX and Cutout are in no pair).

    Raises:
        InputError: a number is below 0.
    """

    translate: float = 250.0

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _require_at_least_zero("AutoAugment", translate=self.translate)

    def draw(self, rng: np.random.Generator) -> tuple[Op, ...]:
        """Draw the operations for one image; at most two."""
        choice, *draws = rng.random(9).tolist()
        reach = Reach(self.translate, cutout=0.0)
        ops = []
        for place, (name, probability, magnitude) in enumerate(AUTOAUGMENT_V0[int(choice * len(AUTOAUGMENT_V0))]):
            coin, sign, row, column = draws[4 * place : 4 * place + 4]
            if coin < probability:
                ops.append(operation(name, magnitude, reach, negative=sign < 0.5, at=(row, column)))
        return tuple(ops)


def _require_at_least_zero(where: str, **numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 <= number < math.inf:
            raise InputError(f"{name} {number}", where=where, fix="give a finite number, 0 or more")

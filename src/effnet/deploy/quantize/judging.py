"""How far an int8 graph may fall behind the float network, and how far it does. No torch, no files: numbers only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from effnet.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A graph's answers beside the float network's on the same held-out images.

    Attributes:
        images: how many.
        agreement: percent with the same first class.
        reference, top1: percent that the float network and the graph get right; None without labels.
        lost, won: images that only the float network, or only the graph, gets right; without labels, those whose first
            class changed, and none.
        error: root of the mean squared difference of logits, over the standard deviation of the float network's.
    """

    images: int
    agreement: float
    reference: float | None
    top1: float | None
    lost: int
    won: int
    error: float

    @property
    def drop(self) -> float:
        """Points of top-1 that are lost; without labels, the points by which agreement falls short of 100."""
        return 100 * (self.lost - self.won) / self.images

    @property
    def uncertainty(self) -> float:
        """Standard error of the drop in points. Both judge the same images, so only those they differ on count.

        Half an image is added to each of the four outcomes (Agresti and Min 2005): where no image changed, that of few
        images is still not certain.
        """
        images, differing = self.images + 2, self.lost + self.won + 1
        return 100 * math.sqrt(differing - (self.lost - self.won) ** 2 / images) / images

    @classmethod
    def of(cls, answers: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[np.int64] | None) -> Self:
        """Compare logits (N, K) with the float network's; `labels` (N,) number the right outputs."""
        ours, theirs = answers.argmax(1), reference.argmax(1)
        changed = changes(answers, reference, labels)
        spread = float(reference.std()) or 1.0
        return cls(
            images=len(answers),
            agreement=100 * float((ours == theirs).mean()),
            reference=None if labels is None else 100 * float((theirs == labels).mean()),
            top1=None if labels is None else 100 * float((ours == labels).mean()),
            lost=int((changed == LOST).sum()),
            won=int((changed == WON).sum()),
            error=float(np.sqrt(np.mean((answers - reference) ** 2))) / spread,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What an int8 graph must keep to be written.

    Attributes:
        max_drop: points of top-1 that it may lose (without labels: of agreement).
        min_agreement: percent of images whose first class must stay.

    Raises:
        InputError: not percent.
    """

    max_drop: float
    min_agreement: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        for name in ("max_drop", "min_agreement"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
                raise InputError(f"{name} is {value!r}", where=name, fix="give points from 0 to 100, such as 0.5")

    def passes(self, judgement: Judgement) -> bool:
        """Whether the graph may be written."""
        return not self.objections(judgement)

    def objections(self, judgement: Judgement) -> tuple[str, ...]:
        """Return what is against it, in clauses."""
        found = []
        if judgement.drop > self.max_drop + 1e-9:
            what = "top-1 drops" if judgement.top1 is not None else "agreement falls short"
            found.append(f"{what} by {points_up(judgement.drop):.2f} points, {self.max_drop:g} are allowed")
        if judgement.agreement < self.min_agreement - 1e-9:
            agreement = points_down(judgement.agreement)
            found.append(f"it agrees on {agreement:.2f} % of images, {self.min_agreement:g} are wanted")
        return tuple(found)


LOST, WON = 1, -1
"""What `changes` says of an image that only the float network, or only the graph, gets right."""


def changes(
    answers: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[np.int64] | None
) -> NDArray[np.int8]:
    """Return (N,) LOST, WON or 0 for each image; arguments as for `Judgement.of`."""
    ours, theirs = answers.argmax(1), reference.argmax(1)
    if labels is None:
        return np.where(ours == theirs, 0, LOST).astype(np.int8)
    lost: NDArray[np.int8] = (theirs == labels).astype(np.int8) - (ours == labels).astype(np.int8)
    return lost


def points_up(points: float) -> float:
    """Return points with two decimals that are not less: what is written down as allowed must let them pass."""
    return math.ceil(100 * points - 1e-6) / 100


def points_down(points: float) -> float:
    """Return points with two decimals that are not more."""
    return math.floor(100 * points + 1e-6) / 100

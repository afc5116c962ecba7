"""What a judgement of the validation images says, which of two is better, and how it is put into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from effnet.inference.metrics import Evaluation

Chooser = Literal["top1", "mean_of_classes"]
"""What the best network is chosen by: the share of images, or of each class's images, the classes counting alike."""

FEW = 200
"""Judged images below which a percentage with digits after the point would be a pretence: one image is half a point."""

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a network did on the validation images; percentages are of 100.

    Attributes:
        images: judged.
        right: of them.
        low, high: 95 % interval of top-1 (Wilson's).
        mean_of_classes: mean of the classes' own shares of right answers.
        loss: mean cross-entropy.
        ece: expected calibration error.
        never_answered: classes that have images here and were answered for none of all images.
    """

    images: int
    right: int
    top1: float
    top5: float
    low: float
    high: float
    mean_of_classes: float
    loss: float
    ece: float
    never_answered: tuple[str, ...] = ()

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        """Return the score that an evaluation comes to."""
        answered = evaluation.confusion.sum(axis=0)
        never = [s.name for s, count in zip(evaluation.classes, answered, strict=True) if s.images and not count]
        return cls(
            images=evaluation.images,
            right=int(evaluation.confusion.trace()),
            top1=evaluation.top1,
            top5=evaluation.top5,
            low=evaluation.top1_interval.low,
            high=evaluation.top1_interval.high,
            mean_of_classes=evaluation.class_accuracy,
            loss=evaluation.loss,
            ece=evaluation.ece,
            never_answered=tuple(never),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**{**data, "never_answered": tuple(data["never_answered"])})

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self) | {"never_answered": list(self.never_answered)}

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by the names that metric files and model files use."""
        values = {"top1": self.top1, "top5": self.top5, "loss": self.loss, "ece": self.ece}
        return values | {"mean_of_classes": self.mean_of_classes}

    def by(self, chooser: Chooser) -> float:
        """Return the figure that `chooser` looks at; means that differ in rounding only are equal."""
        return round(self.top1 if chooser == "top1" else self.mean_of_classes, 9)

    def replaces(self, other: Score | None, chooser: Chooser) -> bool:
        """Whether this network, judged later, is to be handed over instead of `other`.

        Ties in the figure go to the lower loss, and those in both to the later epoch: on few images ties are the rule,
        and the first of equal epochs is the one that has learnt least.
        """
        if other is None:
            return True
        return (self.by(chooser), -self.loss) >= (other.by(chooser), -other.loss)

    @property
    def digits(self) -> int:
        """Digits after the point that the number of images can tell."""
        return 0 if self.images < FEW else 1 if self.images < 1000 else 2

    @property
    def top1_text(self) -> str:
        """Top-1 with its interval, and counted where there are few images: `5 of 6, 95 %: 44 to 97`."""
        if self.images < FEW:
            return f"{self.top1:.0f} % ({self.right} of {self.images}, 95 %: {self.low:.0f} to {self.high:.0f})"
        return f"{self._percent(self.top1)} (95 %: {self.low:.1f} to {self.high:.1f})"

    @property
    def mean_text(self) -> str:
        """The mean of the classes."""
        return self._percent(self.mean_of_classes)

    def _percent(self, value: float) -> str:
        return f"{value:.{self.digits}f} %"

    @property
    def never_text(self) -> str:
        """The classes that are never answered, the first few by name; empty if there are none."""
        names, more = self.never_answered[:_NAMED], len(self.never_answered) - _NAMED
        if not names:
            return ""
        return f"never answered: {', '.join(names)}" + (f" and {more} more" if more > 0 else "")

"""What a network says about one image, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from effnet.errors import EffnetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One class and how probable the network finds it.

    Attributes:
        index: which output of the classifier, from 0.
        label: the class's name; `class 123` when the model has no names.
        probability: 0 to 1; over all classes they sum to 1.
    """

    index: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The most probable classes of one image, or why it could not be read.

    Attributes:
        source: the path that was given; None for an image that was already in memory.
        scores: most probable first; empty when the image failed.
        error: why the image failed; None when it did not.
    """

    source: str | None
    scores: tuple[Score, ...] = ()
    error: EffnetError | None = None

    @property
    def best(self) -> Score:
        """The most probable class.

        Raises:
            EffnetError: the image failed; this is its error.
        """
        if self.error is not None:
            raise self.error
        return self.scores[0]

    @property
    def label(self) -> str:
        """Name of the most probable class; raises as `best` does."""
        return self.best.label

    @property
    def probability(self) -> float:
        """Probability of the most probable class; raises as `best` does."""
        return self.best.probability

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: source, predictions (index, label, probability) and error."""
        return {
            "source": self.source,
            "predictions": [{"index": s.index, "label": s.label, "probability": s.probability} for s in self.scores],
            "error": None if self.error is None else str(self.error),
        }

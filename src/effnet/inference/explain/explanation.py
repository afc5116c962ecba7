"""A map of one class on one image, as a value with what is needed to show and to doubt it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet.inference.explain.colours import Window, overlay
from effnet.inference.prediction import Score

AGREES = 0.4
"""Rank correlation from which two maps count as alike: a rule of thumb. Of pairs of 49 independent cells one in about
200 reaches it by chance; neighbouring cells are not independent, so it is more in truth."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Check:
    """Whether the network does what a map says, asked by covering parts of the image.

    Attributes:
        occlusion: (grid, grid), the fall of the class's logit when that place is covered.
        rank_correlation: of the map with `occlusion`, -1 to 1; None when the map is the occlusion map.
        deletion, insertion: mean probability of the class while the places that the map points at are removed first,
            and while they are shown first; 0 to 1.
        random_deletion, random_insertion: the same in random orders.
        randomised: (part, similarity): rank correlation with the map of the same network after that part and all later
            ones lost their weights; empty for a model without a network inside.
    """

    occlusion: NDArray[np.float32]
    rank_correlation: float | None
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    randomised: tuple[tuple[str, float], ...] = ()

    @property
    def passed(self) -> tuple[bool, ...]:
        """Whether the map agrees with occlusion, beats random deletion and insertion, and needs the trained weights."""
        agrees = () if self.rank_correlation is None else (self.rank_correlation >= AGREES,)
        needs = (self.randomised[-1][1] < AGREES,) if self.randomised else ()
        return (*agrees, self.deletion < self.random_deletion, self.insertion > self.random_insertion, *needs)

    @property
    def verdict(self) -> str:
        """Say in a few words how far to trust the map: not at all where covering the image says the opposite."""
        passed, asked = sum(self.passed), len(self.passed)
        contradicted = self.rank_correlation is not None and self.rank_correlation < 0
        part = passed > asked / 2 and not contradicted
        word = "holds" if passed == asked else "holds in part" if part else "do not rely on it"
        return f"{word} ({passed} of {asked} checks)"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        names = ("rank_correlation", "deletion", "insertion", "random_deletion", "random_insertion", "verdict")
        values = {name: getattr(self, name) for name in names}
        similar = [{"down_to": part, "similarity": value} for part, value in self.randomised]
        return values | {"randomised": similar, "occlusion": self.occlusion.tolist()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """Where on one image the evidence for one class lies.

    Attributes:
        source: the path that was given; None for an image that was already in memory.
        model: name of the network.
        image: the whole image, RGB.
        target: the class that is explained, and how probable the network finds it.
        method, stage: how the map was made, and of which output.
        heat: (H', W'), the map in the unit of logits, for `window`.
        window: what the network saw, (left, top, right, bottom) in pixels of the image; it may reach outside.
        check: None unless asked for.
    """

    source: str | None
    model: str
    image: Image.Image
    target: Score
    method: str
    stage: str
    heat: NDArray[np.float32]
    window: Window
    check: Check | None = None

    def overlay(self, *, strength: float = 0.55, longest: int | None = None) -> Image.Image:
        """Return the image under the map; what the network's crop left out is dark.

        Args:
            strength: of the map, 0 to 1.
            longest: side in pixels above which the picture is made smaller.
        """
        return overlay(self.image, self.heat, window=self.window, strength=strength, longest=longest)

    def peak(self) -> tuple[float, float]:
        """Return the centre of the map's highest cell, (x, y) in pixels of the image."""
        row, column = np.unravel_index(int(self.heat.argmax()), self.heat.shape)
        left, top, right, bottom = self.window
        rows, columns = self.heat.shape
        x = left + (column + 0.5) * (right - left) / columns
        y = top + (row + 0.5) * (bottom - top) / rows
        return float(x), float(y)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: everything but the picture."""
        return {
            "source": self.source,
            "model": self.model,
            "index": self.target.index,
            "label": self.target.label,
            "probability": self.target.probability,
            "method": self.method,
            "stage": self.stage,
            "image_size": list(self.image.size),
            "window": [float(side) for side in self.window],
            "peak": list(self.peak()),
            "low": float(self.heat.min()),
            "high": float(self.heat.max()),
            "map": self.heat.tolist(),
            "check": None if self.check is None else self.check.to_dict(),
        }

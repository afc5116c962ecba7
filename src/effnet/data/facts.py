"""What is to be known of a person's images before anything is chosen: how many, of how many classes, how large."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from effnet.data.decode import decode
from effnet.data.source import Source
from effnet.data.sources import open_dataset
from effnet.errors import EffnetError

_LOOKED_AT = 32
"""Images whose sizes are looked at."""

_UNKNOWN = 224
"""Pixels, where none can be read."""


def median_side(source: Source) -> int:
    """Return the median shorter side, in pixels, of a few images spread over the source."""
    sides = []
    for index in np.linspace(0, len(source) - 1, min(_LOOKED_AT, len(source))).astype(int).tolist():
        try:
            sides.append(min(decode(source.read(index)).size))
        except EffnetError:
            continue  # the policy for unreadable images speaks when it is trained on
    return int(np.median(sides)) if sides else _UNKNOWN


def facts_of(data: str | Path, *, seed: int = 0) -> dict[str, int]:
    """Return what `effnet.recommend` takes of the images to learn from: `images`, `classes`, `image_side`.

    Args:
        data: as `open_dataset` takes it.
        seed: of the split, where there is no validation part.

    Raises:
        EffnetError: the data cannot be opened.
    """
    source = open_dataset(data, seed=seed).train
    return {"images": len(source), "classes": len(source.classes), "image_side": median_side(source)}

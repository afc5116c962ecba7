"""The images to judge a model by: all that were given, or one part of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from effnet.data.source import Dataset, Remark, Source
from effnet.data.sources.door import opened
from effnet.data.sources.subset import with_validation
from effnet.errors import InputError, UnknownNameError

Wanted = Literal["all", "held out", "train", "val", "test"]

_SHARE = 0.1
"""Of each class that `effnet train` keeps to judge by, where the data has no such part."""


class JoinedSource:
    """The images of several sources of the same classes, one source after the other."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """Take one source or more."""
        self._sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in sources], dtype=np.int64)
        self.classes = sources[0].classes
        self.labels = np.concatenate([np.asarray(source.labels, np.int64) for source in sources])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def read(self, index: int) -> bytes | Path:
        """Return the image's file or content."""
        source, place = self._at(index)
        return source.read(place)

    def name(self, index: int) -> str:
        """Return what its source calls the image."""
        source, place = self._at(index)
        return source.name(place)

    def _at(self, index: int) -> tuple[Source, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self._sources[number], index - (int(self._ends[number - 1]) if number else 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """Labelled images to judge by.

    Attributes:
        source: the images.
        part: `all`, `train`, `val` or `test`.
        given: labelled images in all of the data.
        parts: (name, images) of the parts of the data that have images.
        seed: that the part was drawn with; None where the data itself says what belongs to it.
        remarks: what is to be said of how the data was read.
    """

    source: Source
    part: str
    given: int
    parts: tuple[tuple[str, int], ...]
    seed: int | None = None
    remarks: tuple[Remark, ...] = ()

    def describe(self) -> str:
        """Return for people which images these are: `2 of 20 (val, drawn with seed 0)`."""
        if self.part == "all":
            named = ", ".join(f"{name} {count}" for name, count in self.parts)
            within = f" ({named})" if len(self.parts) > 1 else ""
            return f"{len(self.source)} of {self.given}{within}"
        drawn = "" if self.seed is None else f", drawn with seed {self.seed}"
        return f"{len(self.source)} of {self.given} ({self.part}{drawn})"


def open_judged(data: str | Path | Dataset, *, part: Wanted = "all", seed: int = 0) -> Judged:
    """Return the labelled images of `data` that a model shall be judged by.

    Data may be of one class, or without a part to train on. `train` and `val` of data without a val part are those that
    `effnet train` draws with the same seed.

    Args:
        data: as for `open_dataset`.
        part: `all`: every labelled image; `held out`: what a run on this data has not learnt from (its test part, else
            val); or one part.
        seed: of the split, where the data has no val part.

    Raises:
        UnknownNameError: there is no part of that name.
        InputError: the data has no such part, or no images.
        EffnetError: what `open_dataset` raises.
    """
    known = ("all", "held out", "train", "val", "test")
    if part not in known:
        raise UnknownNameError.among("part", str(part), known)
    dataset = data if isinstance(data, Dataset) else opened(str(data), judging=True)
    own = _parts(dataset)
    counts = tuple((name, len(source)) for name, source in own.items())
    given = sum(count for _, count in counts)
    if not given:
        raise InputError("no images", where=dataset.name, fix="give data with images")
    if part == "all":
        sources = list(own.values())
        whole = sources[0] if len(sources) == 1 else JoinedSource(sources)
        return Judged(source=whole, part=part, given=given, parts=counts, remarks=dataset.remarks)
    name = ("val" if dataset.test is None else "test") if part == "held out" else part
    drawn = name in ("train", "val") and dataset.val is None and "train" in own
    if drawn:
        dataset = with_validation(dataset, seed=seed, share=_SHARE)
    source = {"train": dataset.train, "val": dataset.val, "test": dataset.test}[name]
    if source is None or not len(source):
        fix = f"use one of {', '.join(('all', *own))}"
        raise InputError(f"the data has no {name} part", where=dataset.name, fix=fix)
    return Judged(
        source=source,
        part=name,
        given=given,
        parts=counts,
        seed=seed if drawn else None,
        remarks=dataset.remarks,
    )


def _parts(dataset: Dataset) -> dict[str, Source]:
    """Return the parts with images; one that is held in two places counts once."""
    parts = {"train": dataset.train, "test": dataset.test, "val": dataset.val}
    found: dict[str, Source] = {}
    for name, source in parts.items():
        if source is not None and len(source) and not any(source is other for other in found.values()):
            found[name] = source
    order = ("train", "val", "test")
    return {name: found[name] for name in order if name in found}

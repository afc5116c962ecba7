"""What others published beside the EfficientNets: the rows of the papers' comparisons, and how long V2 trained.

The numbers live in `others.json`, copied from the publications that each row names; this module gives them types.

>>> from effnet.comparison.others import find
>>> find("swin-t").top1
81.3
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effnet.errors import EffnetError, InputError, WeightsError

FORMAT = 1
"""Version of others.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherNetwork:
    """A network of another family, as a paper lists it.

    Attributes:
        name: to ask for it; `label` is what charts write, `series` the line that it is on.
        params, macs: as printed there, for one image; None where the paper gives none.
        top1, top5: percent of ImageNet-1k validation, one crop.
        resolution: input side in pixels, where stated.
        recipe: how it was trained, as far as is told.
        extra_data: images beyond ImageNet-1k that it was trained with; None: none.
        source: the table that lists it.
        note: what to know before comparing.
    """

    name: str
    label: str
    series: str
    params: int
    macs: int | None
    top1: float
    top5: float | None
    resolution: int | None
    recipe: str
    extra_data: str | None
    source: str
    note: str | None

    def __post_init__(self) -> None:
        """Refuse impossible figures."""
        if not (0 < self.top1 <= 100 and self.params > 0 and (self.macs is None or self.macs > 0)):
            raise _damaged(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """How long a network trained on 32 TPUv3 cores, and what that gave (V2 Figure 1).

    Attributes:
        name: canonical name of the network.
        days: of training; `days_from` says where the figure is read.
        top1: percent of ImageNet-1k validation; `top1_from` says where that is read.
    """

    name: str
    label: str
    series: str
    params: int
    days: float
    top1: float
    extra_data: str | None
    days_from: str
    top1_from: str


def others() -> tuple[OtherNetwork, ...]:
    """Return every row."""
    return tuple(_networks().values())


def training_rows() -> tuple[TrainingRow, ...]:
    """Return V2's training times."""
    data = _data()
    rows = []
    for row in data["training"]:
        cited = {key: data["sources"][row[key]] for key in ("days_from", "top1_from")}
        rows.append(TrainingRow(**{"extra_data": None, **row, **cited}))
    return tuple(rows)


def find(name: str) -> OtherNetwork:
    """Return the row called `name`; case, `-` and `_` do not matter.

    Raises:
        InputError: there is none.
    """
    found = _networks().get(squashed(name))
    if found is None:
        raise InputError(f"no row is called {name!r}", fix="see effnet.comparison.others.others()")
    return found


def has(name: str) -> bool:
    """Whether a row is called `name`."""
    return squashed(name) in _networks()


def squashed(name: str) -> str:
    """Return letters and digits alone, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@functools.cache
def _networks() -> dict[str, OtherNetwork]:
    data = _data()
    blank = {"top5": None, "resolution": None, "extra_data": None, "note": None}
    rows = (
        OtherNetwork(**{**blank, **row, "source": data["sources"][row["source"]]})  # citations are written once
        for row in data["networks"]
    )
    return {squashed(row.name): row for row in rows}


@functools.cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(__file__).with_name("others.json").read_text(encoding="utf-8"))
    if data.get("format") != FORMAT:
        raise _damaged("format")
    return data


def _damaged(where: str) -> EffnetError:
    return WeightsError("the table of other networks is damaged", where=where, fix="reinstall effnet")

"""How long a network takes on one device, summed from a table of measured blocks.

Rows are blocks as they were timed inside whole networks (`effnet.experiments.block_latency`), so that caches are as in
real use. A block that is not in the table is interpolated: among the nearest rows of the same kind, kernel and stride,
time grows with a power of the block's MACs and of the bytes it moves, fitted where the block is. One factor maps the
sum of timed parts to an untimed whole.

    >>> table.predict(spec)  # doctest: +SKIP
    12.8
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from effnet.errors import InputError
from effnet.spec import NetworkSpec
from effnet.unrolling import Block, unroll

_FORMAT = 1
# Chosen by leaving out one row at a time of tables measured at 64 and 224 px on two CPU cores.
_NEIGHBOURS = 6
_RIDGE = 0.1
_PRIOR = np.array([0.8, 0.2, 1.0])
_SE = 0.3
_CAUSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What decides how long one part of a network takes; sizes are sides in pixels.

    Attributes:
        kind: the block's, or `stem` or `head` (head convolution, pool and classifier).
        channels: in, inner, inside squeeze-and-excitation (0 without), out.
    """

    kind: str
    kernel: int
    stride: int
    residual: bool
    channels: tuple[int, int, int, int]
    in_size: int

    @property
    def group(self) -> tuple[str, int, int, bool]:
        """Parts that the same program runs, at other sizes, with squeeze-and-excitation or without."""
        narrow, inner, _, _ = self.channels
        return self.kind, self.kernel, self.stride, inner != narrow

    @property
    def work(self) -> tuple[float, float]:
        """MACs and elements moved, for one image: what time grows with."""
        narrow, inner, squeezed, wide = self.channels
        before, after = self.in_size**2, (-(-self.in_size // self.stride)) ** 2
        window = self.kernel**2
        gate = 2 * inner * squeezed
        if self.kind == "stem":
            return window * narrow * wide * after, narrow * before + wide * after
        if self.kind == "head":
            return inner * narrow * before + inner * wide, (narrow + 2 * inner) * before + inner * wide
        if self.kind == "fused_mbconv":
            spatial = window * narrow * (inner if inner != narrow else wide) * after
            project = inner * wide * after if inner != narrow else 0
            return spatial + project + gate, narrow * before + (2 * inner + wide) * after
        expand = narrow * inner * before if inner != narrow else 0
        macs = expand + window * inner * after + inner * wide * after + gate
        return macs, (narrow + 2 * inner) * before + (2 * inner + wide) * after


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """Measured parts of one device.

    Attributes:
        rows: milliseconds of each part, for one batch.
        factor: whole network over the sum of its timed parts.
        batch, threads, device, machine: what was measured, and on what.
    """

    rows: Mapping[Part, float]
    factor: float
    batch: int
    threads: int
    device: str
    machine: str
    _groups: dict[Any, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=dict, compare=False, repr=False
    )
    _known: dict[Part, float] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse tables that measured nothing."""
        if not self.rows or not all(0 < ms < math.inf for ms in self.rows.values()) or not 0 < self.factor < math.inf:
            raise InputError("a latency table without latencies", where="rows", fix="measure it again")

    def __call__(self, spec: NetworkSpec) -> float:
        """Return `predict(spec)`: a table is what `effnet.budget.fit` takes as latency."""
        return self.predict(spec)

    def predict(self, spec: NetworkSpec) -> float:
        """Return the milliseconds that `spec` takes for one batch at its own resolution.

        Raises:
            InputError: it has blocks of a kind of which none was measured.
        """
        return self.factor * sum(self._milliseconds(part) for part in parts_of(spec))

    def to_json(self) -> str:
        """Return the JSON form; `from_json` reads it."""
        rows = [{**dataclasses.asdict(part), "ms": ms} for part, ms in self.rows.items()]
        facts = {name: getattr(self, name) for name in ("factor", "batch", "threads", "device", "machine")}
        return json.dumps({"format": _FORMAT, **facts, "rows": rows})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InputError: it is something else, or damaged.
        """
        fix = "measure one with effnet study latency"
        try:
            data = json.loads(text)
            if data.pop("format") != _FORMAT:
                raise InputError("a latency table of another version", where="table", fix=fix)
            rows = {}
            for row in data.pop("rows"):
                milliseconds = float(row.pop("ms"))
                rows[Part(**(row | {"channels": tuple(row["channels"])}))] = milliseconds
            return cls(rows=rows, **data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError("not a latency table", where="table", fix=fix) from None

    def _milliseconds(self, part: Part) -> float:
        known = self.rows.get(part) or self._known.get(part)
        if known is None:
            known = self._known[part] = self._interpolated(part)
        return known

    def _interpolated(self, part: Part) -> float:
        points, times = self._group(part)
        at = _place(part)
        distances = np.linalg.norm(points - at, axis=1)
        nearest = np.argsort(distances, kind="stable")[:_NEIGHBOURS]
        reach = max(float(distances[nearest[-1]]), 1e-6)
        weights = np.exp(-2 * (distances[nearest] / reach) ** 2)
        # log t = log t0 + a (log MACs - m) + b (log moved - n) + c (SE or not): pulled towards the prior, which is what
        # few neighbours leave of it.
        causes = points[nearest][:, :_CAUSES]
        centre = np.average(causes, axis=0, weights=weights)
        level = float(np.average(times[nearest], weights=weights))
        x = (causes - centre) * np.sqrt(weights)[:, None]
        y = (times[nearest] - level - (causes - centre) @ _PRIOR) * np.sqrt(weights)
        slope = _PRIOR + np.linalg.solve(x.T @ x + _RIDGE * np.eye(_CAUSES), x.T @ y)
        slope = np.clip(slope, 0.0, 1.2)
        return float(np.exp(level + (at[:_CAUSES] - centre) @ slope))

    def _group(self, part: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        key = part.group
        if key not in self._groups:
            same = [row for row in self.rows if row.group == key]
            # Without a row of just this form, those of the same kind are the nearest that is known.
            same = same or [row for row in self.rows if row.kind == part.kind]
            if not same:
                fix = "measure a table of a space that has them: effnet study latency --space FILE"
                raise InputError(f"no {part.kind} block was measured", where="latency table", fix=fix)
            points = np.array([_place(row) for row in same])
            self._groups[key] = points, np.log([self.rows[row] for row in same])
        return self._groups[key]


def parts_of(spec: NetworkSpec) -> list[Part]:
    """Return the parts of a network at its own resolution, in the order in which they run."""
    unrolled = unroll(spec)
    stem = Part(
        kind="stem",
        kernel=spec.stem.kernel,
        stride=spec.stem.stride,
        residual=spec.stem.pool,
        channels=(spec.in_channels, spec.in_channels, 0, spec.stem.channels),
        in_size=unrolled.resolution,
    )
    head = Part(
        kind="head",
        kernel=1,
        stride=1,
        residual=False,
        channels=(unrolled.head_in_channels, unrolled.features, 0, spec.classes),
        in_size=unrolled.final_size,
    )
    return [stem, *(_of_block(block) for block in unrolled.blocks), head]


def _of_block(block: Block) -> Part:
    return Part(
        kind=block.kind,
        kernel=block.kernel,
        stride=block.stride,
        residual=block.residual,
        channels=(block.in_channels, block.mid_channels, block.squeeze_channels, block.out_channels),
        in_size=block.in_size,
    )


def _place(part: Part) -> NDArray[np.float64]:
    """Where a part lies among those of its group: what its time grows with, then what else makes parts alike.

    Size counts three times: maps of a few pixels use a processor in another way than large ones.
    """
    macs, moved = part.work
    narrow, inner, squeezed, wide = part.channels
    alike = np.log([narrow, inner, max(wide, 1)])
    gate = _SE if squeezed else 0.0
    place: NDArray[np.float64] = np.array([*np.log([macs, moved]), gate, *alike, 3 * math.log(part.in_size)])
    return place

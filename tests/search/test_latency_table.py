"""Latency summed from a table of blocks."""

from __future__ import annotations

import dataclasses
import json
import random
import statistics
from typing import Any

import pytest

from effnet.budget import Budget, fit
from effnet.cost import cost
from effnet.errors import InputError
from effnet.families import find
from effnet.search.latency_table import LatencyTable, Part, parts_of
from effnet.search.space import SearchSpace
from effnet.spec import NetworkSpec

SPACE = SearchSpace.around(find("b0").replace(resolution=96))


def clock(part: Part) -> float:
    """A device made up: so many MACs and so many moved values a millisecond, and a fixed start for each part."""
    macs, moved = part.work
    return 0.01 + macs / 20e6 + moved / 8e6 + (0.02 if part.channels[2] else 0.0)


def drawn(count: int, seed: int) -> list[NetworkSpec]:
    rng = random.Random(seed)
    return [SPACE.spec(SPACE.random(rng)) for _ in range(count)]


def table(specs: list[NetworkSpec], factor: float = 1.0) -> LatencyTable:
    rows = {part: clock(part) for spec in specs for part in parts_of(spec)}
    return LatencyTable(rows=rows, factor=factor, batch=1, threads=2, device="cpu", machine="made up")


def test_measured_networks_are_predicted_exactly() -> None:
    specs = drawn(5, seed=0)
    whole = table(specs, factor=1.1)
    for spec in specs:
        assert whole.predict(spec) == pytest.approx(1.1 * sum(clock(part) for part in parts_of(spec)))
        assert whole(spec) == whole.predict(spec)


def test_unseen_networks_are_interpolated() -> None:
    known = table(drawn(40, seed=0))
    errors = [abs(known.predict(s) / sum(map(clock, parts_of(s))) - 1) for s in drawn(30, seed=1)]
    assert statistics.median(errors) < 0.05 and max(errors) < 0.2


def test_parts_add_up_to_the_networks_macs() -> None:
    """The work that time is interpolated with is the work that `cost` counts, but for the classifier's bias."""
    for spec in (find("b0"), find("lite0"), find("v2_s"), *drawn(10, seed=2)):
        counted = sum(part.work[0] for part in parts_of(spec))
        assert counted == pytest.approx(cost(spec).macs, rel=0.01)


def test_larger_networks_than_measured_take_longer() -> None:
    known = table(drawn(20, seed=0))
    small, large = SPACE.base, SPACE.base.replace(resolution=288)
    assert 4 < known.predict(large) / known.predict(small) < 14  # nine times the pixels


def test_a_budget_is_kept_by_the_table() -> None:
    """What `effnet scale --max-latency-ms --latency-table` does."""
    known = table(drawn(40, seed=0))
    found = fit(Budget(max_latency_ms=60.0), latency=known)
    assert found.latency_ms is not None and found.latency_ms <= 60
    assert known.predict(found.spec) == found.latency_ms
    assert found.limited_by == ("max_latency_ms",)


def test_json_keeps_everything() -> None:
    known = table(drawn(3, seed=0), factor=1.05)
    again = LatencyTable.from_json(known.to_json())
    assert again == known
    unseen = drawn(1, seed=9)[0]
    assert again.predict(unseen) == known.predict(unseen)


def damaged(**changes: Any) -> str:
    return json.dumps(json.loads(table(drawn(1, seed=0)).to_json()) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        damaged(format=9),
        damaged(rows=[]),
        damaged(rows=[{"ms": 1}]),
        damaged(rows=[{"ms": "fast"}]),
        damaged(factor=-1),
        damaged(factor="x"),
        damaged(more=1),
    ],
)
def test_damaged_tables_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        LatencyTable.from_json(text)


def test_kinds_that_were_not_measured_are_refused_with_the_way_to_measure_them() -> None:
    plain = SPACE.base
    known = table([plain])
    with pytest.raises(InputError, match="fused_mbconv") as caught:
        known.predict(plain.with_stage(2, kind="fused_mbconv", se_ratio=0.0))
    assert "study latency" in str(caught.value)
    kernel = dataclasses.replace(plain.stages[1].block, kernel=7)
    assert known.predict(plain.with_stage(2, block=kernel)) > 0  # the nearest of its kind

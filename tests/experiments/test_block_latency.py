"""Measuring a latency table. No test asserts a time: only that what is measured fits together."""

from __future__ import annotations

from collections import Counter

import pytest

from effnet.errors import InputError
from effnet.experiments.block_latency import Validation, measure_table, specs_to_measure, validate
from effnet.families import find
from effnet.search.latency_table import parts_of
from effnet.search.space import SearchSpace

SPACE = SearchSpace.around(find("b0").replace(resolution=32))


def test_every_value_of_every_dimension_is_measured_about_equally_often() -> None:
    specs = specs_to_measure(SPACE, 24, seed=0)
    for number in range(7):
        kernels = Counter(spec.stages[number].block.kernel for spec in specs)
        assert kernels == {3: 12, 5: 12}
        assert Counter(spec.stages[number].block.expand_ratio for spec in specs) == {1: 6, 3: 6, 4: 6, 6: 6}
    assert specs != specs_to_measure(SPACE, 24, seed=1) and specs == specs_to_measure(SPACE, 24, seed=0)
    with pytest.raises(InputError):
        specs_to_measure(SPACE, 0, seed=0)


def test_a_table_has_every_part_of_the_networks_it_was_measured_on() -> None:
    specs = specs_to_measure(SPACE, 2, seed=0)
    told: list[tuple[int, int]] = []
    table = measure_table(specs, threads=1, progress=lambda done, of: told.append((done, of)))
    assert set(table.rows) == {part for spec in specs for part in parts_of(spec)}
    assert all(ms > 0 for ms in table.rows.values()) and table.threads == 1 and told[-1] == (4, 4)
    checked = validate(table, specs[:1])
    assert len(checked.errors) == 1 and checked.measured_ms[0] > 0
    with pytest.raises(InputError):
        measure_table([])


def test_errors_are_shares_of_what_was_measured() -> None:
    checked = Validation(predicted_ms=(11.0, 8.0, 10.0), measured_ms=(10.0, 10.0, 10.0))
    assert checked.errors == pytest.approx((0.1, 0.2, 0.0))
    assert checked.median_error == pytest.approx(0.1) and checked.worst_error == pytest.approx(0.2)

"""Races: every contestant gets its turns in a process of its own, and its failures come out as errors."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from effnet.deploy.racing import Run, race
from effnet.errors import InputError, WeightsError

IMAGES = np.ones((2, 3), np.float32)


def multiplied(factor: float) -> tuple[Run, Mapping[str, Any]]:
    return (lambda images: images * factor), {"factor": factor, "process": os.getpid()}


def broken(kind: str) -> tuple[Run, Mapping[str, Any]]:
    if kind == "refused":
        raise WeightsError("is damaged", fix="make it again")
    if kind == "killed":
        os._exit(9)
    if kind == "bug":
        raise ZeroDivisionError("of all things")

    def run(images: np.ndarray) -> np.ndarray:
        raise MemoryError("too large")

    return run, {}


def test_each_contestant_has_its_turns_answers_and_process() -> None:
    contestants = {f"times {factor}": functools.partial(multiplied, factor) for factor in (2.0, 3.0)}
    seen: list[tuple[int, int]] = []
    results = race(contestants, IMAGES, rounds=3, seconds=0, progress=lambda *turn: seen.append(turn))
    assert [result.name for result in results] == ["times 2.0", "times 3.0"]
    for result, factor in zip(results, (2.0, 3.0), strict=True):
        assert len(result.milliseconds) == 3 and min(result.milliseconds) > 0
        assert result.settings["factor"] == factor
        np.testing.assert_array_equal(result.logits, IMAGES * factor)
    assert len({os.getpid(), *(result.settings["process"] for result in results)}) == 3
    assert seen == [(turn, 6) for turn in range(1, 7)]


def test_ratios_are_of_the_same_round() -> None:
    (result,) = race({"one": functools.partial(multiplied, 1.0)}, IMAGES, rounds=2, seconds=0)
    slower = type(result)(
        name="slower",
        milliseconds=tuple(3 * taken for taken in result.milliseconds),
        logits=result.logits,
        settings={},
    )
    assert result.ratio_to(slower) == pytest.approx(3)
    assert slower.ratio_to(result) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("refused", WeightsError, "is damaged"),
        ("killed", InputError, "process ended"),
        ("bug", InputError, "ZeroDivisionError"),
        ("memory", InputError, "too large"),
    ],
)
def test_a_contestant_that_fails_is_named(kind: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        race({"good": functools.partial(multiplied, 1.0), "bad": functools.partial(broken, kind)}, IMAGES, rounds=1)

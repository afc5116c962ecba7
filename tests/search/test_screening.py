"""Screening by closed forms."""

from __future__ import annotations

import random

import pytest

from effnet.cost import cost
from effnet.errors import InputError
from effnet.families import find
from effnet.search.objective import CostKind
from effnet.search.screening import screen
from effnet.search.space import SearchSpace
from effnet.spec import NetworkSpec

SPACE = SearchSpace.around(find("b0").replace(resolution=64))


def counted(spec: NetworkSpec) -> dict[CostKind, float]:
    numbers = cost(spec)
    return {"macs": numbers.macs, "params": numbers.params, "memory": numbers.total_inference_bytes}


def blocks(spec: NetworkSpec) -> float:
    return float(spec.blocks)


def test_the_best_are_near_the_target_and_better_than_chance() -> None:
    found = screen(SPACE, counted, blocks, cost="macs", target=40e6, within=0.2, candidates=1500, keep=5)
    assert found.looked_at == 1500 and 0 < found.in_window < 1500 and len(found.best) == 5
    assert all(32e6 <= each.costs["macs"] <= 40e6 for each in found.best)
    scores = [each.score for each in found.best]
    assert scores == sorted(scores, reverse=True)
    rng = random.Random(1)
    drawn = [SPACE.spec(SPACE.random(rng)) for _ in range(1500)]
    assert scores[0] >= max(spec.blocks for spec in drawn if 32e6 <= cost(spec).macs <= 40e6)
    assert len({each.spec.stages for each in found.best}) == 5
    assert all(SPACE.spec(each.choices) == each.spec for each in found.best)


def test_the_same_seed_finds_the_same() -> None:
    def names(seed: int) -> list[str]:
        found = screen(SPACE, counted, blocks, cost="macs", target=40e6, within=0.3, candidates=200, seed=seed)
        return [each.spec.name for each in found.best]

    assert names(3) == names(3) != names(4)


def test_a_target_out_of_reach_says_what_is_in_reach() -> None:
    with pytest.raises(InputError, match="the nearest has") as caught:
        screen(SPACE, counted, blocks, cost="macs", target=1e12, within=0.1, candidates=50)
    assert "give a target near" in str(caught.value)


@pytest.mark.parametrize("numbers", [{"candidates": 0}, {"candidates": 5, "keep": 0}])
def test_nothing_to_look_at_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(InputError):
        screen(SPACE, counted, blocks, cost="macs", target=40e6, within=0.2, **numbers)

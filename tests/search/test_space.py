"""The search space as data."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.cost import cost
from effnet.errors import EffnetError, InputError
from effnet.families import find
from effnet.search.space import SearchSpace, StageChoices, digest

B0 = find("b0")
SPACE = SearchSpace.around(B0)
SEEDS = st.integers(0, 10**6)


def test_the_papers_space_has_every_choice_in_every_stage() -> None:
    assert SPACE.size == (2 * 2 * 4 * 2 * 3 * 3 * 2) ** 7
    assert SPACE.dimensions["stage3.kernel"] == (3, 5)
    assert len(SPACE.dimensions) == 7 * 7


@given(seed=SEEDS)
def test_every_point_is_a_network_that_shows_its_choices(seed: int) -> None:
    choices = SPACE.random(random.Random(seed))
    spec = SPACE.spec(choices)
    assert cost(spec).macs > 0
    for number, (stage, base) in enumerate(zip(spec.stages, B0.stages, strict=True), 1):
        assert stage.block.kind == choices[f"stage{number}.kind"]
        assert stage.block.kernel == choices[f"stage{number}.kernel"]
        assert stage.block.expand_ratio == choices[f"stage{number}.expand_ratio"]
        assert stage.block.se_ratio == choices[f"stage{number}.se_ratio"]
        assert stage.block.skip == choices[f"stage{number}.skip"]
        assert stage.repeats == max(1, base.repeats + int(choices[f"stage{number}.layers"]))
        assert stage.stride == base.stride and stage.channels % 8 == 0
        wanted = base.channels * float(choices[f"stage{number}.width"])
        assert abs(stage.channels - wanted) <= 8
    assert spec.stem == B0.stem and spec.head == B0.head and spec.resolution == B0.resolution


@given(seed=SEEDS, changes=st.integers(1, 60))
def test_a_mutation_changes_just_so_many_dimensions(seed: int, changes: int) -> None:
    rng = random.Random(seed)
    parent = SPACE.random(rng)
    child = SPACE.mutated(parent, rng, changes)
    different = [name for name in parent if parent[name] != child[name]]
    assert len(different) == min(changes, 49)
    SPACE.require(child)


def test_b0_itself_is_a_point_of_its_space() -> None:
    choices: dict[str, Any] = {}
    for number, stage in enumerate(B0.stages, 1):
        block = stage.block
        shape = (block.kind, block.kernel, block.expand_ratio, block.se_ratio, 1.0, 0, True)
        names = ("kind", "kernel", "expand_ratio", "se_ratio", "width", "layers", "skip")
        choices |= {f"stage{number}.{name}": value for name, value in zip(names, shape, strict=True)}
    assert SPACE.spec(choices).stages == B0.stages
    assert digest(SPACE.spec(choices)) == digest(B0)


def test_names_tell_networks_apart_and_not_points() -> None:
    one = SPACE.random(random.Random(0)) | {"stage1.layers": 0}
    same = one | {"stage1.layers": -1}  # the stage has one block and keeps it
    other = one | {"stage1.layers": 1}
    assert SPACE.spec(one).name == SPACE.spec(same).name != SPACE.spec(other).name


@given(seed=SEEDS)
def test_spaces_survive_json(seed: int) -> None:
    rng = random.Random(seed)
    stages = tuple(
        StageChoices(kernel=tuple(rng.sample((3, 5, 7), rng.randint(1, 3))), skip=(rng.random() < 0.5,))
        for _ in range(7)
    )
    space = SearchSpace(base=B0, stages=stages)
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


def test_a_file_may_leave_dimensions_out() -> None:
    data = SPACE.to_dict()
    data["stages"][0] = {"kernel": [7]}
    space = SearchSpace.from_dict(data)
    assert space.stages[0] == StageChoices(kernel=(7,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernal": [3]}, "kernel"),
        ({"kernel": [4]}, "odd"),
        ({"kernel": []}, "at least one"),
        ({"kernel": [3, 3]}, "twice"),
        ({"kernel": 3}, "at least one"),
        ({"kind": ["basic"]}, "mbconv"),
        ({"width": [0]}, "width"),
        ({"layers": [0.5]}, "layers"),
        ({"skip": ["yes"]}, "skip"),
        ({"kernel": [[3]]}, "kernel|plain"),
        (3, "table"),
    ],
)
def test_what_no_space_can_be_is_refused(change: Any, message: str) -> None:
    data = SPACE.to_dict()
    data["stages"][2] = change
    with pytest.raises(EffnetError, match=message):
        SearchSpace.from_dict(data)


def test_a_space_needs_an_entry_for_every_stage() -> None:
    data = SPACE.to_dict()
    data["stages"].pop()
    with pytest.raises(InputError, match="6 stages for the 7"):
        SearchSpace.from_dict(data)
    for nonsense in (None, [], {"base": {}}, {"base": data["base"], "stages": 7}):
        with pytest.raises(EffnetError):
            SearchSpace.from_dict(nonsense)


@pytest.mark.parametrize(
    "change", [{"stage1.kernel": 7}, {"stage9.kernel": 3}, {"stage1.kernel": None}, {"stage1.kernel": "3"}]
)
def test_choices_of_another_space_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        SPACE.spec(SPACE.random(random.Random(0)) | change)
    incomplete = SPACE.random(random.Random(0))
    del incomplete["stage1.kernel"]
    with pytest.raises(InputError, match="missing"):
        SPACE.spec(incomplete)

"""Plans: the network's own layers, shapes and work; and nothing that an engine could not trust."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings

import effnet
from effnet.cost import cost
from effnet.deploy.native.layout import Vectors, layout
from effnet.deploy.native.plan import Plan, plan
from effnet.errors import WeightsError
from effnet.nn import build, fold_norms
from effnet.spec import NetworkSpec
from tests.strategies import specs

VECTORS = [Vectors(lanes=16, registers=32), Vectors(lanes=8, registers=16), Vectors(lanes=4, registers=16)]


@pytest.mark.parametrize("name", ["b0", "b4", "l2", "v2-s", "v2-b0", "lite0", "edgetpu-s", "resnet18", "resnet50"])
def test_a_plan_has_the_networks_tensors_and_work(name: str) -> None:
    spec = effnet.find(name)
    made = plan(spec, spec.resolution)
    network = build(spec, weights=False)
    convolutions = [m for m in network.modules() if type(m).__name__ in ("Conv2d", "SamePadConv2d", "Linear")]
    assert sum(made.macs(step) for step in made.steps) == cost(spec).macs
    assert len(made.shapes()) == 2 * len(convolutions)  # a weight and, norms folded, a bias each


@given(specs())
@settings(max_examples=60)
def test_a_plan_of_any_network_names_its_folded_tensors(spec: NetworkSpec) -> None:
    spec = spec.replace(classes=max(1, spec.classes))
    made = plan(spec, spec.resolution)
    state = {name: tuple(values.shape) for name, values in fold_norms(build(spec)).state_dict().items()}
    wanted = {name: shape[:2] if name == "classifier.1.weight" else shape for name, shape in made.shapes().items()}
    assert wanted == state
    assert sum(made.macs(step) for step in made.steps) == cost(spec).macs
    assert Plan.from_json(made.to_json()) == made


@given(specs())
@settings(max_examples=60)
def test_maps_that_are_needed_at_once_do_not_overlap_and_borders_are_never_shared(spec: NetworkSpec) -> None:
    made = plan(spec.replace(classes=3), spec.resolution)
    for vectors in VECTORS:
        placed = layout(made, vectors)
        first, last = lifetimes(made, placed.tiles)
        for one, map in enumerate(placed.maps):
            assert map.floats == 0 or map.offset + map.floats <= placed.floats
            for other in range(one):
                if max(first[one], first[other]) > min(last[one], last[other]):
                    continue
                rival = placed.maps[other]
                apart = map.offset + map.floats <= rival.offset or rival.offset + rival.floats <= map.offset
                assert apart, (one, other)
        bordered = [map for map in placed.maps if map.border and map.floats]
        for map in placed.maps:
            for rival in bordered:
                overlap = map.offset < rival.offset + rival.floats and rival.offset < map.offset + map.floats
                same = (map.offset, map.floats, map.border) == (rival.offset, rival.floats, rival.border)
                assert same or not overlap or not map.floats


def lifetimes(made: Plan, tiles: tuple) -> tuple[dict[int, int], dict[int, int]]:
    """First and last step of each map; a joined step runs with the next."""
    first, last = {0: 0}, {}
    for number, step in enumerate(made.steps):
        for index in (step.input, step.output, step.shortcut, step.sums, step.gate):
            if index is not None:
                first.setdefault(index, number)
                last[index] = number + tiles[number].joined
    last[len(made.maps) - 1] = len(made.steps)
    return first, last


def damaged(**changes: object) -> str:
    document = json.loads(plan(effnet.find("b0"), 64).to_json())
    for path, value in changes.items():
        kind, number, field = path.split("_", 2)
        document[kind][int(number)][field] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps_3_input": 9999},
        {"steps_3_input": -1},
        {"steps_3_output": 1},
        {"steps_5_shortcut": 0},
        {"steps_1_sums": 1},
        {"steps_2_squeezed": 0},
        {"steps_0_kernel": 0},
        {"steps_0_stride": 1},
        {"steps_0_before": 3},
        {"steps_0_kind": "read_file"},
        {"steps_0_activation": "exec"},
        {"steps_0_layer": ""},
        {"steps_0_kernel": True},
        {"steps_0_shortcut_last": "no"},
        {"maps_2_channels": 1 << 40},
        {"maps_2_height": 0},
        {"maps_1_width": 1 << 20},
        {"steps_3_gate": 1},
    ],
)
def test_a_plan_that_would_read_or_write_elsewhere_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(WeightsError):
        Plan.from_json(damaged(**changes))


def test_other_versions_and_missing_steps_are_refused() -> None:
    document = json.loads(plan(effnet.find("b0"), 64).to_json())
    with pytest.raises(WeightsError, match="version"):
        Plan.from_json(json.dumps({**document, "version": 99}))
    with pytest.raises(WeightsError):
        Plan.from_json(json.dumps({**document, "steps": document["steps"][:-1]}))
    with pytest.raises(WeightsError):
        Plan.from_json(json.dumps({**document, "steps": []}))
    made = plan(effnet.find("b0"), 64)
    with pytest.raises(WeightsError, match="not in order"):
        dataclasses.replace(made, steps=made.steps[1:])

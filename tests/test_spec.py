"""A network as a value: what it refuses, how it reads, how it is edited."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from effnet.errors import SpecError
from effnet.families import find, names
from effnet.scaling import compound, scale
from effnet.spec import BlockSpec, Conventions, HeadSpec, NetworkSpec, Origin, ScalingRules, StageSpec, StemSpec

B0 = find("b0")
STAGE = StageSpec(block=BlockSpec(), channels=8, repeats=1)


def network(**fields: Any) -> NetworkSpec:
    return NetworkSpec(
        **{"name": "n", "stem": StemSpec(channels=8), "stages": (STAGE,), "head": HeadSpec(channels=8)} | fields
    )


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (BlockSpec, {"kind": "mbcon"}),
        (BlockSpec, {"kernel": 2}),
        (BlockSpec, {"kernel": 0}),
        (BlockSpec, {"kernel": True}),
        (BlockSpec, {"kernel": 3.0}),
        (BlockSpec, {"kernel": "3"}),
        (BlockSpec, {"expand_ratio": 0}),
        (BlockSpec, {"expand_ratio": float("nan")}),
        (BlockSpec, {"expand_ratio": float("inf")}),
        (BlockSpec, {"se_ratio": -0.1}),
        (BlockSpec, {"skip": 1}),
        (BlockSpec, {"kind": "basic", "se_ratio": 0.25}),
        (StageSpec, {"block": None, "channels": 8, "repeats": 1}),
        (StageSpec, {"block": BlockSpec(), "channels": 0, "repeats": 1}),
        (StageSpec, {"block": BlockSpec(), "channels": 8, "repeats": 0}),
        (StageSpec, {"block": BlockSpec(), "channels": 8, "repeats": 1, "stride": 0}),
        (StageSpec, {"block": BlockSpec(), "channels": 8, "repeats": 1, "expand_from": 0}),
        (StemSpec, {"channels": 0}),
        (StemSpec, {"channels": 8, "kernel": 4}),
        (StemSpec, {"channels": 8, "pool": None}),
        (HeadSpec, {"channels": 0}),
        (HeadSpec, {"channels": None, "dropout": 1}),
        (Conventions, {"activation": "swish"}),
        (Conventions, {"padding": "valid"}),
        (Conventions, {"norm_eps": 0}),
        (Conventions, {"norm_momentum": 2}),
        (ScalingRules, {"divisor": 0}),
        (ScalingRules, {"round_limit": 1.1}),
        (ScalingRules, {"scale_stem": "no"}),
        (Origin, {"base": B0, "width": 0}),
        (Origin, {"base": find("b1")}),
        (Origin, {"base": "b0"}),
    ],
)
def test_impossible_parts_are_refused(kind: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        kind(**fields)
    assert caught.value.fix


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": 3},
        {"family": " "},
        {"stem": None},
        {"head": 8},
        {"stages": ()},
        {"stages": (STAGE,) * 65},
        {"stages": (STAGE, "stage")},
        {"stages": 3},
        {"in_channels": 0},
        {"classes": -1},
        {"classes": True},
        {"resolution": 0},
        {"resolution": 224.0},
        {"train_resolution": 0},
        {"drop_path": 1},
        {"conventions": {}},
        {"origin": "b0"},
    ],
)
def test_impossible_networks_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        network(**fields)
    with pytest.raises(SpecError):
        network().replace(**fields)
    with pytest.raises(SpecError):
        dataclasses.replace(network(), **fields)


def test_specs_are_values() -> None:
    assert network() == network()
    assert hash(network()) == hash(network())
    assert network() != network(classes=10)
    assert len({find(name) for name in names()}) == len(names())
    with pytest.raises(dataclasses.FrozenInstanceError):
        B0.classes = 10  # type: ignore[misc]


def test_a_list_of_stages_becomes_a_tuple() -> None:
    assert network(stages=[STAGE]) == network()


def test_training_happens_at_the_native_size_unless_said() -> None:
    assert network(resolution=32).train_resolution == 32
    assert network(resolution=32, train_resolution=24).train_resolution == 24


def test_stages_are_numbered_from_one() -> None:
    edited = B0.with_stage(3, kernel=3, expand_ratio=4, channels=48)
    assert (edited.stages[2].block.kernel, edited.stages[2].block.expand_ratio, edited.stages[2].channels) == (3, 4, 48)
    assert edited.stages[:2] + edited.stages[3:] == B0.stages[:2] + B0.stages[3:]
    for number in (0, 8, True, "3"):
        with pytest.raises(SpecError, match="from 1 to 7"):
            B0.with_stage(number, kernel=3)  # type: ignore[arg-type]


def test_unknown_fields_suggest_the_nearest() -> None:
    with pytest.raises(SpecError, match="kernel"):
        B0.with_stage(3, kernal=3)
    with pytest.raises(SpecError, match="classes"):
        B0.replace(clases=3)
    with pytest.raises(SpecError, match="padding"):
        B0.with_conventions(paddding="same")


def test_small_images_and_other_channels() -> None:
    small = dataclasses.replace(B0, stem=dataclasses.replace(B0.stem, stride=1), in_channels=1, resolution=32)
    assert (small.stride, B0.stride) == (16, 32)
    assert find("resnet50").stride == 32


def test_a_changed_architecture_is_its_own_base() -> None:
    b3 = find("b3")
    assert b3.replace(classes=10).origin == b3.origin
    assert b3.with_conventions(padding="same").origin == b3.origin
    assert b3.with_stage(2, kernel=5).origin is None
    widened = scale(b3.with_stage(2, kernel=5), width=1.5)
    assert widened.origin is not None
    assert widened.origin.base == b3.with_stage(2, kernel=5)


def test_the_text_reads_like_the_paper() -> None:
    assert str(B0).splitlines()[:4] == [
        "efficientnet_b0: 3 x 224 x 224 -> 1000 classes",
        "  stem   conv 3x3 s2 -> 32",
        "  stage 1 MBConv1 k3x3 se0.25 s1 -> 16 x1",
        "  stage 2 MBConv6 k3x3 se0.25 s2 -> 24 x2",
    ]
    assert "\n" not in repr(B0)
    assert "efficientnet_b0 224px" in repr(B0)
    assert repr(B0) != repr(B0.with_stage(3, kernel=3))


@pytest.mark.parametrize(
    "text", ["", "nul", "[]", "3", '"b0"', "{}", '{"format": 2}', '{"name": "x", "extra": 1}', "[" * 10**5]
)
def test_json_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        NetworkSpec.from_json(text)


def test_endless_nesting_is_refused() -> None:
    """Deeper than Python's stack."""
    body = B0.to_dict()
    del body["format"]
    data: dict[str, Any] = body
    for _ in range(5000):
        data = body | {"origin": {"base": data}}
    with pytest.raises(SpecError, match="itself scaled") as caught:
        NetworkSpec.from_dict(data)
    assert len(str(caught.value)) < 200


def test_errors_in_json_say_where() -> None:
    data = B0.to_dict()
    data["stages"][2]["block"]["kernel"] = 4
    with pytest.raises(SpecError, match=r"stages\[3\]\.block\.kernel"):
        NetworkSpec.from_dict(data)


def test_what_scaling_made_survives_json() -> None:
    spec = compound(B0, 1.7).replace(classes=10)
    again = NetworkSpec.from_json(spec.to_json())
    assert again == spec
    assert compound(again, 1) == compound(spec, 1)

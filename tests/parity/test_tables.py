"""torchvision's and timm's names and shapes, which cannot be imported here, against their published tables.

Entry counts are those of the facts sheet (state_dict entries with the norms' counters); the names follow the tables of
both libraries' sources, written out here a second time from the rules alone.
"""

from __future__ import annotations

import pytest

from effnet.families import find
from effnet.nn import build
from effnet.weights import layouts

ENTRIES = {
    "b0": 360,
    "b1": 508,
    "b2": 508,
    "b3": 574,
    "b4": 706,
    "b5": 854,
    "b6": 986,
    "b7": 1200,
    "v2-s": 782,
    "v2-m": 1120,
    "v2-l": 1548,
}


def shapes(name: str, layout: str) -> dict[str, tuple[int, ...]]:
    spec = find(name)
    state = layouts.from_native(build(spec, weights=False).state_dict(), spec, layout)
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize("layout", ["torchvision", "timm"])
@pytest.mark.parametrize("name", ENTRIES)
def test_entry_counts(name: str, layout: str) -> None:
    assert len(shapes(name, layout)) == ENTRIES[name]


@pytest.mark.parametrize(
    ("name", "layout", "expected"),
    [
        (
            "b0",
            "torchvision",
            {
                "features.0.0.weight": (32, 3, 3, 3),
                "features.1.0.block.0.0.weight": (32, 1, 3, 3),
                "features.1.0.block.1.fc1.weight": (8, 32, 1, 1),
                "features.1.0.block.2.0.weight": (16, 32, 1, 1),
                "features.2.0.block.0.0.weight": (96, 16, 1, 1),
                "features.2.0.block.1.0.weight": (96, 1, 3, 3),
                "features.2.0.block.2.fc2.bias": (96,),
                "features.6.3.block.3.1.running_var": (192,),
                "features.8.0.weight": (1280, 320, 1, 1),
                "classifier.1.weight": (1000, 1280),
            },
        ),
        (
            "b0",
            "timm",
            {
                "conv_stem.weight": (32, 3, 3, 3),
                "bn1.running_mean": (32,),
                "blocks.0.0.conv_dw.weight": (32, 1, 3, 3),
                "blocks.0.0.se.conv_reduce.weight": (8, 32, 1, 1),
                "blocks.0.0.conv_pw.weight": (16, 32, 1, 1),
                "blocks.0.0.bn2.weight": (16,),
                "blocks.1.0.conv_pw.weight": (96, 16, 1, 1),
                "blocks.5.3.conv_pwl.weight": (192, 1152, 1, 1),
                "blocks.5.3.bn3.num_batches_tracked": (),
                "conv_head.weight": (1280, 320, 1, 1),
                "bn2.bias": (1280,),
                "classifier.bias": (1000,),
            },
        ),
        (
            "v2-s",
            "torchvision",
            {
                "features.1.1.block.0.0.weight": (24, 24, 3, 3),
                "features.2.0.block.0.0.weight": (96, 24, 3, 3),
                "features.2.0.block.1.0.weight": (48, 96, 1, 1),
                "features.4.0.block.2.fc1.weight": (16, 256, 1, 1),
                "features.7.0.weight": (1280, 256, 1, 1),
            },
        ),
        (
            "v2-s",
            "timm",
            {
                "blocks.0.0.conv.weight": (24, 24, 3, 3),
                "blocks.0.1.bn1.weight": (24,),
                "blocks.1.0.conv_exp.weight": (96, 24, 3, 3),
                "blocks.1.0.conv_pwl.weight": (48, 96, 1, 1),
                "blocks.1.0.bn2.weight": (48,),
                "blocks.3.0.se.conv_expand.weight": (256, 16, 1, 1),
            },
        ),
        (
            "resnet50",
            "torchvision",
            {
                "conv1.weight": (64, 3, 7, 7),
                "bn1.weight": (64,),
                "layer1.0.conv1.weight": (64, 64, 1, 1),
                "layer1.0.conv3.weight": (256, 64, 1, 1),
                "layer1.0.downsample.0.weight": (256, 64, 1, 1),
                "layer2.0.conv2.weight": (128, 128, 3, 3),
                "layer4.2.bn3.running_mean": (2048,),
                "fc.weight": (1000, 2048),
            },
        ),
        ("resnet18", "timm", {"layer2.0.downsample.1.weight": (128,), "layer4.1.conv2.weight": (512, 512, 3, 3)}),
    ],
)
def test_names_and_shapes(name: str, layout: str, expected: dict[str, tuple[int, ...]]) -> None:
    found = shapes(name, layout)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(("name", "layers"), [("resnet18", 122), ("resnet50", 320), ("resnet152", 932)])
def test_resnet_entry_counts(name: str, layers: int) -> None:
    assert len(shapes(name, "torchvision")) == layers

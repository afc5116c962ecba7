"""The published networks: found by any usual name, and built as published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.errors import UnknownNameError
from effnet.families import find, names
from effnet.families.catalog import canonical


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("b0", "efficientnet_b0"),
        ("B0", "efficientnet_b0"),
        ("efficientnet_b0", "efficientnet_b0"),
        ("efficientnet-b0", "efficientnet_b0"),
        ("EfficientNetB0", "efficientnet_b0"),
        ("EfficientNet B0", "efficientnet_b0"),
        ("effnet-b0", "efficientnet_b0"),
        ("tf_efficientnet_b0", "efficientnet_b0"),
        ("l2", "efficientnet_l2"),
        ("v2-s", "efficientnetv2_s"),
        ("V2S", "efficientnetv2_s"),
        ("efficientnet_v2_s", "efficientnetv2_s"),
        ("EfficientNetV2-S", "efficientnetv2_s"),
        ("tf_efficientnetv2_b3", "efficientnetv2_b3"),
        ("v2_b0", "efficientnetv2_b0"),
        ("lite0", "efficientnet_lite0"),
        ("tf_efficientnet_lite4", "efficientnet_lite4"),
        ("edgetpu-m", "efficientnet_edgetpu_m"),
        ("efficientnet_em", "efficientnet_edgetpu_m"),
        ("tf_efficientnet_el", "efficientnet_edgetpu_l"),
        ("mnasnet", "mnasnet_a1"),
        ("MnasNet-A1", "mnasnet_a1"),
        ("semnasnet_100", "mnasnet_a1"),
        ("ResNet-50", "resnet50"),
        ("resnet_152", "resnet152"),
    ],
)
def test_usual_spellings(spelling: str, name: str) -> None:
    assert find(spelling).name == canonical(spelling) == name


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("b9", "efficientnet_b8"),
        ("efficentnet_b3", "efficientnet_b3"),
        ("resnet51", "resnet50"),
        ("v2-xs", "efficientnetv2_s"),
    ],
)
def test_slips_suggest_what_was_meant(slip: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=meant):
        find(slip)


@given(text=st.text(max_size=30))
def test_any_text_finds_a_network_or_is_refused(text: str) -> None:
    try:
        assert find(text).name in names()
    except UnknownNameError as error:
        assert "\n" not in str(error)


def test_every_name_finds_itself() -> None:
    assert len(names()) == len(set(names())) == 32
    for name in names():
        assert find(name).name == name
        assert find(name) is find(name)


# V1 code, efficientnet_builder.py: stem, stage channels, stage repeats, head, blocks, side, dropout
V1 = {
    "b0": (32, "16 24 40 80 112 192 320", "1 2 2 3 3 4 1", 1280, 16, 224, 0.2),
    "b1": (32, "16 24 40 80 112 192 320", "2 3 3 4 4 5 2", 1280, 23, 240, 0.2),
    "b2": (32, "16 24 48 88 120 208 352", "2 3 3 4 4 5 2", 1408, 23, 260, 0.3),
    "b3": (40, "24 32 48 96 136 232 384", "2 3 3 5 5 6 2", 1536, 26, 300, 0.3),
    "b4": (48, "24 32 56 112 160 272 448", "2 4 4 6 6 8 2", 1792, 32, 380, 0.4),
    "b5": (48, "24 40 64 128 176 304 512", "3 5 5 7 7 9 3", 2048, 39, 456, 0.4),
    "b6": (56, "32 40 72 144 200 344 576", "3 6 6 8 8 11 3", 2304, 45, 528, 0.5),
    "b7": (64, "32 48 80 160 224 384 640", "4 7 7 10 10 13 4", 2560, 55, 600, 0.5),
    "b8": (72, "32 56 88 176 248 424 704", "4 8 8 11 11 15 4", 2816, 61, 672, 0.5),
    "l2": (136, "72 104 176 344 480 824 1376", "6 11 11 16 16 22 6", 5504, 88, 800, 0.5),
}

# google/automl effnetv2_configs.py
V2 = {
    "v2-s": (24, "24 48 64 128 160 256", "2 4 4 6 9 15", 1280, 40, 384, 0.2),
    "v2-m": (24, "24 48 80 160 176 304 512", "3 5 5 7 14 18 5", 1280, 57, 480, 0.3),
    "v2-l": (32, "32 64 96 192 224 384 640", "4 7 7 10 19 25 7", 1280, 79, 480, 0.4),
    "v2-xl": (32, "32 64 96 192 256 512 640", "4 8 8 16 24 32 8", 1280, 100, 512, 0.4),
    "v2-b0": (32, "16 32 48 96 112 192", "1 2 2 3 5 8", 1280, 21, 224, 0.2),
    "v2-b1": (32, "16 32 48 96 112 192", "2 3 3 4 6 9", 1280, 27, 240, 0.2),
    "v2-b2": (32, "16 32 56 104 120 208", "2 3 3 4 6 10", 1408, 28, 260, 0.3),
    "v2-b3": (40, "16 40 56 112 136 232", "2 3 3 5 7 12", 1536, 32, 300, 0.3),
}

# V1 code, lite/efficientnet_lite_builder.py
LITE = {
    "lite0": (32, V1["b0"][1], "1 2 2 3 3 4 1", 1280, 16, 224, 0.2),
    "lite1": (32, V1["b1"][1], "1 3 3 4 4 5 1", 1280, 21, 240, 0.2),
    "lite2": (32, V1["b2"][1], "1 3 3 4 4 5 1", 1280, 21, 260, 0.3),
    "lite3": (32, V1["b3"][1], "1 3 3 5 5 6 1", 1280, 24, 280, 0.3),
    "lite4": (32, V1["b4"][1], "1 4 4 6 6 8 1", 1280, 30, 300, 0.3),
}


@pytest.mark.parametrize(("name", "published"), [*V1.items(), *V2.items(), *LITE.items()])
def test_published_architectures(name: str, published: tuple[int, str, str, int, int, int, float]) -> None:
    spec = find(name)
    channels = " ".join(str(stage.channels) for stage in spec.stages)
    repeats = " ".join(str(stage.repeats) for stage in spec.stages)
    found = (spec.stem.channels, channels, repeats, spec.head.channels, spec.blocks, spec.resolution, spec.head.dropout)
    assert found == published


@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("v2-s", 300),
        ("v2-m", 384),
        ("v2-l", 384),
        ("v2-xl", 384),
        ("v2-b0", 192),
        ("v2-b1", 192),
        ("v2-b2", 208),
        ("v2-b3", 240),
    ],
)
def test_v2_trains_smaller_than_it_evaluates(name: str, train: int) -> None:
    assert find(name).train_resolution == train < find(name).resolution


def test_families_differ_as_published() -> None:
    assert {stage.block.se_ratio for stage in find("lite0").stages} == {0}
    assert find("lite0").conventions.activation == "relu6"
    assert {stage.block.se_ratio for stage in find("edgetpu-s").stages} == {0}
    assert [stage.block.kind for stage in find("v2-s").stages] == ["fused_mbconv"] * 3 + ["mbconv"] * 3
    assert not find("mnasnet_a1").stages[0].block.skip
    assert [bool(stage.block.se_ratio) for stage in find("mnasnet_a1").stages] == [
        False,
        False,
        True,
        False,
        True,
        True,
        False,
    ]
    assert find("v2-b3").scaling.round_limit == 0


# Facts of the ports: torchvision's eps and momentum change at B5; SAME padding where only TensorFlow weights exist.
@pytest.mark.parametrize(
    ("name", "padding", "eps", "momentum"),
    [
        ("b0", "symmetric", 1e-5, 0.1),
        ("b4", "symmetric", 1e-5, 0.1),
        ("b5", "symmetric", 1e-3, 0.01),
        ("b7", "symmetric", 1e-3, 0.01),
        ("b8", "same", 1e-3, 0.01),
        ("l2", "same", 1e-3, 0.01),
        ("v2-s", "symmetric", 1e-3, 0.1),
        ("v2-xl", "same", 1e-3, 0.1),
        ("v2-b0", "same", 1e-3, 0.1),
        ("lite0", "same", 1e-3, 0.01),
        ("mnasnet_a1", "symmetric", 1e-5, 0.1),
        ("resnet50", "symmetric", 1e-5, 0.1),
    ],
)
def test_conventions_are_those_of_the_default_weights(name: str, padding: str, eps: float, momentum: float) -> None:
    conventions = find(name).conventions
    assert (conventions.padding, conventions.norm_eps, conventions.norm_momentum) == (padding, eps, momentum)

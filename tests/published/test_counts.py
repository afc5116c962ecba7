"""Parameters of every published network, to the digit.

Sources: torchvision's and timm's models counted on the meta device; google/automl effnetv2_model_test.py and
tensorflow/tpu's Lite builder test assert the official totals.
"""

import pytest

from effnet.cost import cost
from effnet.families import find, names

PARAMS = {
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "efficientnet_b8": 87_413_142,
    "efficientnet_l2": 480_309_308,
    "efficientnetv2_s": 21_458_488,
    "efficientnetv2_m": 54_139_356,
    "efficientnetv2_l": 118_515_272,
    "efficientnetv2_xl": 208_119_808,
    "efficientnetv2_b0": 7_139_704,
    "efficientnetv2_b1": 8_141_052,
    "efficientnetv2_b2": 10_096_086,
    "efficientnetv2_b3": 14_358_406,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "efficientnet_lite3": 8_197_096,
    "efficientnet_lite4": 13_006_568,
    "efficientnet_edgetpu_s": 5_438_392,
    "efficientnet_edgetpu_m": 6_899_496,
    "efficientnet_edgetpu_l": 10_589_712,
    "mnasnet_a1": 3_887_038,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}

# Trainable parameters and moving statistics, as the official unit tests count them. B3 is left out: built with that
# repository's rounding it is another network (V1-B3 has 24 channels in stage 1, theirs 16).
WITH_STATISTICS = {
    "efficientnet_b0": 5_330_564,
    "efficientnet_b1": 7_856_232,
    "efficientnet_b2": 9_177_562,
    "efficientnet_b4": 19_466_816,
    "efficientnet_b5": 30_562_520,
    "efficientnet_b6": 43_265_136,
    "efficientnetv2_s": 21_612_360,
    "efficientnetv2_m": 54_431_388,
    "efficientnetv2_l": 119_027_848,
    "efficientnetv2_xl": 208_896_832,
    "efficientnetv2_b0": 7_200_312,
    "efficientnetv2_b1": 8_212_124,
    "efficientnetv2_b2": 10_178_374,
    "efficientnetv2_b3": 14_467_622,
}

# V1 Table 5 transfers these.
WITHOUT_CLASSIFIER = {
    "efficientnet_b0": 4_007_548,
    "efficientnet_b1": 6_513_184,
    "efficientnet_b2": 7_700_994,
    "efficientnet_b3": 10_696_232,
    "efficientnet_b4": 17_548_616,
    "efficientnet_b5": 28_340_784,
    "efficientnet_b6": 40_735_704,
    "efficientnet_b7": 63_786_960,
}


def test_the_table_is_the_catalogue() -> None:
    assert set(PARAMS) == set(names())


@pytest.mark.parametrize(("name", "params"), PARAMS.items())
def test_parameters(name: str, params: int) -> None:
    assert cost(find(name)).params == params


@pytest.mark.parametrize(("name", "total"), WITH_STATISTICS.items())
def test_parameters_and_statistics(name: str, total: int) -> None:
    counted = cost(find(name))
    assert counted.params + counted.buffers == total


@pytest.mark.parametrize(("name", "params"), WITHOUT_CLASSIFIER.items())
def test_backbones(name: str, params: int) -> None:
    assert cost(find(name).replace(classes=0)).params == params


def test_the_other_rounding_makes_the_other_b3() -> None:
    """google/automl's rounding (no channels added back) gives its unit test's B3: 12,227,212 trainable."""
    from effnet.families import v1
    from effnet.scaling import scale
    from effnet.spec import ScalingRules

    base = v1.build("efficientnet_b0").replace(scaling=ScalingRules(round_limit=0.0))
    assert cost(scale(base, width=1.2, depth=1.4)).params == 12_227_212

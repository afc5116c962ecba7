"""MACs and activations of every published network, and of the scaled networks that V1 shows.

Sources: meta-device counts of torchvision's and timm's models; activations from timm's benchmark tables
(results/benchmark-infer-amp-nchw-pt113-cu117-rtx3090.csv, `infer_macts`) and pycls' MODEL_ZOO.md (`acts`).
"""

import pytest

from effnet.cost import cost
from effnet.families import find, names
from effnet.scaling import compound, scale

# name, side in pixels, MACs: exact
MACS = [
    ("efficientnet_b0", 224, 385_814_752),
    ("efficientnet_b1", 240, 686_802_832),
    ("efficientnet_b2", 260, 993_561_872),
    ("efficientnet_b3", 300, 1_827_141_392),
    ("efficientnet_b4", 380, 4_393_771_024),
    ("efficientnet_b5", 456, 10_266_384_752),
    ("efficientnet_b6", 528, 19_067_593_536),
    ("efficientnet_b7", 600, 37_745_884_192),
    ("efficientnet_b8", 672, 62_597_461_568),
    ("efficientnet_l2", 475, 170_892_857_680),
    ("efficientnet_l2", 800, 475_703_653_280),
    ("efficientnetv2_s", 300, 5_307_561_248),
    ("efficientnetv2_s", 384, 8_365_617_152),
    ("efficientnetv2_m", 384, 15_736_775_680),
    ("efficientnetv2_m", 480, 24_582_460_384),
    ("efficientnetv2_l", 384, 35_899_418_624),
    ("efficientnetv2_l", 480, 56_079_699_008),
    ("efficientnetv2_xl", 384, 52_529_254_400),
    ("efficientnetv2_xl", 480, 82_053_896_960),
    ("efficientnetv2_xl", 512, 93_353_451_520),
    ("efficientnetv2_b0", 192, 528_186_752),
    ("efficientnetv2_b0", 224, 718_086_176),
    ("efficientnetv2_b1", 192, 747_003_008),
    ("efficientnetv2_b1", 240, 1_196_819_360),
    ("efficientnetv2_b2", 208, 1_043_476_528),
    ("efficientnetv2_b2", 260, 1_697_542_832),
    ("efficientnetv2_b3", 240, 1_908_036_640),
    ("efficientnetv2_b3", 300, 3_011_458_816),
    ("efficientnet_lite0", 224, 385_187_552),
    ("efficientnet_lite1", 240, 600_185_232),
    ("efficientnet_lite2", 260, 859_736_272),
    ("efficientnet_lite3", 280, 1_383_321_872),
    ("efficientnet_lite3", 300, 1_607_554_544),
    ("efficientnet_lite4", 300, 2_553_034_336),
    ("efficientnet_lite4", 380, 3_943_564_112),
    ("efficientnet_edgetpu_s", 224, 1_788_731_008),
    ("efficientnet_edgetpu_m", 240, 3_013_321_088),
    ("efficientnet_edgetpu_l", 300, 7_936_082_848),
    ("mnasnet_a1", 224, 311_579_072),
]

# torchvision at 224 px, in units of 1e9
RESNET_GMACS = {"resnet18": 1.814, "resnet34": 3.664, "resnet50": 4.089, "resnet101": 7.801, "resnet152": 11.514}

# name, side, activations in millions (timm)
ACTIVATIONS = [
    ("efficientnet_b0", 224, 6.75),
    ("efficientnet_b1", 240, 10.88),
    ("efficientnet_b2", 260, 13.83),
    ("efficientnet_b4", 380, 49.49),
    ("efficientnet_b5", 456, 98.86),
    ("efficientnetv2_b0", 224, 4.77),
    ("efficientnetv2_b1", 240, 7.34),
    ("efficientnetv2_b2", 260, 9.84),
    ("efficientnetv2_s", 384, 35.77),
    ("efficientnetv2_m", 480, 89.84),
    ("efficientnet_lite0", 224, 6.74),
    ("efficientnet_lite1", 240, 10.14),
    ("efficientnet_lite2", 260, 12.9),
    ("efficientnet_lite4", 380, 45.66),
    ("efficientnet_edgetpu_s", 224, 8.73),
    ("efficientnet_edgetpu_m", 240, 14.34),
    ("efficientnet_edgetpu_l", 300, 30.7),
    ("mnasnet_a1", 224, 6.23),
    ("resnet18", 224, 2.48),
    ("resnet34", 224, 3.74),
    ("resnet50", 224, 11.11),
]

PYCLS_ACTIVATIONS = {
    "efficientnet_b0": 6.7,
    "efficientnet_b1": 10.9,
    "efficientnet_b2": 13.8,
    "efficientnet_b3": 23.8,
    "efficientnet_b5": 98.9,
    "resnet50": 11.1,
    "resnet101": 16.2,
    "resnet152": 22.6,
}

# phi, GMACs, millions of parameters, side: w, d and r as unrounded powers
PURE_EQUATION = [
    (0, 0.386, 5.3, 224),
    (1, 0.993, 9.1, 258),
    (2, 1.811, 12.3, 296),
    (3, 3.251, 16.4, 341),
    (4, 6.320, 25.9, 392),
    (5, 11.374, 33.7, 451),
    (6, 20.094, 45.5, 518),
    (7, 39.664, 68.7, 596),
]

# V1 Figure 3: coefficient, GMACs, millions of parameters
WIDTHS = [
    (1.4, 0.744, 9.7),
    (1.8, 1.176, 14.8),
    (2.0, 1.450, 18.1),
    (2.6, 2.391, 29.2),
    (3.8, 5.060, 60.0),
    (5.0, 8.712, 101.9),
]
DEPTHS = [(2, 0.782, 10.2), (3, 1.179, 15.2), (4, 1.575, 20.1), (6, 2.368, 30.0), (8, 3.161, 39.8)]
SIDES = [
    (291, 0.718),
    (299, 0.730),
    (336, 0.893),
    (381, 1.129),
    (426, 1.458),
    (448, 1.538),
    (493, 1.923),
    (560, 2.447),
]

B0 = find("b0")


def test_every_network_is_counted() -> None:
    assert {name for name, _, _ in MACS} | set(RESNET_GMACS) == set(names())


@pytest.mark.parametrize(("name", "side", "macs"), MACS)
def test_macs(name: str, side: int, macs: int) -> None:
    assert cost(find(name), side).macs == macs


@pytest.mark.parametrize(("name", "gmacs"), RESNET_GMACS.items())
def test_resnet_macs(name: str, gmacs: float) -> None:
    assert cost(find(name), 224).macs / 1e9 == pytest.approx(gmacs, abs=5e-4)


@pytest.mark.parametrize(("name", "side", "millions"), ACTIVATIONS)
def test_activations_as_timm_counts_them(name: str, side: int, millions: float) -> None:
    assert cost(find(name), side).activations / 1e6 == pytest.approx(millions, abs=5e-3)


@pytest.mark.parametrize(("name", "millions"), PYCLS_ACTIVATIONS.items())
def test_activations_as_pycls_counts_them(name: str, millions: float) -> None:
    assert cost(find(name)).activations / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize(("phi", "gmacs", "millions", "side"), PURE_EQUATION)
def test_the_pure_equation(phi: int, gmacs: float, millions: float, side: int) -> None:
    spec = compound(B0, phi)
    counted = cost(spec)
    assert spec.resolution == side
    assert counted.macs / 1e9 == pytest.approx(gmacs, abs=5e-4)
    assert counted.params / 1e6 == pytest.approx(millions, abs=0.05)


def test_v1_table_7() -> None:
    """Single axes against compound at about four times B0's cost; the paper's FLOPs are 14 to 24 % above a count."""
    deep, wide, large = cost(scale(B0, depth=4)), cost(scale(B0, width=2)), cost(scale(B0, resolution=2))
    compounded = cost(scale(B0, depth=1.4, width=1.2), 300)
    assert (deep.params, wide.params, large.params, compounded.params) == (
        20_091_856,
        18_122_720,
        5_288_548,
        12_233_232,
    )
    gmacs = [round(c.macs / 1e9, 3) for c in (deep, wide, large, compounded)]
    assert gmacs == [1.575, 1.450, 1.538, 1.827]


@pytest.mark.parametrize(("width", "gmacs", "millions"), WIDTHS)
def test_v1_figure_3_width(width: float, gmacs: float, millions: float) -> None:
    counted = cost(scale(B0, width=width))
    assert counted.macs / 1e9 == pytest.approx(gmacs, abs=5e-4)
    assert counted.params / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(("depth", "gmacs", "millions"), DEPTHS)
def test_v1_figure_3_depth(depth: float, gmacs: float, millions: float) -> None:
    counted = cost(scale(B0, depth=depth))
    assert counted.macs / 1e9 == pytest.approx(gmacs, abs=5e-4)
    assert counted.params / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(("side", "gmacs"), SIDES)
def test_v1_figure_3_resolution(side: int, gmacs: float) -> None:
    spec = scale(B0, resolution=side / 224)
    assert spec.resolution == side
    assert cost(spec).macs / 1e9 == pytest.approx(gmacs, abs=5e-4)
    assert cost(spec).params == 5_288_548

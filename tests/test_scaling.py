"""Compound scaling, rounding, and what a scaled network remembers."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from effnet.errors import SpecError
from effnet.families import find
from effnet.scaling import Coefficients, compound, round_channels, round_repeats, scale
from effnet.spec import ScalingRules

B0 = find("b0")
V1, V2 = ScalingRules(), ScalingRules(round_limit=0.0)
FACTORS = st.floats(0.3, 4)


@pytest.mark.parametrize(
    ("channels", "width", "v1", "v2"),
    [
        (16, 1.2, 24, 16),
        (16, 1.1, 16, 16),
        (32, 1.2, 40, 40),
        (24, 1.2, 32, 32),
        (40, 1.4, 56, 56),
        (1280, 1.1, 1408, 1408),
    ],
)
def test_both_roundings_of_channels(channels: int, width: float, v1: int, v2: int) -> None:
    assert (round_channels(channels, width, V1), round_channels(channels, width, V2)) == (v1, v2)


@given(channels=st.integers(1, 2000), width=FACTORS, divisor=st.integers(1, 16))
def test_channels_are_multiples_near_what_was_wanted(channels: int, width: float, divisor: int) -> None:
    assume(width != 1)
    wanted = channels * width
    for limit in (0.0, 0.9):
        rounded = round_channels(channels, width, ScalingRules(divisor=divisor, round_limit=limit))
        assert rounded % divisor == 0
        assert rounded >= divisor
        assert rounded >= limit * wanted - 1e-6
        assert abs(rounded - wanted) <= divisor or rounded == divisor


@given(channels=st.integers(1, 2000), width=FACTORS, more=st.floats(0, 1))
def test_more_width_is_never_fewer_channels(channels: int, width: float, more: float) -> None:
    assume(width != 1 and width + more != 1)
    for rules in (V1, V2):
        assert round_channels(channels, width + more, rules) >= round_channels(channels, width, rules)


@given(channels=st.integers(1, 2000))
def test_width_one_leaves_channels_alone(channels: int) -> None:
    assert round_channels(channels, 1.0, V1) == channels


def test_repeats_round_up_but_not_for_float_noise() -> None:
    """25 * 2.2 is 55.000000000000007 in floats."""
    assert [round_repeats(n, 1.1) for n in (1, 2, 3, 4)] == [2, 3, 4, 5]
    assert round_repeats(25, 2.2) == 55
    assert round_repeats(10, 1.1) == 11
    assert round_repeats(3, 0.1) == 1


@given(repeats=st.integers(1, 100), depth=FACTORS)
def test_repeats_are_the_ceiling(repeats: int, depth: float) -> None:
    assert round_repeats(repeats, depth) in (math.ceil(repeats * depth), math.ceil(repeats * depth - 1e-6))


@given(first=st.tuples(FACTORS, FACTORS, FACTORS), second=st.tuples(FACTORS, FACTORS, FACTORS))
def test_scaling_twice_is_scaling_once_by_the_product(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> None:
    once = scale(B0, width=first[0], depth=first[1], resolution=first[2])
    twice = scale(once, width=second[0], depth=second[1], resolution=second[2])
    product = [a * b for a, b in zip(first, second, strict=True)]
    assert twice == scale(B0, width=product[0], depth=product[1], resolution=product[2])


def test_rounding_does_not_compose_but_scaling_does() -> None:
    """Depth 1.2 twice is 1.44: 26 blocks, not the 30 of rounding up twice."""
    assert scale(scale(B0, depth=1.2), depth=1.2).blocks == 26


@pytest.mark.parametrize("axis", ["width", "depth", "resolution"])
def test_one_axis_changes_nothing_else(axis: str) -> None:
    scaled = scale(B0, **{axis: 2.0})
    assert (scaled.resolution != 224) == (axis == "resolution")
    assert (scaled.blocks != B0.blocks) == (axis == "depth")
    assert (scaled.stem.channels != 32) == (axis == "width")
    assert ([s.channels for s in scaled.stages] != [s.channels for s in B0.stages]) == (axis == "width")


def test_what_the_user_chose_survives_scaling() -> None:
    mine = B0.replace(classes=10, in_channels=1, drop_path=0.3).with_conventions(padding="same")
    scaled = compound(mine, 2)
    assert (scaled.classes, scaled.in_channels, scaled.drop_path) == (10, 1, 0.3)
    assert scaled.conventions == mine.conventions


def test_families_keep_what_they_do_not_scale() -> None:
    """Lite: stem, head, and repeats of the first and last stage."""
    lite = scale(find("lite0"), width=2.0, depth=3.0)
    assert (lite.stem.channels, lite.head.channels) == (32, 1280)
    assert (lite.stages[0].repeats, lite.stages[-1].repeats) == (1, 1)
    assert lite.stages[1].repeats == 6
    edge = scale(find("edgetpu-s"), width=2.0)
    assert edge.stages[0].expand_from == 48
    assert scale(find("resnet50"), width=2.0).head.channels is None


def test_compound_is_the_equation() -> None:
    spec = compound(B0, 2.0)
    assert spec.origin is not None
    assert (spec.origin.depth, spec.origin.width, spec.origin.resolution) == pytest.approx((1.44, 1.21, 1.3225))
    assert compound(B0, 0).stages == B0.stages
    assert compound(B0, 0).resolution == 224


@given(phi=st.floats(-6, 8), more=st.floats(0, 3))
def test_a_larger_phi_is_a_larger_network(phi: float, more: float) -> None:
    small, large = compound(B0, phi), compound(B0, phi + more)
    assert large.resolution >= small.resolution
    assert large.blocks >= small.blocks
    assert all(b.channels >= a.channels for a, b in zip(small.stages, large.stages, strict=True))


def test_negative_and_fractional_phi() -> None:
    assert compound(B0, -1).resolution == 195
    assert compound(B0, 0.5).resolution == 240
    assert compound(B0, -30).resolution == 3


def test_dropout_follows_the_released_family_between_its_ends() -> None:
    dropouts = [compound(B0, phi).head.dropout for phi in (-10, 0, 3.5, 7, 20)]
    assert dropouts == pytest.approx([0.0, 0.2, 0.35, 0.5, 0.5])
    assert compound(find("resnet50"), 3).head.dropout == 0


def test_the_constraint_of_v1() -> None:
    assert Coefficients().product == pytest.approx(1.92, abs=1e-3)
    assert Coefficients().check() is None
    assert "3.8" in str(Coefficients(alpha=2.4).check())
    assert "beta below 1" in str(Coefficients(beta=0.9).check())


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), 1e9, True, "1.2", None])
def test_impossible_coefficients_are_refused(bad: float) -> None:
    with pytest.raises(SpecError):
        Coefficients(alpha=bad)
    for axis in ("width", "depth", "resolution"):
        with pytest.raises(SpecError):
            scale(B0, **{axis: bad})  # type: ignore[arg-type]
    if bad not in (0, -1):
        with pytest.raises(SpecError):
            compound(B0, bad)

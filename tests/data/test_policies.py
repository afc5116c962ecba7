"""RandAugment and AutoAugment: what is drawn, how often, how strong."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from effnet.data import augment_ops
from effnet.data.augment_ops import OPERATIONS, Op, Reach, operation
from effnet.data.policies import AUTOAUGMENT_V0, AutoAugment, RandAugment
from effnet.data.randomness import generator
from effnet.errors import InputError

DRAWS = 16_000


def drawn(policy: RandAugment | AutoAugment, count: int = DRAWS) -> list[tuple[Op, ...]]:
    rng = generator(0, 1)
    return [policy.draw(rng) for _ in range(count)]


def within(count: int, probability: float, trials: int, sigmas: float = 4.5) -> bool:
    """Whether a count is what a probability gives, by its standard deviation."""
    return abs(count - probability * trials) <= sigmas * (trials * probability * (1 - probability)) ** 0.5


@given(
    st.sampled_from([RandAugment(), RandAugment(layers=4, magnitude=15, magnitude_std=0.5), AutoAugment()]),
    st.integers(0, 2**32),
    st.integers(0, 2**32),
)
def test_the_same_numbers_draw_the_same_operations(policy: RandAugment | AutoAugment, seed: int, index: int) -> None:
    ops = policy.draw(generator(seed, index))
    assert ops == policy.draw(generator(seed, index))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))
    result = augment_ops.apply(image, ops)
    assert (result.size, result.mode) == ((24, 16), "RGB")


def test_randaugment_chooses_operations_uniformly_and_each_happens_half_the_time() -> None:
    counts = Counter(op.name for ops in drawn(RandAugment()) for op in ops)
    assert set(counts) == set(OPERATIONS)
    # Two layers, one of sixteen, with a probability of 0.2-0.8.
    assert all(within(count, 0.5 / 16, 2 * DRAWS) for count in counts.values())


def test_the_probability_of_randaugment_is_drawn_from_its_range() -> None:
    assert all(len(ops) == 2 for ops in drawn(RandAugment(probability=(1, 1)), 500))
    assert all(ops == () for ops in drawn(RandAugment(probability=(0, 0)), 500))
    layers = RandAugment(layers=1, probability=(0.1, 0.3))
    assert within(sum(map(len, drawn(layers))), 0.2, DRAWS)


def test_no_layers_draw_nothing() -> None:
    assert drawn(RandAugment(layers=0), 20) == [()] * 20


def test_half_of_the_signs_are_negative() -> None:
    values = [op.value for ops in drawn(RandAugment()) for op in ops if op.name == "Rotate"]
    assert set(values) == {30.0, -30.0}
    assert within(values.count(30.0), 0.5, len(values))


def test_cutout_centres_are_uniform() -> None:
    ops = [op for ops in drawn(RandAugment(probability=(1, 1))) for op in ops if op.name == "Cutout"]
    assert {op.value for op in ops} == {40}
    centres = np.array([op.at for op in ops])
    assert centres.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.04)
    assert centres.std(axis=0) == pytest.approx([12**-0.5, 12**-0.5], abs=0.02)


def test_magnitude_may_spread() -> None:
    policy = RandAugment(magnitude=9, magnitude_std=0.5, probability=(1, 1))
    degrees = [abs(op.value) for ops in drawn(policy) for op in ops if op.name == "Rotate"]
    assert np.mean(degrees) == pytest.approx(27, abs=0.15)
    assert np.std(degrees) == pytest.approx(1.5, abs=0.1)


def test_a_spread_magnitude_is_never_negative() -> None:
    policy = RandAugment(magnitude=0.1, magnitude_std=3, probability=(1, 1))
    assert min(op.value for ops in drawn(policy, 3000) for op in ops if op.name == "Color") == pytest.approx(0.1)


def test_pixels_of_randaugment_can_be_scaled_to_small_images() -> None:
    ops = [op for ops in drawn(RandAugment(translate=10, cutout=8)) for op in ops]
    assert {abs(op.value) for op in ops if op.name in ("TranslateX", "TranslateY")} == {10.0}
    assert {op.value for op in ops if op.name == "Cutout"} == {8.0}


def test_policy_v0_is_the_published_one() -> None:
    assert len(AUTOAUGMENT_V0) == 25
    # First, last and the odd ones: a step that never happens, one beyond the paper's ten levels, one measured in px.
    assert AUTOAUGMENT_V0[0] == (("Equalize", 0.8, 1), ("ShearY", 0.8, 4))
    assert AUTOAUGMENT_V0[15] == (("Rotate", 1.0, 7), ("TranslateY", 0.8, 9))
    assert AUTOAUGMENT_V0[16] == (("ShearX", 0.0, 0), ("Solarize", 0.8, 4))
    assert AUTOAUGMENT_V0[22] == (("Posterize", 0.8, 2), ("Solarize", 0.6, 10))
    assert AUTOAUGMENT_V0[24] == (("Color", 0.8, 6), ("Rotate", 0.4, 5))
    steps = [step for pair in AUTOAUGMENT_V0 for step in pair]
    assert Counter(name for name, _, _ in steps) == {
        "Equalize": 12, "Color": 9, "Solarize": 8, "Rotate": 7, "ShearY": 4, "ShearX": 2, "SolarizeAdd": 2,
        "Posterize": 2, "AutoContrast": 2, "Invert": 1, "TranslateY": 1,
    }  # fmt: skip
    assert sum(probability for _, probability, _ in steps) == pytest.approx(29.8)
    assert sum(magnitude for _, _, magnitude in steps) == 240


def test_autoaugment_follows_its_table() -> None:
    draws = Counter(drawn(AutoAugment()))
    # Expected rate of every outcome of every pair: both, one or none of its steps, signs halved.
    expected: Counter[tuple[Op, ...]] = Counter()
    for pair in AUTOAUGMENT_V0:
        outcomes = [((), 1 / 25)]
        for name, probability, magnitude in pair:
            signs = {operation(name, magnitude, Reach(250, 0), negative=negative).value for negative in (False, True)}
            happens = [((name, value), probability / len(signs)) for value in signs]
            outcomes = [
                (done + more, rate * share)
                for done, rate in outcomes
                for more, share in [((), 1 - probability), *(((step,), share) for step, share in happens)]
            ]
        for outcome, rate in outcomes:
            expected[outcome] += rate
    seen: Counter[object] = Counter()
    for ops, count in draws.items():
        seen[tuple((op.name, op.value) for op in ops)] += count
    assert set(seen) <= {outcome for outcome, rate in expected.items() if rate > 0}
    assert all(within(seen[outcome], rate, DRAWS) for outcome, rate in expected.items())


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": -1},
        {"magnitude": -1.0},
        {"magnitude": float("nan")},
        {"magnitude_std": float("inf")},
        {"probability": (0.8, 0.2)},
        {"probability": (0.2, 1.2)},
        {"translate": -1.0},
        {"cutout": -1.0},
    ],
)
def test_impossible_policies_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"RandAugment: {next(iter(wrong))}"):
        RandAugment(**wrong)  # type: ignore[arg-type]


def test_an_impossible_autoaugment_is_refused() -> None:
    with pytest.raises(InputError, match="AutoAugment: translate"):
        AutoAugment(translate=-1)

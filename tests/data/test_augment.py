"""One training image: everything is drawn first, then applied."""

from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from effnet.data import augment_ops
from effnet.data.augment import Augmentation, Drawn, Erasing, Patch
from effnet.data.augment_ops import Op
from effnet.data.crops import V2_CROP, Box, crop_resize, reduction
from effnet.data.decode import decode
from effnet.data.policies import AutoAugment, RandAugment
from effnet.data.randomness import generator
from effnet.errors import InputError

MODES = ("const", "rand", "pixel")

FULL = Augmentation(
    crop=V2_CROP, interpolation="bilinear", policy=RandAugment(layers=2, magnitude=15), cutout=0.1, erasing=Erasing()
)

augmentations = st.sampled_from(
    [Augmentation(), FULL, Augmentation(crop=None, flip=0, policy=AutoAugment()), Augmentation(cutout=0.25)]
)


def picture(width: int = 60, height: int = 45) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@given(augmentations, st.integers(1, 80), st.integers(1, 80), st.integers(1, 48), st.integers(0, 2**32))
def test_any_image_becomes_a_square_and_twice_the_same(
    augmentation: Augmentation, width: int, height: int, size: int, index: int
) -> None:
    image = picture(width, height)
    before = image.tobytes()
    drawn = augmentation.draw(generator(3, 1, index), width, height, size)
    assert drawn == augmentation.draw(generator(3, 1, index), width, height, size)
    result = augmentation.apply(image, drawn)
    assert (result.size, result.mode) == ((size, size), "RGB")
    assert result.tobytes() == augmentation.apply(image, drawn).tobytes()
    assert image.tobytes() == before


def test_no_augmentation_is_a_resize() -> None:
    nothing = Augmentation(crop=None, flip=0)
    drawn = nothing.draw(generator(0, 0, 0), 60, 45, 32)
    assert drawn == Drawn(size=32, of=(60, 45), box=Box(0, 0, 60, 45), flip=False, ops=(), patches=())
    difference = np.asarray(nothing.apply(picture(), drawn), int) - np.asarray(picture().resize((32, 32), 3), int)
    assert np.abs(difference).max() <= 3


def test_steps_happen_in_the_order_of_the_official_code() -> None:
    drawn = next(
        d
        for d in (FULL.draw(generator(0, 0, index), 60, 45, 32) for index in range(1000))
        if d.flip and len(d.ops) == 3 and d.patches
    )
    assert drawn.ops[-1].name == "Cutout"
    expected = crop_resize(picture(), drawn.box, 32, "bilinear").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    expected = Erasing().apply(augment_ops.apply(expected, drawn.ops), drawn.patches)
    assert FULL.apply(picture(), drawn).tobytes() == expected.tobytes()


def test_the_policy_does_not_change_what_is_cropped() -> None:
    # A stage of a progressive schedule that changes only the magnitude keeps boxes and flips.
    for index in range(50):
        one, other = (
            dataclasses.replace(FULL, policy=policy).draw(generator(0, 0, index), 60, 45, 32)
            for policy in (None, RandAugment(magnitude=25))
        )
        assert (one.box, one.flip) == (other.box, other.flip)


def test_flips_happen_as_often_as_asked() -> None:
    def rate(flip: float) -> float:
        plain = Augmentation(flip=flip)
        return float(np.mean([plain.draw(generator(0, 0, i), 60, 45, 8).flip for i in range(4000)]))

    assert rate(0.0) == 0
    assert rate(1.0) == 1
    assert rate(0.5) == pytest.approx(0.5, abs=0.035)


def test_a_flip_swaps_left_and_right() -> None:
    mirror = Augmentation(crop=None, flip=1)
    result = mirror.apply(picture(32, 32), mirror.draw(generator(0), 32, 32, 32))
    assert np.array_equal(np.asarray(result), np.asarray(picture(32, 32))[:, ::-1])


def test_cutout_is_a_share_of_the_side() -> None:
    augmentation = Augmentation(crop=None, flip=0, cutout=0.25)
    drawn = augmentation.draw(generator(0), 60, 45, 40)
    assert [(op.name, op.value) for op in drawn.ops] == [("Cutout", 10)]
    bare = augmentation.apply(picture(), dataclasses.replace(drawn, ops=()))
    expected = augment_ops.apply(bare, (Op("Cutout", 10, drawn.ops[0].at),))
    assert augmentation.apply(picture(), drawn).tobytes() == expected.tobytes()


@pytest.mark.parametrize(("width", "height"), [(803, 601), (301, 907)])
def test_a_jpeg_is_decoded_no_larger_than_the_box_needs(width: int, height: int) -> None:
    stream = io.BytesIO()
    picture(9, 7).resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
    whole = decode(stream.getvalue())
    plain = Augmentation(crop=V2_CROP)
    reductions = set()
    for index in range(60):
        drawn = plain.draw(generator(0, 0, index), width, height, 90)
        smaller = decode(stream.getvalue(), min_size=drawn.min_size)
        n = reduction(drawn.box, 90)
        assert smaller.size == (math.ceil(width / n), math.ceil(height / n))
        one, other = (np.asarray(plain.apply(image, drawn), dtype=int) for image in (smaller, whole))
        assert np.abs(one - other).mean() < 2.5
        reductions.add(n)
    assert reductions >= {1, 2}


@pytest.mark.parametrize(
    "wrong", [{"flip": 1.5}, {"flip": float("nan")}, {"cutout": -0.1}, {"interpolation": "nearest"}]
)
def test_impossible_augmentations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"Augmentation: {next(iter(wrong))}"):
        Augmentation(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [(0, 5, 8), (5, 5, 0)])
def test_sizes_without_pixels_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match=r"Augmentation.*at least 1 px"):
        Augmentation().draw(generator(0), *sizes)


def test_other_modes_are_refused() -> None:
    augmentation = Augmentation()
    drawn = augmentation.draw(generator(0), 60, 45, 16)
    with pytest.raises(InputError, match="mode L"):
        augmentation.apply(picture().convert("L"), drawn)


# Erasing.


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 3), st.integers(0, 2**32))
def test_rectangles_are_inside_and_of_the_area_asked(width: int, height: int, count: int, seed: int) -> None:
    erasing = Erasing(probability=1, area=(0.1, 0.3), count=count)
    patches = erasing.draw(np.random.default_rng(seed), width, height)
    assert len(patches) <= count
    for patch in patches:
        left, top, right, bottom = patch.box.edges
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        # Each side is rounded by half a pixel at most.
        wide, tall = patch.box.width, patch.box.height
        assert (wide - 0.5) * (tall - 0.5) <= 0.3 * width * height
        assert (wide + 0.5) * (tall + 0.5) >= 0.1 * width * height / count


def test_erasing_happens_as_often_as_asked() -> None:
    rng = generator(0)
    counts = [len(Erasing(probability=0.3, count=3).draw(rng, 64, 64)) for _ in range(4000)]
    assert np.mean([count > 0 for count in counts]) == pytest.approx(0.3, abs=0.035)
    shares = [counts.count(n) / sum(count > 0 for count in counts) for n in (1, 2, 3)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.06)
    assert not any(Erasing(probability=0).draw(rng, 64, 64) for _ in range(100))


def test_erased_shapes_are_as_published() -> None:
    rng = generator(0)
    boxes = [p.box for _ in range(4000) for p in Erasing(probability=1).draw(rng, 400, 400)]
    areas = np.array([box.width * box.height for box in boxes]) / 400**2
    slopes = np.log([box.height / box.width for box in boxes])
    assert areas.mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.01)
    assert (areas.min(), areas.max()) == pytest.approx((0.02, 1 / 3), abs=0.002)
    assert abs(slopes.mean()) < 0.06
    assert np.abs(slopes).max() == pytest.approx(-np.log(0.3), abs=0.03)


@pytest.mark.parametrize("mode", MODES)
def test_only_the_rectangle_changes(mode: str) -> None:
    image = picture(50, 40)
    patch = Patch(Box(7, 11, 20, 16), noise=5)
    erasing = Erasing(mode=mode)  # type: ignore[arg-type]
    result = np.array(erasing.apply(image, (patch,)))
    inside = result[11:27, 7:27].copy()
    result[11:27, 7:27] = np.asarray(image)[11:27, 7:27]
    assert result.tobytes() == image.tobytes()
    colors = len(np.unique(inside.reshape(-1, 3), axis=0))
    assert colors == 1 if mode != "pixel" else colors > 300
    assert erasing.apply(image, ()) is image


def test_const_is_the_mean_colour() -> None:
    erasing = Erasing(mode="const", mean=(0.485, 0.456, 0.406))
    result = erasing.apply(picture(), (Patch(Box(0, 0, 60, 45), noise=1),))
    assert result.getcolors() == [(60 * 45, (124, 116, 104))]


def test_noise_is_normal_after_normalization() -> None:
    erasing = Erasing(mode="pixel", mean=(0.5, 0.45, 0.4), std=(0.1, 0.12, 0.08))
    result = erasing.apply(picture(300, 300), (Patch(Box(0, 0, 300, 300), noise=1),))
    normalized = (np.asarray(result) / 255 - erasing.mean) / erasing.std
    assert normalized.mean(axis=(0, 1)) == pytest.approx([0, 0, 0], abs=0.02)
    assert normalized.std(axis=(0, 1)) == pytest.approx([1, 1, 1], abs=0.02)
    assert np.mean(np.abs(normalized) < 1) == pytest.approx(0.683, abs=0.01)


def test_colours_differ_between_patches_and_are_normal() -> None:
    erasing = Erasing(mode="rand", mean=(0.5, 0.5, 0.5), std=(0.1, 0.1, 0.1))
    pixels = [
        np.asarray(erasing.apply(picture(2, 2), (Patch(Box(0, 0, 1, 1), noise=seed),)))[0, 0] for seed in range(800)
    ]
    assert np.std(np.array(pixels) / 255, axis=0) == pytest.approx([0.1, 0.1, 0.1], abs=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        {"probability": 1.1},
        {"area": (0.0, 0.3)},
        {"area": (0.4, 0.3)},
        {"aspect": 0.0},
        {"aspect": 1.5},
        {"mode": "noise"},
        {"count": 0},
    ],
)
def test_impossible_erasing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"Erasing: {next(iter(wrong))}"):
        Erasing(**wrong)  # type: ignore[arg-type]

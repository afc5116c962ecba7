"""The sixteen operations: magnitudes as published, pixels as Pillow's and as TensorFlow's."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageEnhance, ImageOps

from effnet.data import augment_ops
from effnet.data.augment_ops import FILL, OPERATIONS, Op, Reach, operation
from effnet.errors import InputError, UnknownNameError

Pixels = npt.NDArray[np.uint8]

REACH = Reach(translate=100, cutout=40)

images = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda side: arrays(np.uint8, (*side, 3)))
factors = st.floats(0.1, 4.6)


def run(name: str, pixels: Pixels, value: float = 0.0, at: tuple[float, float] = (0.5, 0.5)) -> Pixels:
    return np.asarray(augment_ops.apply(Image.fromarray(pixels), (Op(name, value, at),)))


def noise(height: int = 40, width: int = 30) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# What a magnitude means: the facts sheet's line, written out again. L = magnitude / 10.
PUBLISHED: dict[str, Callable[[float], float]] = {
    "AutoContrast": lambda level: 0,
    "Equalize": lambda level: 0,
    "Invert": lambda level: 0,
    "Rotate": lambda level: 30 * level,
    "Posterize": lambda level: math.floor(4 * level),
    "Solarize": lambda level: math.floor(256 * level),
    "Color": lambda level: 0.1 + 1.8 * level,
    "Contrast": lambda level: 0.1 + 1.8 * level,
    "Brightness": lambda level: 0.1 + 1.8 * level,
    "Sharpness": lambda level: 0.1 + 1.8 * level,
    "ShearX": lambda level: 0.3 * level,
    "ShearY": lambda level: 0.3 * level,
    "TranslateX": lambda level: 100 * level,
    "TranslateY": lambda level: 100 * level,
    "Cutout": lambda level: math.floor(40 * level),
    "SolarizeAdd": lambda level: math.floor(110 * level),
}


def test_the_table_has_the_sixteen_operations_in_the_published_order() -> None:
    assert list(OPERATIONS) == list(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("magnitude", [0, 1, 5, 20 / 3, 9, 10, 15, 25])
def test_magnitudes_are_the_published_ones(name: str, magnitude: float) -> None:
    assert operation(name, magnitude, REACH).value == pytest.approx(PUBLISHED[name](magnitude / 10), abs=1e-12)


def test_only_rotation_shear_and_translation_have_a_sign() -> None:
    signed = {name for name in OPERATIONS if operation(name, 7, REACH, negative=True) != operation(name, 7, REACH)}
    assert signed == {"Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"}
    for name in signed:
        assert operation(name, 7, REACH, negative=True).value == -operation(name, 7, REACH).value


# TensorFlow 2.12 on the official code's formulas; the file also holds the image.
with np.load(Path(__file__).with_name("tensorflow_operations.npz")) as _file:
    GOLDEN = {key: _file[key] for key in _file.files}
    PICTURE = GOLDEN.pop("image")


@pytest.mark.parametrize("case", GOLDEN)
def test_pixels_are_tensorflows(case: str) -> None:
    name, value = case.split()
    ours = run(name, PICTURE, float(value), at=(0.3, 0.7)).astype(int)
    difference = np.abs(ours - GOLDEN[case])
    if name in ("Color", "Sharpness"):
        # One level of rounding in what is blended, times how far the blend goes from the image.
        assert difference.max() <= max(1, math.ceil(abs(1 - float(value))))
    elif name == "AutoContrast":
        assert difference.max() <= 1
    else:
        assert difference.max() == 0


@given(images)
def test_operations_without_argument_are_pillows(pixels: Pixels) -> None:
    image = Image.fromarray(pixels)
    assert np.array_equal(run("AutoContrast", pixels), np.asarray(ImageOps.autocontrast(image)))
    assert np.array_equal(run("Equalize", pixels), np.asarray(ImageOps.equalize(image)))
    assert np.array_equal(run("Invert", pixels), np.asarray(ImageOps.invert(image)))


@given(images, factors)
def test_enhancements_are_pillows(pixels: Pixels, factor: float) -> None:
    image = Image.fromarray(pixels)
    for name in ("Color", "Contrast", "Brightness", "Sharpness"):
        expected = getattr(ImageEnhance, name)(image).enhance(factor)
        assert np.array_equal(run(name, pixels, factor), np.asarray(expected))


@given(images, st.integers(1, 8), st.integers(0, 256))
def test_lookups_are_pillows(pixels: Pixels, bits: int, threshold: int) -> None:
    image = Image.fromarray(pixels)
    assert np.array_equal(run("Posterize", pixels, bits), np.asarray(ImageOps.posterize(image, bits)))
    assert np.array_equal(run("Solarize", pixels, threshold), np.asarray(ImageOps.solarize(image, threshold)))


@given(images, st.floats(-75, 75), st.floats(-0.75, 0.75), st.integers(-30, 30))
def test_geometry_is_pillows(pixels: Pixels, degrees: float, slope: float, shift: int) -> None:
    image = Image.fromarray(pixels)

    def warped(*matrix: float) -> Pixels:
        return np.asarray(image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=FILL))

    assert np.array_equal(run("Rotate", pixels, degrees), np.asarray(image.rotate(degrees, fillcolor=FILL)))
    assert np.array_equal(run("ShearX", pixels, slope), warped(1, slope, -slope / 2, 0, 1, 0))
    assert np.array_equal(run("ShearY", pixels, slope), warped(1, 0, 0, slope, 1, -slope / 2))
    assert np.array_equal(run("TranslateX", pixels, shift), warped(1, 0, shift, 0, 1, 0))
    assert np.array_equal(run("TranslateY", pixels, shift), warped(1, 0, 0, 0, 1, shift))


# An independent account of each operation, in numpy and from its definition.


def nearest(
    pixels: Pixels, source: Callable[[Pixels, Pixels], tuple[object, object]]
) -> tuple[Pixels, npt.NDArray[bool]]:
    """Return the result of a warp, and where its source is not half way between pixels."""
    height, width = pixels.shape[:2]
    down, across = np.mgrid[0:height, 0:width]
    x, y = (np.asarray(a, dtype=float) for a in source(across, down))
    certain = (np.abs(x % 1 - 0.5) > 0.01) & (np.abs(y % 1 - 0.5) > 0.01)
    column, row = np.floor(x + 0.5).astype(int), np.floor(y + 0.5).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    result = np.where(inside[..., None], pixels[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)], 128)
    return result, certain


@given(st.floats(-75, 75), st.floats(-0.75, 0.75), st.floats(-45, 45))
def test_warps_take_the_nearest_pixel_and_fill_with_grey(degrees: float, slope: float, shift: float) -> None:
    pixels = noise()
    middle_y, middle_x = (pixels.shape[0] - 1) / 2, (pixels.shape[1] - 1) / 2
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    sources = {
        ("Rotate", degrees): lambda x, y: (
            c * (x - middle_x) - s * (y - middle_y) + middle_x,
            s * (x - middle_x) + c * (y - middle_y) + middle_y,
        ),
        ("ShearX", slope): lambda x, y: (x + slope * y, y),
        ("ShearY", slope): lambda x, y: (x, y + slope * x),
        ("TranslateX", shift): lambda x, y: (x + shift, y),
        ("TranslateY", shift): lambda x, y: (x, y + shift),
    }
    for (name, value), source in sources.items():
        expected, certain = nearest(pixels, source)
        assert np.array_equal(run(name, pixels, value)[certain], expected[certain]), name


@given(images, st.integers(0, 12), st.integers(0, 700), st.integers(0, 300))
def test_lookups_follow_their_definition(pixels: Pixels, bits: int, threshold: int, addition: int) -> None:
    wide = pixels.astype(int)
    step = 2 ** (8 - min(max(bits, 1), 8))
    assert np.array_equal(run("Posterize", pixels, bits), wide // step * step)
    assert np.array_equal(run("Solarize", pixels, threshold), np.where(wide < threshold, wide, 255 - wide))
    added = np.where(wide < 128, np.minimum(wide + addition, 255), wide)
    assert np.array_equal(run("SolarizeAdd", pixels, addition), added)
    assert np.array_equal(run("Invert", pixels), 255 - wide)


@given(images, factors)
def test_enhancements_blend_away_from_their_zero(pixels: Pixels, factor: float) -> None:
    wide = pixels.astype(float)
    grey = np.floor(wide @ (0.299, 0.587, 0.114) + 0.5)
    mean = math.floor(grey.mean() + 0.5)
    zeros = {
        "Color": np.repeat(grey[..., None], 3, axis=2),
        "Contrast": np.full_like(wide, mean),
        "Brightness": 0 * wide,
    }
    for name, zero in zeros.items():
        expected = np.clip(zero + factor * (wide - zero), 0, 255)
        # One for truncation; Pillow's grey differs from the exact one by a rounding, which the factor carries on.
        assert np.abs(run(name, pixels, factor) - expected).max() <= 1 + abs(1 - factor), name


def test_sharpness_blends_with_a_weighted_mean_of_the_neighbours() -> None:
    pixels = noise()
    wide = pixels.astype(float)
    around = sum(np.roll(wide, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    smooth = np.where(
        np.pad(np.ones((38, 28, 1)), ((1, 1), (1, 1), (0, 0))) > 0, np.floor((around + 4 * wide) / 13 + 0.5), wide
    )
    for factor in (0.1, 0.64, 1.9, 4.6):
        expected = np.clip(smooth + factor * (wide - smooth), 0, 255)
        assert np.abs(run("Sharpness", pixels, factor) - expected).max() < 1.001


def equalized(channel: Pixels) -> Pixels:
    counts = np.bincount(channel.ravel(), minlength=256)
    step = (counts.sum() - counts[counts > 0][-1]) // 255
    if step == 0:
        return channel
    table = np.concatenate([[0], (np.cumsum(counts) + step // 2)[:-1] // step])
    return np.clip(table, 0, 255)[channel].astype(np.uint8)


def stretched(channel: Pixels) -> npt.NDArray[np.float64]:
    low, high = int(channel.min()), int(channel.max())
    return channel.astype(float) if low == high else (channel - float(low)) * 255 / (high - low)


@given(st.sampled_from([1, 2, 5, 256]), st.integers(0, 255), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_equalize_and_autocontrast_follow_their_definition(
    values: int, darkest: int, height: int, width: int, seed: int
) -> None:
    # From one grey to all of them, from fewer pixels than 255 (where equalize does nothing) to more.
    rng = np.random.default_rng(seed)
    pixels = np.minimum(darkest + rng.integers(0, values, (height, width, 3)), 255).astype(np.uint8)
    for channel in range(3):
        assert np.array_equal(run("Equalize", pixels)[..., channel], equalized(pixels[..., channel]))
        exact = stretched(pixels[..., channel])
        assert np.abs(run("AutoContrast", pixels)[..., channel] - exact).max() <= 1


@given(st.integers(0, 40), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_cutout_is_a_square_cut_off_at_the_border(half: int, down: float, across: float) -> None:
    pixels = noise(25, 35)
    row, column = int(down * 25), int(across * 35)
    expected = pixels.copy()
    expected[max(0, row - half) : row + half, max(0, column - half) : column + half] = 128
    assert np.array_equal(run("Cutout", pixels, half, at=(down, across)), expected)


NEUTRAL = {
    "Rotate": 0, "Posterize": 8, "Solarize": 256, "Color": 1, "Contrast": 1, "Brightness": 1, "Sharpness": 1,
    "ShearX": 0, "ShearY": 0, "TranslateX": 0, "TranslateY": 0, "Cutout": 0, "SolarizeAdd": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", NEUTRAL)
def test_no_strength_changes_nothing(name: str) -> None:
    assert np.array_equal(run(name, noise(), NEUTRAL[name]), noise())


@given(images, st.sampled_from(list(OPERATIONS)), st.floats(0, 30), st.booleans())
def test_any_operation_keeps_size_and_mode_and_its_input(
    pixels: Pixels, name: str, magnitude: float, negative: bool
) -> None:
    image = Image.fromarray(pixels)
    before = image.tobytes()
    op = operation(name, magnitude, REACH, negative=negative)
    result = augment_ops.apply(image, (op, op))
    assert (result.size, result.mode) == (image.size, "RGB")
    assert image.tobytes() == before
    assert result.tobytes() == augment_ops.apply(image, (op, op)).tobytes()


def test_operations_happen_in_order() -> None:
    image = Image.fromarray(noise())
    ops = (Op("Invert"), Op("Brightness", 0.5))
    assert augment_ops.apply(image, ops).tobytes() == augment_ops.brightness(augment_ops.invert(image), 0.5).tobytes()
    assert augment_ops.apply(image, ops) != augment_ops.apply(image, ops[::-1])
    assert augment_ops.apply(image, ()) is image


def test_other_modes_and_names_are_refused() -> None:
    with pytest.raises(InputError, match="mode L"):
        augment_ops.apply(Image.new("L", (4, 4)), (Op("Invert"),))
    with pytest.raises(UnknownNameError, match="did you mean Rotate"):
        augment_ops.apply(Image.new("RGB", (4, 4)), (Op("rotat"),))
    with pytest.raises(UnknownNameError, match="did you mean ShearX"):
        operation("SheerX", 5, REACH)

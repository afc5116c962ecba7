"""Random-resized crops: TensorFlow's boxes, cut and resized as Pillow would."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from effnet.data.crops import V1_CROP, V2_CROP, Box, RandomCrop, aligned, crop_resize, reduction
from effnet.errors import InputError

sides = st.integers(1, 700)


@st.composite
def random_crops(draw: st.DrawFn) -> RandomCrop:
    least = draw(st.floats(0.01, 1.0))
    flattest = draw(st.floats(0.2, 3.0))
    return RandomCrop(
        area=(least, draw(st.floats(least, 1.0))),
        ratio=(flattest, draw(st.floats(flattest, 5.0))),
        covered=draw(st.sampled_from([0.0, 0.1])),
        attempts=draw(st.integers(1, 5)),
    )


@given(random_crops(), sides, sides, st.integers(0, 2**32))
def test_a_box_is_inside_and_keeps_its_promises(crop: RandomCrop, width: int, height: int, seed: int) -> None:
    box = crop.draw(np.random.default_rng(seed), width, height)
    left, top, right, bottom = box.edges
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if box != Box(0, 0, width, height):
        assert crop.area[0] <= box.width * box.height / (width * height) <= crop.area[1]
        assert box.width * box.height >= crop.covered * width * height
        # The width is a whole number, so the ratio is off by half a pixel of width at most.
        assert crop.ratio[0] * box.height - 0.51 <= box.width <= crop.ratio[1] * box.height + 0.51


def test_the_same_numbers_give_the_same_box() -> None:
    boxes = [V2_CROP.draw(np.random.default_rng(5), 640, 480) for _ in range(2)]
    assert boxes[0] == boxes[1]


QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)

# 40,000 boxes of tf.image.sample_distorted_bounding_box in TensorFlow 2.12: quantiles of the share of the area, and of
# width / height.
TENSORFLOW = {
    "v1 500x375": (V1_CROP, 500, 375, (0.1375, 0.2072, 0.3535, 0.5392, 0.6925), (0.8117, 1.0438, 1.2745)),
    "v2 500x375": (V2_CROP, 500, 375, (0.0827, 0.1494, 0.3026, 0.5079, 0.6699), (0.8087, 1.0414, 1.2734)),
    "0.08-1 square": (RandomCrop(), 224, 224, (0.1193, 0.1953, 0.3634, 0.5861, 0.7464), (0.807, 1.0435, 1.2755)),
    "v2 900x150": (V2_CROP, 900, 150, (0.0579, 0.0725, 0.0999, 0.132, 0.1622), (0.8095, 1.0408, 1.2708)),
}


@pytest.mark.parametrize("case", TENSORFLOW.values(), ids=TENSORFLOW)
def test_boxes_are_distributed_as_in_tensorflow(
    case: tuple[RandomCrop, int, int, tuple[float, ...], tuple[float, ...]],
) -> None:
    crop, width, height, areas, ratios = case
    rng = np.random.default_rng(0)
    boxes = [crop.draw(rng, width, height) for _ in range(12_000)]
    shares = [box.width * box.height / (width * height) for box in boxes]
    assert np.quantile(shares, QUANTILES) == pytest.approx(areas, abs=0.015)
    assert np.quantile([box.width / box.height for box in boxes], (0.1, 0.5, 0.9)) == pytest.approx(ratios, abs=0.015)
    # TensorFlow draws the corner below side - box, so a box reaches the border only if it spans the side.
    assert all(box.left + box.width < width or box.width == width for box in boxes)
    assert all(box.top + box.height < height or box.height == height for box in boxes)


def test_v1_never_takes_less_than_a_tenth() -> None:
    rng = np.random.default_rng(1)
    assert min(b.width * b.height for b in (V1_CROP.draw(rng, 300, 200) for _ in range(3000))) >= 0.1 * 300 * 200


def test_the_whole_image_when_no_box_fits() -> None:
    # 1000 x 5 pixels at ratios up to 4/3 can hold at most 7 x 5 of them, less than 8 %.
    assert V1_CROP.draw(np.random.default_rng(0), 1000, 5) == Box(0, 0, 1000, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"area": (0.0, 1.0)},
        {"area": (0.5, 0.4)},
        {"area": (0.5, 1.1)},
        {"ratio": (0.0, 1.0)},
        {"ratio": (2.0, 1.0)},
        {"ratio": (1.0, float("nan"))},
        {"covered": -0.1},
        {"attempts": 0},
    ],
)
def test_impossible_ranges_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"RandomCrop: {next(iter(wrong))}"):
        RandomCrop(**wrong)  # type: ignore[arg-type]


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="0 x 5"):
        V1_CROP.draw(np.random.default_rng(0), 0, 5)


def photo(width: int, height: int) -> Image.Image:
    """Smooth, so that decoders and filters of different sharpness agree on it."""
    across, down = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 2, height))
    waves = [np.sin(across * 2 + down), np.cos(down * 3 - across), np.sin(across * down)]
    return Image.fromarray(((np.stack(waves, axis=2) + 1) * 127).astype(np.uint8))


@given(
    st.integers(8, 90),
    st.integers(8, 90),
    st.integers(1, 64),
    st.integers(0, 99),
    st.sampled_from(["bicubic", "bilinear"]),
)
def test_crop_and_resize_is_what_pillow_would_do_with_the_cut(
    width: int, height: int, size: int, seed: int, interpolation: str
) -> None:
    image = photo(width, height)
    box = V2_CROP.draw(np.random.default_rng(seed), width, height)
    result = crop_resize(image, box, size, interpolation)  # type: ignore[arg-type]
    assert result.size == (size, size)
    assert result.tobytes() == crop_resize(np.array(image), box, size, interpolation).tobytes()  # type: ignore[arg-type]
    expected = image.crop(box.edges).resize((size, size), getattr(Image.Resampling, interpolation.upper()))
    assert np.abs(np.asarray(result, int) - np.asarray(expected, int)).max() <= 3


def test_the_whole_image_at_its_own_size_is_itself() -> None:
    image = photo(64, 64)
    assert crop_resize(image, Box(0, 0, 64, 64), 64).tobytes() == image.tobytes()


@given(sides, sides, st.integers(1, 300), st.integers(0, 99))
def test_a_reduced_box_still_has_the_size_and_is_the_smallest_that_does(
    width: int, height: int, size: int, seed: int
) -> None:
    box = V2_CROP.draw(np.random.default_rng(seed), width, height)
    n = reduction(box, size)
    assert n in (1, 2, 4, 8)
    assert n == 1 or min(box.width, box.height) / n >= size
    assert n == 8 or min(box.width, box.height) / (2 * n) < size


@given(sides, sides, st.integers(1, 300), st.integers(0, 99))
def test_an_aligned_box_is_whole_pixels_of_the_reduced_image_and_near(
    width: int, height: int, size: int, seed: int
) -> None:
    drawn = V2_CROP.draw(np.random.default_rng(seed), width, height)
    box = aligned(drawn, size, width, height)
    n = reduction(drawn, size)
    assert n == reduction(box, size)
    assert box.left + box.width <= width
    assert box.top + box.height <= height
    if box != Box(0, 0, width, height):
        assert all(edge % n == 0 for edge in box.edges)
    assert all(abs(one - other) <= 1.5 * n for one, other in zip(box.edges, drawn.edges, strict=True))


@given(st.integers(16, 700), st.integers(16, 700), st.integers(0, 999), st.sampled_from([2, 4, 8, 1.37]))
def test_any_box_can_be_cut_from_a_smaller_image(width: int, height: int, seed: int, n: float) -> None:
    # Boxes that end at the border must not step over it by a rounding.
    smaller = Image.new("RGB", (math.ceil(width / n), math.ceil(height / n)))
    box = V2_CROP.draw(np.random.default_rng(seed), width, height)
    assert crop_resize(smaller, box, 8, of=(width, height)).size == (8, 8)
    assert crop_resize(smaller, Box(0, 0, width, height), 8, of=(width, height)).size == (8, 8)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_a_jpeg_decoded_smaller_gives_nearly_the_same_crop(n: int) -> None:
    full = photo(801, 603)
    stream = io.BytesIO()
    full.save(stream, "JPEG", quality=95)
    smaller = Image.open(stream)
    smaller.draft("RGB", (801 // n, 603 // n))
    assert smaller.size == (-(-801 // n), -(-603 // n))
    box = aligned(Box(101, 57, 448, 512), 448 // n, *full.size)
    reduced = np.asarray(crop_resize(smaller.convert("RGB"), box, 56, of=full.size), dtype=int)
    whole = np.asarray(crop_resize(full, box, 56), dtype=int)
    # The right and lower edges of the crop are where a wrong scale would show.
    assert np.abs(reduced - whole).mean() < 1.0
    assert np.abs(reduced - whole)[-8:, -8:].mean() < 2.0


def test_a_box_on_an_image_of_another_scale_keeps_its_place() -> None:
    full, half_as_wide = photo(400, 300), photo(200, 300)
    box = Box(120, 90, 200, 150)
    stretched = np.asarray(crop_resize(half_as_wide, box, 50, of=full.size), dtype=int)
    assert np.abs(stretched - np.asarray(crop_resize(full, box, 50), dtype=int)).mean() < 1.0

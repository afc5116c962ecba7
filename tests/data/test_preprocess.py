"""Applying a Preprocess, against a plain reading of torchvision's Resize, CenterCrop and Normalize."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from effnet.data.preprocess import to_array, to_batch, to_pixels
from effnet.errors import InputError
from effnet.preprocessing import Preprocess


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width + height).integers(0, 255, (height, width, 3)).astype(np.uint8))


def reference(image: Image.Image, resize: int, size: int, filters: Image.Resampling) -> np.ndarray:
    """torchvision 0.28 `_compute_resized_output_size` and `center_crop`, restated."""
    short, long = min(image.size), max(image.size)
    new_long = int(resize * long / short)
    wide, high = (resize, new_long) if image.size[0] <= image.size[1] else (new_long, resize)
    resized = image.resize((wide, high), filters)
    top, left = round((high - size) / 2.0), round((wide - size) / 2.0)
    return np.asarray(resized)[top : top + size, left : left + size]


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (256, 256), (255, 1000), (64, 48), (33, 257)])
@pytest.mark.parametrize(("size", "crop"), [(224, 0.875), (240, 240 / 255), (65, 1.0)])
@pytest.mark.parametrize("filters", ["bicubic", "bilinear"])
def test_pixels_are_torchvisions(shape: tuple[int, int], size: int, crop: float, filters: str) -> None:
    preprocess = Preprocess(size=size, crop=crop, interpolation=filters)  # type: ignore[arg-type]
    image = noise(*shape)
    kind = Image.Resampling[filters.upper()]
    assert np.array_equal(to_pixels(image, preprocess), reference(image, preprocess.resize_to, size, kind))


@settings(max_examples=40)
@given(width=st.integers(1, 300), height=st.integers(1, 300), size=st.integers(1, 64), crop=st.floats(0.5, 1))
def test_any_shape_is_torchvisions(width: int, height: int, size: int, crop: float) -> None:
    preprocess = Preprocess(size=size, crop=crop)
    image = noise(width, height)
    expected = reference(image, preprocess.resize_to, size, Image.Resampling.BICUBIC)
    assert np.array_equal(to_pixels(image, preprocess), expected)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (3, 9000)])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_a_line_of_pixels_does_not_ask_for_gigabytes(
    size: tuple[int, int], fit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 x 60,000 would be resized to 256 x 15,360,000 before the crop: 16 GB for a file of 200 bytes."""
    resize = Image.Image.resize

    def modest(image: Image.Image, to: tuple[int, int], *args: object, **options: object) -> Image.Image:
        assert to[0] * to[1] <= 1 << 24
        return resize(image, to, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", modest)
    pixels = to_pixels(Image.new("RGB", size, (10, 200, 30)), Preprocess(fit=fit))  # type: ignore[arg-type]
    assert pixels.shape == (224, 224, 3)
    assert (pixels[111, 111] == (10, 200, 30)).all()


def test_long_images_are_cut_at_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounded way and the exact one see the same pixels, up to rounding and overshoot."""
    smooth = np.asarray(noise(4, 50).resize((80, 1000), Image.Resampling.BICUBIC))
    image, preprocess = Image.fromarray(smooth), Preprocess(size=56)
    exact = to_pixels(image, preprocess)
    monkeypatch.setattr("effnet.data.preprocess._MOST_RESIZED", 0)
    bounded = to_pixels(image, preprocess)
    assert np.abs(exact.astype(int) - bounded).max() <= 2
    turned = image.transpose(Image.Transpose.TRANSPOSE)
    assert np.abs(to_pixels(turned, preprocess).astype(int) - exact.transpose(1, 0, 2)).max() <= 2


def test_squash_keeps_everything() -> None:
    preprocess = Preprocess(size=32, crop=1.0, fit="squash")
    image = noise(100, 40)
    assert np.array_equal(to_pixels(image, preprocess), np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC)))


def test_squash_with_a_crop_cuts_the_squashed_image() -> None:
    preprocess = Preprocess(size=300, crop=300 / 333, fit="squash")
    image = noise(400, 350)
    squashed = np.asarray(image.resize((333, 333), Image.Resampling.BICUBIC))
    assert np.array_equal(to_pixels(image, preprocess), squashed[16:316, 16:316])


def test_pad_keeps_everything_and_fills_with_the_mean() -> None:
    preprocess = Preprocess(size=40, fit="pad", mean=(0.2, 0.4, 0.6), std=(0.5,) * 3)
    pixels = to_pixels(Image.new("RGB", (80, 40), "white"), preprocess)
    assert pixels.shape == (40, 40, 3)
    assert (pixels[0, 0] == (51, 102, 153)).all()
    assert (pixels[20] == 255).all()


def test_batch_is_normalised_per_channel() -> None:
    preprocess = Preprocess(size=8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    pixels = [np.asarray(noise(8, 8)), np.asarray(noise(8, 8).rotate(90))]
    batch = to_batch(pixels, preprocess)
    assert (batch.shape, batch.dtype) == ((2, 3, 8, 8), torch.float32)
    for n in range(2):
        for c in range(3):
            expected = (pixels[n][..., c] / 255 - preprocess.mean[c]) / preprocess.std[c]
            np.testing.assert_allclose(batch[n, c].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_batches_bit_for_bit_without_torch(channels: int) -> None:
    preprocess = Preprocess(size=8, mean=(0.485, 0.456, 0.406)[:channels], std=(0.229, 0.224, 0.225)[:channels])
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(channels, axis=2)  # every value a pixel can have
    pixels = [every, every[::-1], every.transpose(1, 0, 2)]  # strided ones too
    array, batch = to_array(pixels, preprocess), to_batch(pixels, preprocess)
    assert (array.shape, array.dtype) == ((3, channels, 16, 16), np.float32)
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, batch.numpy())
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (preprocess.mean, preprocess.std))
    byte = torch.from_numpy(every).permute(2, 0, 1).float()
    torch.testing.assert_close(batch[0], (byte / 255 - mean) / std, atol=1e-5, rtol=1e-5)


def test_batches_are_channels_last() -> None:
    batch = to_batch([np.zeros((6, 4, 3), np.uint8)] * 2, Preprocess())
    assert batch.shape == (2, 3, 6, 4)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_batches_do_not_share_memory_with_their_pixels() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    batch = to_batch([pixels], Preprocess())
    pixels[:] = 255
    assert (batch < 0).all()


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_one_mean_makes_grey(fit: str) -> None:
    preprocess = Preprocess(size=8, mean=(0.5,), std=(0.25,), fit=fit)  # type: ignore[arg-type]
    pixels = to_pixels(Image.new("RGB", (20, 10), (0, 255, 0)), preprocess)
    assert pixels.shape == (8, 8, 1)
    assert pixels[4, 4, 0] == 150, "0.587 of 255"
    assert to_batch([pixels], preprocess).shape == (1, 1, 8, 8)


def test_other_channel_counts_are_refused() -> None:
    with pytest.raises(InputError, match="4 channels"):
        to_pixels(noise(8, 8), Preprocess(size=8, mean=(0.5,) * 4, std=(0.5,) * 4))


@pytest.mark.parametrize(
    "pixels",
    [
        [],
        [np.zeros((8, 8, 1), np.uint8)],
        [np.zeros((8, 8), np.uint8)],
        [np.zeros((8, 8, 3), np.float32)],
        [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)],
    ],
)
def test_pixels_that_do_not_fit(pixels: list[np.ndarray]) -> None:
    for stack in (to_batch, to_array):
        with pytest.raises(InputError, match="Fix:"):
            stack(pixels, Preprocess())


def test_one_channel() -> None:
    preprocess = Preprocess(size=8, mean=(0.5,), std=(0.25,))
    batch = to_batch([np.full((8, 8, 1), 255, np.uint8)], preprocess)
    assert batch.shape == (1, 1, 8, 8)
    assert torch.allclose(batch, torch.tensor(2.0))

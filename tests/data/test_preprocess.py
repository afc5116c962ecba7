"""Applying a Preprocess, against a plain reading of torchvision's Resize, CenterCrop and Normalize."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from effnet.data.preprocess import to_batch, to_pixels
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


def test_one_channel() -> None:
    preprocess = Preprocess(size=8, mean=(0.5,), std=(0.25,))
    batch = to_batch([np.full((8, 8, 1), 255, np.uint8)], preprocess)
    assert batch.shape == (1, 1, 8, 8)
    assert torch.allclose(batch, torch.tensor(2.0))

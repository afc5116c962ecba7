"""Maps laid over the images that they are of."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from effnet.data.preprocess import to_pixels
from effnet.errors import InputError
from effnet.inference.explain import overlay, overlay_png
from effnet.inference.explain.colours import spread
from effnet.preprocessing import Preprocess, place
from tests.tiny import tiny_network

PREPROCESSES = st.builds(
    Preprocess,
    size=st.integers(16, 64),
    crop=st.floats(0.5, 1.0),
    fit=st.sampled_from(["crop", "squash", "pad"]),
    interpolation=st.just("bilinear"),
)


@given(preprocess=PREPROCESSES, width=st.integers(40, 160), height=st.integers(40, 160))
@settings(max_examples=40)
def test_a_map_lands_where_the_network_saw_it(preprocess: Preprocess, width: int, height: int) -> None:
    """What the network sees as (x, y), put back on the image, lies at (x, y) of the image."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    ramps = np.stack([255 * x / width, 255 * y / height, np.zeros_like(x)], 2)
    seen = to_pixels(Image.fromarray(ramps.astype(np.uint8)), preprocess)  # what the network gets
    window = place(preprocess, width, height).window
    for channel, truth in ((0, x / width), (1, y / height)):
        back = spread(seen[..., channel].astype(np.float32) / 255, (width, height), window)
        # Away from the crop's border, where interpolation has nothing beyond to lean on.
        left, top, right, bottom = window
        margin = 2 * max(right - left, bottom - top) / preprocess.size + 1
        inside = (x > left + margin) & (x < right - margin) & (y > top + margin) & (y < bottom - margin)
        inside &= (x > margin) & (x < width - margin) & (y > margin) & (y < height - margin)
        assert np.abs(back - truth)[inside].max(initial=0) < 0.5 / preprocess.size + 2 / 255


def test_what_was_cropped_away_is_dark_and_grey() -> None:
    image = Image.new("RGB", (80, 40), (200, 60, 60))
    window = place(Preprocess(size=32, crop=1.0), 80, 40).window
    assert window == (20.0, 0.0, 60.0, 40.0)
    pixels = np.asarray(overlay(image, torch.rand(4, 4), window=window), int)
    for outside in (pixels[:, :20], pixels[:, 60:]):
        assert np.ptp(outside, axis=2).max() == 0
        assert outside.max() < 40
    assert np.ptp(pixels[:, 20:60], axis=2).min() > 0
    padded = place(Preprocess(size=32, fit="pad"), 80, 40).window  # reaches above and below the image
    whole = np.asarray(overlay(image, torch.ones(4, 4), window=padded), int)
    assert padded == (0.0, -20.0, 80.0, 60.0)
    assert np.ptp(whole[..., 0]) == 0  # all of it was seen


def test_one_bright_cell_is_bright_at_its_place_only() -> None:
    heat = torch.zeros(4, 4)
    heat[1, 2] = 1
    pixels = np.asarray(overlay(Image.new("RGB", (100, 60)), heat, window=(10.0, 0.0, 70.0, 60.0)), float).sum(2)
    row, column = np.unravel_index(pixels.argmax(), pixels.shape)
    assert abs(column - (10 + 2.5 * 15)) <= 2 and abs(row - 1.5 * 15) <= 2


def test_large_images_are_made_smaller_with_their_window() -> None:
    image = Image.new("RGB", (400, 200), (90, 90, 90))
    heat = torch.zeros(2, 2)
    heat[:, 1] = 1
    window = (100.0, 0.0, 300.0, 200.0)
    small = overlay(image, heat, window=window, longest=100)
    large = overlay(image, heat, window=window).resize((100, 50), Image.Resampling.BOX)
    assert small.size == (100, 50)
    assert np.abs(np.asarray(small, float) - np.asarray(large, float)).mean() < 3


@pytest.mark.parametrize("channels", [1, 3])
def test_a_page_gets_a_png_of_the_whole_image(channels: int) -> None:
    network = tiny_network(in_channels=channels)
    generator = np.random.default_rng(0)
    photo = Image.fromarray(generator.integers(0, 256, (45, 70, 3), dtype=np.uint8))
    png = overlay_png(network, photo, 2, method="hirescam")
    picture = Image.open(io.BytesIO(png))
    assert (picture.format, picture.size, picture.mode) == ("PNG", (70, 45), "RGB")
    assert overlay_png(network, photo, 2, method="hirescam") == png
    assert overlay_png(network, photo, 3, method="hirescam") != png
    assert Image.open(io.BytesIO(overlay_png(network, photo.convert("L"), longest=35))).size == (35, 22)


def test_a_network_without_preprocessing_is_refused() -> None:
    network = tiny_network()
    network.preprocess = None
    with pytest.raises(InputError, match="Preprocess"):
        overlay_png(network, Image.new("RGB", (8, 8)))
    with pytest.raises(InputError, match="classes"):
        overlay_png(tiny_network(), Image.new("RGB", (8, 8)), 7)

"""Photographs for the predictor, and a network for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effnet.nn import Network
from tests.tiny import tiny_network


@pytest.fixture
def network() -> Network:
    return tiny_network()


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Twenty different images in several formats, sizes and modes."""
    generator = np.random.default_rng(0)
    paths = []
    for number in range(20):
        height, width = generator.integers(20, 90, 2)
        colours = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(colours).resize((int(width), int(height)), Image.Resampling.BILINEAR)
        path = tmp_path / f"{number:02}{('.png', '.jpg', '.webp')[number % 3]}"
        (image.convert("L") if number % 5 == 4 else image).save(path)
        paths.append(path)
    return paths

"""A handful of images that a tiny network can learn from at once, as bytes in memory."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from effnet.data.source import Dataset

CLASSES = ("blue", "green", "red")


class Colours:
    """Noisy images of one colour each; the colour is the class."""

    def __init__(self, count: int, *, seed: int = 0, side: int = 24) -> None:
        rng = np.random.default_rng(seed)
        self.classes = CLASSES
        self.labels = np.arange(count, dtype=np.int64) % len(CLASSES)
        self._files = []
        for label in self.labels:
            pixels = rng.integers(0, 120, (side, side, 3), dtype=np.uint8)
            pixels[..., 2 - label] += 120
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            self._files.append(file.getvalue())

    def __len__(self) -> int:
        return len(self._files)

    def read(self, index: int) -> bytes:
        return self._files[index]

    def name(self, index: int) -> str:
        return f"{self.classes[self.labels[index]]}/{index:03}.png"


def colours(train: int = 22, val: int = 9) -> Dataset:
    return Dataset("colours", Colours(train), Colours(val, seed=1))

"""A classifier for tests of the server: the class is the channel that is brightest, its time is chosen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from effnet.deploy.server.model import ServedModel
from effnet.inference.prediction import Score
from effnet.preprocessing import Preprocess


@dataclass
class Brightest:
    seconds: float = 0.0
    preprocess: Preprocess = field(default_factory=lambda: Preprocess(size=32))
    labels: tuple[str, ...] | None = ("red", "green", "blue")
    batches: list[int] = field(default_factory=list)

    def classify(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.batches.append(len(pixels))
        time.sleep(self.seconds * len(pixels))
        return np.stack(pixels).astype(np.float32).mean(axis=(1, 2)) / 32  # (N, size, size, 3) -> (N, 3)

    def name(self, logits: NDArray[np.float32], top: int) -> Iterator[tuple[Score, ...]]:
        for row in logits:
            shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
            best = np.argsort(-shares, kind="stable")[:top].tolist()
            yield tuple(
                Score(index=i, label=self.labels[i] if self.labels else f"class {i}", probability=float(shares[i]))
                for i in best
            )


def tiny(name: str = "tiny", seconds: float = 0.0) -> ServedModel:
    return ServedModel(name=name, classes=3, classifier=Brightest(seconds=seconds), settings={"engine": "test"})

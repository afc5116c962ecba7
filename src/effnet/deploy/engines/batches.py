"""Batches as callers have them, and as a graph takes them: checked, and cut where the graph has a fixed batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from effnet.deploy.engines.engine import Batch, Engine, Logits, Setting
from effnet.deploy.manifest import Manifest
from effnet.errors import InputError


class CheckedEngine:
    """An engine that takes any number of images and says what is wrong with those it cannot take.

    A graph with a fixed batch gets its images in pieces of that size, the last filled up with copies of its first.
    """

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        self._engine = engine
        self._manifest = manifest

    @property
    def name(self) -> str:
        """Name of the runtime."""
        return self._engine.name

    @property
    def threads(self) -> int:
        """CPU threads for one batch."""
        return self._engine.threads

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What was chosen for the runtime."""
        return self._engine.settings

    def run(self, batch: Batch) -> Logits:
        """Compute a batch; as `Engine.run`."""
        wanted, shape = self._manifest.input_shape[1:], batch.shape
        if batch.dtype.name != self._manifest.input_dtype or shape[1:] != wanted or not len(batch):
            what = f"images are {batch.dtype.name} {shape}, the graph takes {self._manifest.input_dtype} (N, "
            text = what + ", ".join(str(side) for side in wanted) + ")"
            raise InputError(text, where=self._manifest.name, fix="prepare them as the manifest's preprocess says")
        size = self._manifest.batch
        if size is None or size == len(batch):
            whole: Batch = np.ascontiguousarray(batch)  # type: ignore[assignment]  # numpy forgets which of the two
            return self._engine.run(whole)
        pieces = [self._piece(batch, start, size) for start in range(0, len(batch), size)]
        return np.concatenate(pieces)

    def _piece(self, batch: Batch, start: int, size: int) -> Logits:
        images = min(size, len(batch) - start)
        rows = np.r_[start : start + images, [start] * (size - images)].astype(np.intp)
        piece: Batch = batch.take(rows, axis=0)
        return self._engine.run(piece)[:images]

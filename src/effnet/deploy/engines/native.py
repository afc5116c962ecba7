"""Our own engine (`effnet.deploy.native`): compiled for this processor, every loop with the network's own sizes."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from effnet.data.preprocess import affine
from effnet.deploy.engines.engine import Batch, Logits, Setting
from effnet.deploy.manifest import Manifest
from effnet.deploy.native.compiling import library
from effnet.deploy.native.layout import layout
from effnet.deploy.native.library import Library
from effnet.deploy.native.packing import pack
from effnet.deploy.native.payload import read
from effnet.deploy.native.plan import FeatureMap
from effnet.errors import WeightsError

_SPINS = 20_000
"""Looks for work before an idle thread sleeps: about half a millisecond, the pause between two images of a stream."""


class NativeEngine:
    """A network in the compiled loops."""

    name = "native"

    def __init__(self, manifest: Manifest, payload: Mapping[str, bytes], threads: int) -> None:
        self.threads = threads
        self._manifest = manifest
        self.plan, tensors = read(payload)
        size, channels = manifest.preprocess.size, manifest.spec.in_channels
        first, last = self.plan.maps[0], self.plan.maps[-1]
        if first != FeatureMap(channels=channels, height=size, width=size) or last.channels != manifest.spec.classes:
            raise WeightsError("its plan is for other images or classes", where=manifest.name, fix="export it again")
        compiled = Library(library())
        placed = layout(self.plan, compiled.vectors)
        self._opened = compiled.open(placed, pack(placed, tensors), threads, _SPINS)
        self._lock = threading.Lock()  # its memory holds one batch
        self._normalise = np.concatenate(affine(manifest.preprocess)) if manifest.preprocessing_in_graph else None
        self.settings: Mapping[str, Setting] = {
            "vectors": f"{compiled.vectors.lanes} floats, {compiled.vectors.registers} registers",
            "threads": threads,
            "winograd": sum(tile.winograd > 0 for tile in placed.tiles),
            "joined": sum(tile.joined for tile in placed.tiles),
            "memory_mb": round(placed.floats * 4 / 1e6, 1),
        }

    def run(self, batch: Batch) -> Logits:
        """Compute a batch; as `Engine.run`."""
        with self._lock:
            return self._opened.run(batch, self._normalise)

    def seconds_of_steps(self) -> list[float]:
        """Return the seconds of each step of `plan` on the last image; of two joined steps the second has both."""
        with self._lock:
            return [float(seconds) for seconds in self._opened.profile()]


def open_graph(manifest: Manifest, payload: Mapping[str, bytes], threads: int) -> NativeEngine:
    """Return the engine for a bundle of the native format.

    Raises:
        MissingDependencyError: there is no C++ compiler, which is needed once.
        WeightsError: the bundle is damaged.
        InputError: the memory does not suffice.
    """
    return NativeEngine(manifest, payload, threads)

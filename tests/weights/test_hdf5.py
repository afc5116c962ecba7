"""Hostile HDF5 files are refused before they cost time or memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from effnet.errors import WeightsError
from effnet.weights.reading import read

h5py = pytest.importorskip("h5py")


def test_deep_nesting(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        group = file
        for _ in range(200):
            group = group.create_group("g")
        group.create_dataset("x", data=[1.0])
    with pytest.raises(WeightsError, match="nests deeper"):
        read(tmp_path / "w.h5")


def test_countless_chunks(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("x", shape=(20_000,), dtype=np.float32, chunks=(1,), fillvalue=0.0)
        file.create_dataset("pad", data=np.zeros(1000, np.float32))
    with pytest.raises(WeightsError, match="too many pieces"):
        read(tmp_path / "w.h5")

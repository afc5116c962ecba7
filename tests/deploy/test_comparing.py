"""Bundles stand in a comparison beside the networks that they came from, and are measured with them in turns."""

from __future__ import annotations

from pathlib import Path

import pytest

import effnet
from effnet.deploy.bundle import write_bundle
from effnet.deploy.comparing import bundle_runner
from effnet.errors import WeightsError
from effnet.inference.comparing import measurer
from tests.deploy.exported import tiny_bundle


@pytest.mark.parametrize(("batch", "pixels"), [(None, False), (1, True)])
def test_a_bundle_is_compared_and_measured(tmp_path: Path, batch: int | None, pixels: bool) -> None:
    pytest.importorskip("onnxruntime")
    made = tiny_bundle(batch=batch, pixels=pixels)
    file = write_bundle(made, tmp_path / "tiny.onnx")
    watch = measurer(batch=2, rounds=3, threads=1, device="cpu", bundles=bundle_runner)
    (bundle, spec) = effnet.compare(file, made.manifest.spec, measure=watch).subjects
    assert (bundle.kind, bundle.file_bytes, bundle.file_exact) == ("bundle", file.stat().st_size, True)
    assert bundle.params == spec.params
    assert bundle.measured is not None
    assert bundle.measured.latency_ms > 0
    assert bundle.measured.batch == (2 if batch is None else 1), "one that was made for single images is timed so"
    assert spec.measured is not None


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    file = write_bundle(tiny_bundle(), tmp_path / "tiny.onnx")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(WeightsError):
        effnet.compare(file)

"""A bundle as the server's model: in the graph fitted to this processor where there is one, else as it was exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from effnet.deploy.bundle import write_bundle
from effnet.deploy.engines import open_engine
from effnet.deploy.predictor import BundlePredictor
from effnet.deploy.server.bundles import open_served
from effnet.errors import WeightsError
from tests.deploy.exported import tiny_bundle


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_bundle(tiny_bundle(), tmp_path / "tiny.onnx")


def grey(count: int) -> list[np.ndarray]:
    return [np.full((32, 32, 3), 60 * number, np.uint8) for number in range(count)]


def test_single_images_run_in_the_tuned_graph(path: Path) -> None:
    served = open_served(path, threads=1)
    if open_engine(tiny_bundle(), "onnxruntime", 1, tune=True).settings["graph"] == "as exported":
        pytest.skip("this processor's graphs are not in blocks")
    assert "tuned" in str(served.settings["graph"])
    plain = BundlePredictor(path, engine=open_engine(tiny_bundle(), "onnxruntime", 1, tune=False))
    for count in (1, 3):
        got, wanted = served.classifier.classify(grey(count)), plain.classify(grey(count))
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_a_manifest_that_lies_is_refused_although_its_graph_is_tuned(path: Path, tmp_path: Path) -> None:
    open_served(path, threads=1)
    lying = write_bundle(tiny_bundle(input_name="pictures"), tmp_path / "lying.onnx")
    with pytest.raises(WeightsError, match="manifest says from pictures"):
        open_served(lying, threads=1)


def test_where_nothing_can_be_kept_it_is_served_as_exported(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "file"))
    served = open_served(path, threads=1)
    assert served.settings["graph"] == "as exported"
    assert served.classifier.classify(grey(2)).shape == (2, 7)


@pytest.mark.parametrize("spinning", [True, False])
def test_spinning_is_what_was_asked_for(path: Path, spinning: bool) -> None:
    served = open_served(path, threads=2, spinning=spinning)
    assert served.settings["spinning"] is spinning
    assert served.classifier.classify(grey(2)).shape == (2, 7)

"""A bundle predicts as the model file does, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

import effnet
from effnet.deploy.bundle import Bundle, write_bundle
from effnet.deploy.engines import Engine
from effnet.deploy.predictor import BundlePredictor
from effnet.errors import ImageError, InputError, UnknownNameError, WeightsError
from effnet.inference.prediction import Prediction
from effnet.inference.predictor import Predictor
from tests.deploy.bundles import SPEC, manifest
from tests.deploy.exported import tiny_bundle
from tests.tiny import LABELS, save_tiny_model


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve different images in every format that is read."""
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    paths = []
    for number, ending in enumerate(["png", "jpg", "webp", "bmp", "gif", "tiff"] * 2):
        height, width = generator.integers(20, 90, 2)
        colours = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        path = folder / f"{number:02}.{ending}"
        Image.fromarray(colours).resize((int(width), int(height)), Image.Resampling.BILINEAR).save(path)
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model file, and bundles of the same network."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "model": save_tiny_model(folder / "tiny.safetensors"),
        "bundle": write_bundle(tiny_bundle(), folder / "tiny.onnx"),
        "fixed": write_bundle(tiny_bundle(batch=4), folder / "fixed.onnx"),
        "pixels": write_bundle(tiny_bundle(pixels=True), folder / "pixels.onnx"),
    }


def assert_same(one: Prediction, other: Prediction) -> None:
    assert one.source == other.source
    assert [score.index for score in one.scores] == [score.index for score in other.scores]
    assert [score.label for score in one.scores] == [score.label for score in other.scores]
    for mine, theirs in zip(one.scores, other.scores, strict=True):
        assert mine.probability == pytest.approx(theirs.probability, abs=1e-5)


@pytest.mark.parametrize("kind", ["bundle", "fixed", "pixels"])
@pytest.mark.parametrize("batch", [None, 1, 5])
def test_a_bundle_names_the_same_classes_as_its_model_file(
    files: dict[str, Path], photographs: list[Path], kind: str, batch: int | None
) -> None:
    model, bundle = effnet.load(files["model"], device="cpu"), effnet.load(files[kind], batch=batch, threads=1)
    assert isinstance(model, Predictor) and isinstance(bundle, BundlePredictor)
    assert bundle.labels == LABELS
    for mine, theirs in zip(bundle.predict(photographs), model.predict(photographs), strict=True):
        assert_same(mine, theirs)


def test_the_temperature_counts(photographs: list[Path]) -> None:
    cold = BundlePredictor(tiny_bundle(), threads=1).predict(photographs[0])
    warm = BundlePredictor(tiny_bundle(temperature=3.0), threads=1).predict(photographs[0])
    assert warm.best.index == cold.best.index
    assert warm.best.probability < cold.best.probability


def test_a_bad_image_costs_only_itself(files: dict[str, Path], photographs: list[Path]) -> None:
    model = effnet.load(files["bundle"], threads=1)
    good, bad, last = model.predict([photographs[0], b"nonsense", photographs[1]])
    assert isinstance(bad.error, ImageError)
    assert good.scores and last.scores and not bad.scores


def test_prepare_and_logits_are_the_same_way_in_parts(files: dict[str, Path], photographs: list[Path]) -> None:
    for kind in ("bundle", "pixels"):
        model = effnet.load(files[kind], threads=1)
        assert isinstance(model, BundlePredictor)
        logits = model.logits(model.prepare(photographs[:3]))
        assert [row.argmax() for row in logits] == [p.best.index for p in model.predict(photographs[:3])]
        with pytest.raises(InputError, match="no images"):
            model.prepare([])


def test_a_bundle_runs_on_the_cpu_at_its_own_size(files: dict[str, Path]) -> None:
    assert effnet.load(files["bundle"], device="cpu", size=32).preprocess.size == 32
    with pytest.raises(InputError, match="run on the cpu"):
        effnet.load(files["bundle"], device="cuda")
    with pytest.raises(InputError, match="made for 32 px, not 64"):
        effnet.load(files["bundle"], size=64)
    with pytest.raises(UnknownNameError, match="unknown engine"):
        effnet.load(files["bundle"], engine="nonsense")
    with pytest.raises(InputError, match="export the model first"):
        effnet.load(files["model"], engine="onnxruntime")


def run(*arguments: str | Path, probe: str = "") -> subprocess.CompletedProcess[str]:
    code = f"""
import sys
from effnet.cli import main
try:
    main(sys.argv[1:])
finally:
    {probe or "pass"}
"""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_command_line_gives_the_same_answers(files: dict[str, Path], photographs: list[Path]) -> None:
    answers = []
    for kind in ("model", "bundle"):
        done = run("predict", files[kind], *photographs, "--json", "--threads", "1")
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    for mine, theirs in zip(*answers, strict=True):
        assert mine["source"] == theirs["source"]
        assert [c["index"] for c in mine["predictions"]] == [c["index"] for c in theirs["predictions"]]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_predicting_with_an_onnx_bundle_never_imports_torch(
    files: dict[str, Path], photographs: list[Path], engine: str
) -> None:
    pytest.importorskip(engine)
    # A torch that cannot be imported: whoever tries gets an error, and so does this test.
    probe = "assert 'torch' not in sys.modules and 'safetensors' not in sys.modules"
    done = run("predict", files["bundle"], photographs[0], "--json", "--engine", engine, probe=probe)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["predictions"][0]["label"] in LABELS


class _Engine:
    """Says the same of every image, in as many numbers as it likes."""

    name, settings = "made here", ""

    def __init__(self, outputs: int) -> None:
        self._outputs = outputs

    def run(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.zeros((len(images), self._outputs), np.float32)


@pytest.mark.parametrize("outputs", [1, 6, 8])
def test_a_graph_with_other_outputs_than_its_manifest_is_refused(photographs: list[Path], outputs: int) -> None:
    model = BundlePredictor(tiny_bundle(), engine=cast(Engine, _Engine(outputs)))
    with pytest.raises(WeightsError, match=rf"\(1, {outputs}\) for 1 images.*7 classes"):
        model.predict(photographs[0])


def test_a_bundle_with_one_output_is_refused() -> None:
    described = manifest(spec=SPEC.replace(classes=1), labels=None)
    bundle = Bundle(manifest=described, certificate=None, payload={"model.onnx": b""})
    with pytest.raises(InputError, match="one output"):
        BundlePredictor(bundle)

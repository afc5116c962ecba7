"""`effnet explain`: pictures, pages and figures of what a model looked at."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effnet.cli import main
from effnet.weights import modelfile
from tests.tiny import LABELS, save_tiny_model


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["explain", *map(str, arguments)])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "tiny.safetensors")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        Image.fromarray(generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_a_picture_is_written_where_one_works(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, model, photos, "--top", 2)
    assert status == 0
    assert "wrote explanation.png" in out
    with Image.open("explanation.png") as picture:
        assert picture.format == "PNG"
    assert [out.count(name) for name in ("a.png", "b.jpg")] == [2, 2]


def test_json_has_the_maps_and_writes_nothing_unasked(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, model, photos / "a.png", "--json", "--class", "bee", "--classes", "4", "--check")
    assert status == 0
    rows = json.loads(out)
    assert [row["label"] for row in rows] == ["bee", LABELS[4]]
    assert np.array(rows[0]["map"]).shape == (16, 16)
    assert len(rows[0]["check"]["occlusion"]) == 7
    assert not Path("explanation.png").exists()


def test_models_stand_side_by_side_on_one_page(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, tmp_path: Path
) -> None:
    other = save_tiny_model(tmp_path / "other.safetensors", gain=0.1)
    page = tmp_path / "page.html"
    status, out, _ = run(capsys, model, photos, "--beside", other, "-o", page, "--method", "hirescam", "--stage", "2")
    assert status == 0 and f"wrote {page}" in out
    text = page.read_text("utf-8")
    assert text.count("data:image/jpeg") == 2 * (1 + 2)
    assert "hirescam, stage 2" in text


def test_an_image_that_cannot_be_read_costs_only_itself(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "broken.png").write_bytes(b"\x89PNG nothing")
    status, out, err = run(capsys, model, photos, "-o", tmp_path / "x.jpg")
    assert status == 1
    assert "broken.png" in err and "a.png" in out and "b.jpg" in out
    assert (tmp_path / "x.jpg").exists()
    status, out, err = run(capsys, model, photos / "broken.png", "-o", tmp_path / "y.jpg")
    assert (status, (tmp_path / "y.jpg").exists()) == (1, False)
    assert "Traceback" not in err


def test_a_bundle_is_explained_by_covering(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    bundle = tmp_path / "tiny.onnx"
    with pytest.raises(SystemExit) as stop:
        main(["export", str(model), "--output", str(bundle)])
    assert stop.value.code == 0
    capsys.readouterr()
    status, out, _ = run(capsys, bundle, photos / "a.png", "--method", "occlusion", "--json", "--class", "bee")
    assert status == 0
    covered = json.loads(out)[0]
    status, out, _ = run(capsys, model, photos / "a.png", "--method", "occlusion", "--json", "--class", "bee")
    np.testing.assert_allclose(covered["map"], json.loads(out)[0]["map"], atol=0.15)  # the mean is rounded to a level
    status, out, err = run(capsys, bundle, photos / "a.png")
    assert (status, out) == (2, "") and "occlusion" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--method", "gradcam++"),
        ("--stage", "9"),
        ("--class", "whale"),
        ("--method", "cam", "--stage", "stem"),
        ("-o", "picture.gif"),
        ("--beside", "no-such-model"),
    ],
)
def test_wrong_requests_end_in_one_line(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, arguments: tuple[str, ...]
) -> None:
    status, out, err = run(capsys, model, photos / "a.png", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("effnet: ") and "Fix: " in err and err.count("\n") == 1


def test_checks_have_a_legend_and_fit_a_terminal_of_80_columns(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "a.png").rename(photos / f"{'long' * 20}.png")
    file = modelfile.load(model)
    spec = dataclasses.replace(file.spec, name="another_network_of_a_long_name")
    changes = {"spec": spec, "labels": tuple(f"a kind of {label} with a long name" for label in LABELS)}
    other = modelfile.save(tmp_path / "other.safetensors", dataclasses.replace(file, **changes))
    status, out, _ = run(capsys, model, photos, "--check", "--beside", other, "-o", tmp_path / "x.png")
    assert status == 0
    long = [line for line in out.splitlines() if len(line) > 80 and not line.startswith("wrote")]
    assert not long, "\n".join(long)
    for word in ("covering", "deletion", "insertion", "no weights"):
        assert sum(line.startswith(word) for line in out.splitlines()) == 1
    assert out.count("/4  ") == 4


def test_a_forced_size_warns_once_for_all_models(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path, tmp_path: Path
) -> None:
    status, _, err = run(capsys, model, photos, "--beside", model, "--size", "40", "-o", tmp_path / "x.png")
    assert status == 0
    assert err.count("effnet: warning: 40 px") == 1

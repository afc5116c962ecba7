"""`effnet export`: what it writes, prints and returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from effnet.cli import main
from effnet.deploy.bundle import is_bundle
from tests.tiny import save_tiny_model


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save_tiny_model(tmp_path / "tiny.safetensors")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["export", *map(str, arguments), "--threads", "1"])
    return int(stop.value.code or 0)


def test_the_file_is_named_after_the_model_and_the_certificate_is_shown(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("tiny.onnx: tiny, onnx fp32, any batch") and shown[-1] == "passed"
    assert is_bundle("tiny.onnx")
    assert run(model, "--json", "-o", "other.onnx", "--batch", "2", "--preprocess-in-graph") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == "other.onnx" and facts["certificate"]["passed"] is True
    assert (facts["manifest"]["batch"], facts["manifest"]["preprocessing_in_graph"]) == (2, True)


def test_beyond_the_tolerance_the_status_is_1_and_nothing_is_written(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model, "--tolerance", "1e-12") == 1
    shown = capsys.readouterr()
    assert shown.out == "" and "logits differ" in shown.err and "Fix: " in shown.err
    assert sorted(file.name for file in Path().iterdir()) == ["tiny.safetensors"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--to", "coreml"],
        ["--precision", "int8"],
        ["--batch", "0"],
        ["--images", "missing"],
        ["-o", "no/such/m.onnx"],
        ["--to", "torch", "--plain"],
        ["--to", "native", "--optimize"],
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_status_2(model: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, *arguments) == 2
    assert capsys.readouterr().out == ""
    assert sorted(file.name for file in Path().iterdir()) == ["tiny.safetensors"]


def test_a_bundle_is_verified_by_its_receiver(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model) == 0
    capsys.readouterr()

    def verify(*arguments: object) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["verify", *map(str, arguments), "--threads", "1"])
        return int(stop.value.code or 0)

    assert verify("tiny.onnx") == 0
    assert "pictures made by effnet, and what the network said" in capsys.readouterr().out
    assert verify("tiny.onnx", "--against", model, "--json") == 0
    assert json.loads(capsys.readouterr().out)["certificate"]["passed"] is True
    assert verify("tiny.onnx", "--images", ".") == 2
    other = save_tiny_model(Path("other.safetensors"), gain=1.01)
    assert verify("tiny.onnx", "--against", other) == 1
    assert "logits differ" in capsys.readouterr().err

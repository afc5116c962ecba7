"""`effnet benchmark`: engines side by side on a bundle or a model, after their work and answers are checked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import onnx
import pytest

from effnet.cli import main
from effnet.deploy import benchmarking
from effnet.deploy.bundle import write_bundle
from effnet.deploy.engines import engines_here
from effnet.deploy.racing import Result
from effnet.errors import WeightsError
from tests.deploy.bundles import certificate
from tests.deploy.exported import tiny_bundle
from tests.tiny import save_tiny_model

QUICK = ("--rounds", "1", "--seconds", "0", "--threads", "1")


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", *map(str, arguments)])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_all_engines_of_a_bundle_are_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bundle = write_bundle(tiny_bundle(), tmp_path / "tiny.onnx")
    written = tmp_path / "figures.json"
    status, out, _ = run(capsys, bundle, *QUICK, "-b", "1", "-b", "2", "--json", "--output", written)
    assert status == 0
    (document,) = json.loads(out)
    assert json.loads(written.read_text()) == [document]
    assert {row["engine"].partition(",")[0] for row in document["rows"]} == set(engines_here("onnx"))
    assert [row["batch"] for row in document["rows"]] == sorted(row["batch"] for row in document["rows"])
    for row in document["rows"]:
        assert row["median_ms"] > 0 and row["max_relative"] < 1e-3 and row["agreement"] == 1
        assert row["settings"]["threads"] == 1
    assert document["work"]["macs"] > 0


def test_a_model_file_is_compared_with_its_export(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, err = run(capsys, save_tiny_model(tmp_path / "tiny.safetensors"), *QUICK, "-b", "1")
    assert status == 0, err
    for words in ("torch eager", "onnxruntime", "MACs an image", "1 threads", "memory format channels last"):
        assert words in out


def test_a_graph_that_leaves_work_out_is_not_timed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    whole = tiny_bundle()
    model = onnx.load_from_string(whole.payload["model.onnx"])
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    for node in model.graph.node:  # the last convolution is gone
        node.input[:] = [last.input[0] if name == last.output[0] and node is not last else name for name in node.input]
    model.graph.node.remove(last)
    payload = {"model.onnx": model.SerializeToString()}
    proof = certificate(sha256=benchmarking_digests(whole, payload))
    bundle = write_bundle(dataclasses.replace(whole, payload=payload, certificate=proof), tmp_path / "cut.onnx")
    status, _, err = run(capsys, bundle, *QUICK)
    assert status == 1
    assert "products" in err or "graph" in err


def benchmarking_digests(whole: object, payload: dict[str, bytes]) -> dict[str, str]:
    from effnet.deploy.bundle import Bundle, digests

    assert isinstance(whole, Bundle)
    return digests(whole.manifest, payload)


def test_engines_that_answer_differently_are_not_compared() -> None:
    manifest = tiny_bundle().manifest
    import numpy as np

    right = Result(name="right", milliseconds=(1.0,), logits=np.ones((1, 7), np.float32), settings={})
    wrong = dataclasses.replace(right, name="wrong", logits=right.logits * 1.1)
    with pytest.raises(WeightsError, match="wrong answers otherwise than right"):
        benchmarking._rows([right, wrong], manifest)
    assert len(benchmarking._rows([right, wrong], dataclasses.replace(manifest, precision="int8"))) == 2


def test_what_is_no_model_is_a_wrong_request(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, tmp_path / "nothing.onnx", *QUICK)[0] == 2
    assert run(capsys, "b00", *QUICK)[0] == 2

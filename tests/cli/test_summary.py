"""`effnet summary`: one network, layer by layer, edited or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import effnet
from effnet.cli import main
from effnet.cost import cost
from effnet.families import find
from effnet.spec import NetworkSpec
from tests.tiny import save_tiny_model, tiny_network


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["summary", *arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_the_table_has_every_layer_and_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "b0")
    assert status == 0
    lines = out.splitlines()
    for layer in cost(find("b0")).layers:
        assert any(line.startswith(f"{layer.name} ") for line in lines), layer.name
    total = next(line for line in lines if line.startswith("total "))
    assert "5,288,548" in total
    assert "385,814,752" in out
    assert "note:" not in out


def test_json_has_totals_layers_and_the_spec(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "v2-s", "--resolution", "300", "--batch", "4", "--dtype", "float16", "--json")
    assert status == 0
    data, counted = json.loads(out), cost(find("v2-s"), 300, 4, "float16")
    for field in ("params", "macs", "activations", "peak_inference_bytes", "training_bytes", "total_training_bytes"):
        assert data[field] == getattr(counted, field)
    assert (data["resolution"], data["native_resolution"], data["batch"]) == (300, 384, 4)
    assert len(data["layers"]) == len(counted.layers)
    assert NetworkSpec.from_dict(data["spec"]) == find("v2-s")


def test_edits_show_in_the_spec_and_the_cost(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    edits = ("--set", "stage3.kernel=3", "--set", "classes=10", "--set", "stem.stride=1")
    status, out, _ = run(capsys, "b0", *edits, "--spec")
    assert status == 0
    spec = NetworkSpec.from_json(out)
    assert (spec.stages[2].block.kernel, spec.classes, spec.stem.stride) == (3, 10, 1)
    file = tmp_path / "mine.json"
    file.write_text(out)
    assert json.loads(run(capsys, str(file), "--json")[1])["params"] == cost(spec).params


def test_a_foreign_resolution_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "v2-s", "--resolution", "224")[1]
    assert "the native resolution is 384 px, trained at 300" in out
    out = run(capsys, "b0", "--resolution", "32")[1]
    assert "stem.stride=1" in out
    assert "stem.stride=1" not in run(capsys, "b0", "--resolution", "32", "--set", "stem.stride=1")[1]


def test_int8_says_nothing_about_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert "training" in run(capsys, "b0")[1]
    assert "training," not in run(capsys, "b0", "--dtype", "int8")[1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"[]", "not a JSON object"),
        (b'{"name": "x"}', "missing"),
        (b"{" + b" " * (1 << 20), "1 MiB"),
        (b'{"a":' * 100_000, "not JSON"),
    ],
)
def test_damaged_spec_files_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "damaged.json"
    file.write_bytes(content)
    status, out, err = run(capsys, str(file))
    assert (status, out) == (2, "")
    assert str(file) in err
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("b9",),
        ("no-such-file.json",),
        ("b0", "--resolution", "0"),
        ("b0", "--batch", "0"),
        ("b0", "--dtype", "float8"),
        ("b0", "--set", "stage9.kernel=5"),
        ("b0", "--set", "stage1.kernel=4"),
        ("b0", "--set", "nonsense"),
        ("b0", "--spec", "--json"),
        ("\0",),
        ("x" * 5000,),
    ],
)
def test_wrong_requests_end_in_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("effnet: ")
    assert "Fix: " in err
    assert err.count("\n") == 1


def test_a_model_file_and_a_run_are_summed_up_by_what_they_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    model = save_tiny_model(run_folder / "best.safetensors")
    (run_folder / "data.json").write_text("{}")
    for where in (model, run_folder):
        status, out, err = run(capsys, str(where), "--json")
        assert status == 0, err
        assert json.loads(out)["params"] == cost(tiny_network().spec).params


def test_weights_of_another_library_are_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(effnet.create("mnasnet_a1").state_dict(), tmp_path / "theirs.pth")
    status, out, err = run(capsys, str(tmp_path / "theirs.pth"), "--json")
    assert status == 0, err
    assert json.loads(out)["params"] == cost(find("mnasnet_a1")).params

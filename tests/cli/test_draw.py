"""`effnet draw`: pictures of networks by name and by file, without torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from effnet.cli import main
from effnet.cost import cost
from effnet.families import find
from tests.tiny import save_tiny_model


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["draw", *map(str, arguments)])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_a_picture_is_written_where_one_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, "b0", "b4")
    assert (status, out) == (0, "wrote efficientnet_b0-efficientnet_b4.svg\n")
    assert Path("efficientnet_b0-efficientnet_b4.svg").read_text("utf-8").startswith("<svg")
    status, out, _ = run(capsys, "b0", "-o", "-")
    assert status == 0 and out.startswith("<svg") and out.endswith("</svg>\n")
    assert len(list(tmp_path.iterdir())) == 1


def test_spec_files_model_files_and_edits_are_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(find("b1").replace(name="mine").to_json())
    model = save_tiny_model(tmp_path / "tiny.safetensors")
    status, out, _ = run(capsys, file, model, "--json", "--resolution", 64)
    assert status == 0
    first, second = json.loads(out)
    assert (first["name"], second["name"]) == ("mine", "tiny")
    assert first["macs"] == cost(find("b1"), 64).macs
    edited = json.loads(run(capsys, "b0", "b0", "--set", "stage3.kernel=3", "--json")[1])
    assert [body["parts"][3]["label"] for body in edited] == ["MBConv6 k5x5 se0.25", "MBConv6 k3x3 se0.25"]


def test_endings_choose_the_format(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    for name, starts in (("a.svg", b"<svg"), ("b.PNG", b"\x89PNG"), ("c.html", b"<!doctype html>")):
        assert run(capsys, "lite0", "-o", tmp_path / name)[0] == 0
        assert (tmp_path / name).read_bytes().startswith(starts)


def test_without_the_extra_png_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    status, _, err = run(capsys, "b0", "-o", tmp_path / "a.png")
    assert status == 1
    assert "effnet[draw]" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("b9",),
        ("b0", "b1", "b2"),
        ("b0", "-o", "b0.gif"),
        ("b0", "--resolution", "0"),
        ("b0", "--set", "stage9.kernel=3"),
        ("no-such.safetensors",),
        ("no-such.json",),
    ],
)
def test_wrong_requests_end_in_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("effnet: ") and "Fix: " in err and err.count("\n") == 1

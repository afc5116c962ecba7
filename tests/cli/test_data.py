"""`effnet data check`: what is wrong with a folder of images, as text, page, list and exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from effnet.cli import main
from tests.faults.kills import images


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(("data", "check", *arguments))
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_sound_images_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(images(tmp_path / "images")), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert not any(finding["severity"] == "error" for finding in found["findings"])


def test_leaks_and_damage_fail_and_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = images(tmp_path / "images")
    leaked = sorted((folder / "train" / "red").iterdir())[0]
    shutil.copy(leaked, folder / "val" / "red" / "leak.png")
    damaged = sorted((folder / "train" / "blue").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:80])
    page, names = tmp_path / "page.html", tmp_path / "remove.txt"
    assert run(str(folder), "--report", str(page), "--fix-list", str(names)) == 1
    text = capsys.readouterr().out
    assert damaged.name in text
    assert damaged.name in names.read_text()
    assert damaged.name in page.read_text() and "leak.png" in page.read_text()


def test_a_missing_folder_is_a_wrong_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nowhere") == 2
    assert "nowhere" in capsys.readouterr().err

"""`effnet train` and `effnet recipes`: flags, files and values are the same thing; a stop is orderly."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from effnet.cli import main
from tests.faults.kills import images
from tests.tiny import tiny_network
from tests.training.runs import RECIPE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a recipe file and a spec file."""
    folder = tmp_path_factory.mktemp("train")
    images(folder / "images")
    (folder / "recipe.json").write_text(json.dumps(RECIPE.to_dict()))
    (folder / "tiny.json").write_text(tiny_network(classes=3).spec.to_json())
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


USUAL = ("train", "images", "--recipe", "recipe.json", "--spec", "tiny.json", "--device", "cpu")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_a_folder_becomes_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*USUAL, "--epochs", "2", "--run", "first", "--json") == 0
    printed = capsys.readouterr()
    outcome = json.loads(printed.out)
    assert outcome["ending"] == "completed"
    assert Path(outcome["model"]).exists() and Path(outcome["report"]).exists()
    assert "stage" in printed.err  # progress is not mixed into the JSON
    assert run("predict", outcome["model"], "images/val/red") == 0
    assert run("evaluate", outcome["model"], "images", "--json") == 0
    evaluated = json.loads(capsys.readouterr().out.partition("\n{")[2].join(("{", "")))
    assert evaluated["top1"] == pytest.approx(outcome["top1"])
    judged = outcome["judged"]
    assert judged["right"] == pytest.approx(outcome["top1"] * judged["images"] / 100)
    low, high = judged["top1_interval"]
    assert low < outcome["top1"] <= high
    assert json.loads((Path("first") / "recipe.json").read_text())["epochs"] == 2


def test_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*USUAL, "--epochs", "1", "--run", "lines") == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    for expected in ("stage 1", "epoch 1", "report", "effnet predict", "95 %:", "chosen by"):
        assert expected in text


def test_a_dry_run_decides_and_draws_and_trains_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*USUAL, "--run", "nothing", "--plot-schedule", "schedule.svg") == 0
    text = capsys.readouterr().out
    assert [line.split()[2] for line in text.splitlines() if line.startswith("from epoch")] == ["0.00", "1.32", "2.64"]
    assert re.search(r"image_size 16 .*image_size 24 .*image_size 32 ", text, re.DOTALL)
    assert re.search(r"time +at least about \d+.*s .*last epoch", text)
    assert Path("schedule.svg").read_text().lstrip().startswith("<?xml")
    assert not Path("nothing").exists()


def test_a_dry_run_fits_a_terminal_of_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert run(*USUAL, "--run", "nothing", "--dry-run") == 0
    decided = capsys.readouterr().out.partition("from epoch")[0]
    assert max(map(len, decided.splitlines())) <= 80
    assert "precision       dtype=float32" in decided


def test_flags_and_set_are_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    for changes in (("--lr", "0.5", "--batch", "4"), ("--set", "lr=0.5", "--set", "batch.size=4")):
        assert run(*USUAL, *changes, "--dry-run") == 0
        text = capsys.readouterr().out
        assert "lr=0.5" in text and "size=4" in text


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("train",), 2, "no data"),
        (("train", "nowhere"), 2, "nowhere"),
        ((*USUAL, "--set", "ema.decai=0.9"), 2, "decay"),
        ((*USUAL, "--unreadable", "skipp"), 2, "skip"),
        ((*USUAL, "--recipe", "finetun"), 2, "finetune"),
        ((*USUAL, "--plot-schedule", "x.gif"), 2, ".png"),
        (("train", "images", "--resume", "first"), 2, "effnet train --resume first"),
        (("train", "--resume", "images"), 2, "images"),
    ],
)
def test_wrong_requests_name_the_fix(
    arguments: tuple[str, ...], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == status
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_a_finished_run_is_trained_for_longer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*USUAL, "--epochs", "1", "--stages", "1", "--run", "short") == 0
    assert run("train", "--resume", "short", "--epochs", "2", "--device", "cpu") == 0
    text = capsys.readouterr().out
    assert "resumed at step" in text and "epoch 2" in text
    assert run("train", "--resume", "short", "--epochs", "1", "--device", "cpu") == 2
    assert "2 are done" in capsys.readouterr().err


def test_without_weights_the_recipe_is_another_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    usual = ("train", "images", "--device", "cpu", "--dry-run")
    assert run(*usual, "--weights", "none", "--spec", "tiny.json", "--epochs", "4") == 0
    text = capsys.readouterr().out
    assert "recipe" in text and "scratch: it begins with fresh weights" in text
    assert "head_epochs=0" in text and "epochs=4" in text and "ImageNet weights" not in text
    assert run(*usual, "--spec", "tiny.json") == 0
    assert "no weights are published for tiny" in capsys.readouterr().out


def test_recipes_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recipes") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("v1", "v2", "finetune", "small"))


@pytest.mark.slow
def test_sigterm_saves_and_exits_143_and_resume_alone_goes_on(place: Path) -> None:
    command = [sys.executable, "-m", "effnet.cli", *USUAL, "--save-seconds", "1e9"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def go(*arguments: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [*command[:3], *arguments],
            cwd=place,
            env=environment,
            text=True,
            **pipes,  # type: ignore[call-overload]
        )

    whole = go(*command[3:], "--epochs", "40", "--run", "whole")
    cut = go(*command[3:], "--epochs", "40", "--run", "cut")
    deadline = time.monotonic() + 120
    while not list(place.glob("cut/checkpoints/step-*.safetensors")):
        assert time.monotonic() < deadline
        assert cut.poll() is None, cut.communicate()[1]
        time.sleep(0.01)
    cut.send_signal(signal.SIGTERM)
    _, error = cut.communicate(timeout=60)
    assert cut.returncode == 143, error
    assert "--resume" in error and "Traceback" not in error
    assert not (place / "cut" / "last.safetensors").exists()  # it was stopped before the end
    resumed = go("train", "--resume", "cut", "--device", "cpu")
    _, error = resumed.communicate(timeout=200)
    assert resumed.returncode == 0, error
    whole.communicate(timeout=200)
    assert (place / "whole" / "command.txt").read_text().startswith("effnet train images --recipe recipe.json")
    assert whole.returncode == 0
    for name in ("metrics.jsonl", "best.safetensors", "last.safetensors"):
        assert (place / "whole" / name).read_bytes() == (place / "cut" / name).read_bytes()

"""`effnet evaluate`: figures as text and JSON, a page, answers as CSV, and a temperature kept in the model."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from effnet.cli import main
from effnet.weights import modelfile
from tests.tiny import LABELS, save_tiny_model
from tests.tiny_data import Colours


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images filed under three of the model's seven classes."""
    names = dict(zip(("blue", "green", "red"), LABELS, strict=False))
    source = Colours(24)
    for index in range(24):
        colour, _, name = source.name(index).partition("/")
        path = tmp_path / "data" / "val" / names[colour] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read(index))
        if not (train := tmp_path / "data" / "train" / names[colour] / name).parent.exists():
            train.parent.mkdir(parents=True)
            train.write_bytes(source.read(index))
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "tiny.safetensors")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(("evaluate", *map(str, arguments)))
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_figures_page_and_answers(tmp_path: Path, model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, answers = tmp_path / "page.html", tmp_path / "answers.csv"
    assert run(model, data, "--part", "val", "--json", "--report", page, "--predictions", answers) == 0
    figures = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader(answers.open()))
    assert len(rows) == 24
    assert 0 <= figures["top1"] <= figures["top5"] <= 100
    assert len(figures["confusion"]) == 3
    text = page.read_text()
    assert "data:image" in text and all(label in text for label in LABELS[:3])


def test_a_fitted_temperature_stays_in_the_model(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, data, "--part", "val", "--fit-temperature", "--json") == 0
    fitted = json.loads(capsys.readouterr().out)["fitted"]["temperature"]
    assert modelfile.load(model).temperature == pytest.approx(fitted)
    assert fitted != 1


def test_text_for_people(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, data, "--part", "val", "--flip") == 0
    text = capsys.readouterr().out
    assert "top-1" in text and "%" in text


@pytest.mark.parametrize("extra", [("--part", "tset"), ("--unreadable", "no")])
def test_wrong_requests(extra: tuple[str, str], model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, data, *extra) == 2
    assert "Fix" in capsys.readouterr().err


def test_classes_that_the_model_does_not_know(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.faults.kills import images

    assert run(model, images(tmp_path / "colours")) == 2
    assert "blue" in capsys.readouterr().err


def test_the_page_shows_where_each_mistaken_answer_was_seen(tmp_path: Path, model: Path, data: Path) -> None:
    page = tmp_path / "page.html"
    assert run(model, data, "--part", "val", "--report", page) == 0
    text = page.read_text()
    mistakes = text.count("<div class='card'>")
    assert mistakes > 0
    assert text.count("Where it saw ") == mistakes
    assert text.count("data:image/jpeg;base64,") == 2 * mistakes

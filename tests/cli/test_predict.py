"""`effnet predict`: what it prints, writes and returns."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from effnet.cli import main
from effnet.inference.predictor import load
from effnet.weights import modelfile
from tests.tiny import LABELS, save_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images: two in a folder, one below it. It is the working folder."""
    colours = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3), dtype=np.uint8)
    for name, image in zip(("a.png", "b.jpg", "deep/c.webp"), colours, strict=True):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((50, 40)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "album"


def run(*arguments: str | os.PathLike[str]) -> int:
    """Run the command in this process and return its exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["predict", *map(os.fspath, arguments), "--device", "cpu", "--threads", "1"])
    return int(stop.value.code or 0)


def json_of(text: str) -> list[dict[str, object]]:
    document = json.loads(text)
    assert isinstance(document, list)
    return document


@pytest.mark.usefixtures("album")
def test_json_is_one_list_with_what_the_library_says(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, "album", "--json") == 0
    names = ["album/a.png", "album/b.jpg", "album/deep/c.webp"]
    predictions = load(model, device="cpu").predict(names)
    answers = json_of(capsys.readouterr().out)
    assert [answer["source"] for answer in answers] == names
    for answer, prediction in zip(answers, predictions, strict=True):
        assert answer["error"] is None
        said = answer["predictions"]
        assert isinstance(said, list)
        assert [row["label"] for row in said] == [LABELS[row["index"]] for row in said]
        assert [row["index"] for row in said] == [score.index for score in prediction.scores]
        assert [row["probability"] for row in said] == pytest.approx([s.probability for s in prediction.scores])


@pytest.mark.usefixtures("album")
def test_text_names_each_image_then_its_classes(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, "album/a.png", "album/b.jpg", "--top", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[4]] == ["album/a.png", "album/b.jpg"]
    assert len(lines) == 8
    for line in (*lines[1:4], *lines[5:8]):
        percent, label = line.split("%")
        assert 0 <= float(percent) <= 100
        assert label.strip() in LABELS


@pytest.mark.usefixtures("album")
def test_text_with_one_class_has_a_line_an_image(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, "album", "-k", "1") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        "album/a.png",
        "album/b.jpg",
        "album/deep/c.webp",
    ]


@pytest.mark.usefixtures("album")
def test_csv_has_a_row_for_each_image_and_class(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, "album", "--csv", "--top", "2") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["source", "rank", "index", "label", "probability", "error"]
    assert [(row["source"], row["rank"]) for row in rows[:3]] == [
        ("album/a.png", "1"),
        ("album/a.png", "2"),
        ("album/b.jpg", "1"),
    ]
    assert all(row["label"] == LABELS[int(row["index"])] for row in rows)
    assert all(0 <= float(row["probability"]) <= 1 and row["error"] == "" for row in rows)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["album"], 3),
        (["album/*.jpg"], 1),
        (["album/**/*.*"], 3),
        (["album/a.png", "album"], 4),
        (["--from-file", "list.txt"], 2),
        (["album/a.png", "--from-file", "list.txt"], 3),
    ],
)
def test_images_are_named_in_many_ways(
    model: str, album: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], count: int
) -> None:
    (album.parent / "list.txt").write_text("album/b.jpg\nalbum/deep/c.webp\n")
    assert run(model, *arguments, "--json") == 0
    assert len(json_of(capsys.readouterr().out)) == count


class FakeStdin:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_an_image_comes_on_standard_input(
    model: str, album: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", FakeStdin((album / "a.png").read_bytes()))
    assert run(model, "-", "album/a.png", "--json") == 0
    piped, named = json_of(capsys.readouterr().out)
    assert (piped["source"], named["source"]) == ("-", "album/a.png")
    assert piped["predictions"] == named["predictions"]


@pytest.mark.usefixtures("album")
def test_a_list_comes_on_standard_input(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", FakeStdin(b"album/a.png\0album/b.jpg\0"))
    assert run(model, "--from-file", "-", "--json") == 0
    assert [answer["source"] for answer in json_of(capsys.readouterr().out)] == ["album/a.png", "album/b.jpg"]


@pytest.mark.parametrize(
    ("flags", "name", "starts"),
    [
        ([], "out.json", "["),
        ([], "out.csv", "source,rank"),
        ([], "out.txt", "album/a.png\n"),
        (["--json"], "out.txt", "["),
        (["--csv"], "out.json", "source,rank"),
    ],
)
@pytest.mark.usefixtures("album")
def test_output_goes_to_a_file_whose_ending_chooses_the_format(
    model: str, capsys: pytest.CaptureFixture[str], flags: list[str], name: str, starts: str
) -> None:
    assert run(model, "album", "--output", name, *flags) == 0
    assert Path(name).read_text().startswith(starts)
    assert capsys.readouterr().out == ""


def test_a_bad_image_is_reported_in_one_line_and_skipped(
    model: str, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "aa.jpg").write_bytes(b"not an image")
    assert run(model, "album", "-k", "1") == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    reported, summary = shown.err.splitlines()
    assert reported.startswith("effnet: album/aa.jpg: ")
    assert "Fix: " in reported
    assert summary == "effnet: 1 of 4 images could not be read"


def test_json_and_csv_keep_the_place_of_a_bad_image(
    model: str, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "aa.jpg").write_bytes(b"")
    assert run(model, "album", "--json") == 1
    answers = json_of(capsys.readouterr().out)
    assert [bool(answer["error"]) for answer in answers] == [False, True, False, False]
    assert answers[1]["predictions"] == []
    assert run(model, "album", "--csv", "-k", "1") == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [bool(row["error"]) for row in rows] == [False, True, False, False]
    assert rows[1]["rank"] == rows[1]["label"] == ""


def test_a_bad_image_on_standard_input_is_called_by_its_dash(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", FakeStdin(b""))
    assert run(model, "-") == 1
    assert capsys.readouterr().err.startswith("effnet: -: the file is empty")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["missing.jpg"],
        ["album/*.tiff"],
        ["empty"],
        ["album", "--json", "--csv"],
        ["-", "--from-file", "-"],
        ["--from-file", "missing.txt"],
        ["--from-file", "empty.txt"],
        ["album", "--top", "0"],
        ["album", "--batch", "-1"],
        ["album", "--output", "no/such/folder/out.json"],
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_status_2_and_prints_nothing(
    model: str, album: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    (album.parent / "empty").mkdir()
    (album.parent / "empty.txt").write_bytes(b"")
    assert run(model, *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err


@pytest.mark.usefixtures("album")
def test_a_size_far_from_the_native_one_is_warned_about(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, "album/a.png", "--size", "16") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("effnet: warning: 16 px is 0.5 times the 32 px")


def test_names_that_are_not_utf8_survive(model: str, album: Path) -> None:
    """In a process of its own: the names come in as arguments and go out through the real standard output."""
    name = b"caf\xe9.png"
    (album / os.fsdecode(name)).write_bytes((album / "a.png").read_bytes())
    command = [sys.executable, "-m", "effnet.cli", "predict", model, b"album/" + name, "album", "--device", "cpu"]
    done = subprocess.run([*command, "--json"], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert os.fsencode(json.loads(done.stdout)[0]["source"]) == b"album/" + name
    done = subprocess.run([*command, "--csv", "-k", "1"], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith(b"album/" + name + b",1,")


def test_names_cannot_command_the_terminal(model: str, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (album / "\x1b[31mred\n.png").write_bytes((album / "a.png").read_bytes())
    (album / "\x1b[31mbad.png").write_bytes(b"")
    assert run(model, "album") == 1
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert "\\x1b[31mred\\n.png" in shown.out
    assert "\\x1b[31mbad.png" in shown.err


@pytest.mark.usefixtures("album")
def test_the_bar_is_drawn_on_a_terminal_only_when_the_results_go_elsewhere(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run(model, "album", "--output", "out.json") == 0
    assert "3/3" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert run(model, "album") == 0
    assert "classifying" not in capsys.readouterr().err


def test_cells_of_csv_are_text_to_a_spreadsheet_and_to_a_terminal(
    tmp_path: Path, album: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "named.safetensors"
    names = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\x1b[2Jeel", "fox\r\nfake,row", "gnu")
    modelfile.save(path, dataclasses.replace(modelfile.load(save_tiny_model(path)), labels=names))
    weird = album / "=1+1.png"
    weird.write_bytes((album / "a.png").read_bytes())
    monkeypatch.chdir(album)
    assert run(path, weird.name, "--csv", "--top", "7") == 0
    text = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["label"] for row in rows} == {
        "'=cmd|' /C calc'!A0",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "\\x1b[2Jeel",
        "fox\\r\\nfake,row",
        "gnu",
    }
    assert {row["source"] for row in rows} == {"'=1+1.png"}
    assert "\x1b" not in text and len(text.splitlines()) == 8


def test_the_mirror_image_is_asked_too(model: str, capsys: pytest.CaptureFixture[str], album: Path) -> None:
    picture = ImageOps.mirror(Image.open(album / "a.png").convert("RGB"))
    picture.save(album / "mirrored.png")
    found = []
    for name in ("a.png", "mirrored.png"):
        assert run(model, f"album/{name}", "--flip", "--json", "--top", "7") == 0
        (answer,) = json.loads(capsys.readouterr().out)
        found.append({score["label"]: score["probability"] for score in answer["predictions"]})
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.usefixtures("album")
def test_a_run_folder_is_its_best_model(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    shutil.copy(model, run_folder / "best.safetensors")
    (run_folder / "data.json").write_text("{}")
    assert run(str(run_folder), "album/a.png", "--json") == 0
    of_run = json.loads(capsys.readouterr().out)
    assert run(model, "album/a.png", "--json") == 0
    assert json.loads(capsys.readouterr().out) == of_run


@pytest.mark.usefixtures("album")
def test_a_run_without_a_model_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data.json").write_text("{}")
    assert run(str(tmp_path / "run"), "album/a.png") == 2
    assert "--resume" in capsys.readouterr().err


@pytest.mark.usefixtures("album")
def test_names_of_outputs_can_be_given(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "names.txt").write_text("".join(f"kind {number}\n" for number in range(7)))
    assert run(model, "album/a.png", "--csv", "--classes", str(tmp_path / "names.txt")) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert all(row["label"] == f"kind {row['index']}" for row in rows)
    assert run(model, "album/a.png", "--classes", "a,b") == 2
    assert "2 names for 7 outputs" in capsys.readouterr().err


def test_no_image_of_a_folder_is_lost(model: str, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (album / "noname").write_bytes((album / "a.png").read_bytes())
    Image.new("RGB", (40, 40), "teal").save(album / "deep" / "scan.ppm")
    Image.new("RGB", (40, 40), "teal").save(album / "deep" / "card.jp2")
    (album / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (album / "notes.txt").write_text("no image")
    assert run(model, "album", "--json", "--top", "1") == 1
    shown = capsys.readouterr()
    answers = {str(answer["source"]): answer["error"] for answer in json_of(shown.out)}
    assert {name for name, error in answers.items() if error is None} == {
        f"album/{name}" for name in ("a.png", "b.jpg", "noname", "deep/c.webp", "deep/scan.ppm", "deep/card.jp2")
    }
    assert [name for name, error in answers.items() if error is not None] == ["album/IMG_1.HEIC"]
    assert "HEIC" in shown.err and "1 of 7 images could not be read" in shown.err


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_twelve_bits_in_sixteen_are_warned_of(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint16)
    grey[0, 0] = 255
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "plain.jpg")
    Image.fromarray(grey * 257).save(tmp_path / f"full_{name}")
    assert run(model, tmp_path) == 0 and not capsys.readouterr().err
    for number in (1, 2):
        Image.fromarray(grey * 16).save(tmp_path / f"{number}_{name}")
    assert run(model, tmp_path / f"1_{name}") == 0
    assert "16 grey levels of 256 are left (fix: train with --set white=4095" in capsys.readouterr().err
    assert run(model, tmp_path) == 0
    assert "2 of 3 images of 16 bits looked at use only values up to 4080" in capsys.readouterr().err
    plain = modelfile.load(Path(model))
    white = tmp_path / "white.safetensors"
    modelfile.save(white, dataclasses.replace(plain, preprocess=dataclasses.replace(plain.preprocess, white=4095)))
    assert run(white, tmp_path / f"1_{name}") == 0 and not capsys.readouterr().err

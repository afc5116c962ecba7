"""`effnet search` and `effnet study`: experiments end to end, on networks and images small enough for a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from effnet.cli import main
from effnet.cost import cost
from effnet.spec import NetworkSpec
from tests.faults.kills import images
from tests.tiny import tiny_network

ROOT = Path(__file__).parents[2]
RECIPE = {"base": "brief", "epochs": 2, "lr": 0.05, "batch": {"size": 8}, "schedule": {"warmup_epochs": 0.0}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a recipe and a small network whose stages can be scaled."""
    folder = tmp_path_factory.mktemp("search")
    images(folder / "images")
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    spec = tiny_network(classes=3).spec.replace(resolution=32, family="custom")
    spec = spec.with_stage(1, channels=16, repeats=4).with_stage(2, channels=24, repeats=4)
    (folder / "tiny.json").write_text(spec.to_json())
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


SEARCH = ("search", "images", "--model", "tiny.json", "--recipe", "recipe.json", "--device", "cpu", "--within", "0.5")
FEW = ("--trials", "4", "--control", "4", "--finalists", "2", "--final-seeds", "2")
STUDY = ("images", "--model", "tiny.json", "--recipe", "recipe.json", "--device", "cpu", "--seeds", "2")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_search_leaves_a_winner_that_everything_takes(capsys: pytest.CaptureFixture[str]) -> None:
    found = outcome(capsys, *SEARCH, *FEW, "--run", "first", "--supernet-epochs", "2")
    winner = NetworkSpec.from_json(Path(found["winner"]).read_text())
    base = NetworkSpec.from_json(Path("tiny.json").read_text())
    assert winner.classes == 3 and cost(winner).macs == found["costs"]["macs"]
    assert 0.5 <= cost(winner).macs / cost(base).macs <= 1.5
    assert len(found["seeds"]) == 2 and found["conclusions"]
    assert {"entropy", "params", "macs", "naswot", "synflow", "zico", "supernet"} <= set(found["correlations"])
    results = json.loads((Path("first") / "results.json").read_text())
    assert len(results["tried"]) == 4 and len(results["control"]) == 4
    assert all(each["spec"]["stages"] and "seconds" in each for each in results["tried"])
    page = Path(found["report"]).read_text()
    assert "data:image/svg+xml" in page and "Pareto" in page and "http://" not in page.replace("http://www.w3.org", "")
    assert run("scale", "--spec", found["winner"], "--phi", "0..2") == 0
    assert run("summary", found["winner"]) == 0
    training = ("train", "images", "--spec", found["winner"], "--recipe", "recipe.json", "--device", "cpu")
    assert run(*training, "--epochs", "1", "--run", "trained") == 0


def test_a_finished_search_is_not_done_again(capsys: pytest.CaptureFixture[str]) -> None:
    first = outcome(capsys, *SEARCH, *FEW, "--run", "once")
    began = time.monotonic()
    again = outcome(capsys, "search", "--resume", "once", "--device", "cpu")
    assert again["seeds"] == first["seeds"] and again["spent_seconds"] == first["spent_seconds"]
    assert time.monotonic() - began < sum(first["spent_seconds"].values()) + 20
    assert run(*SEARCH, "--trials", "5", "--run", "once") == 2  # another plan
    assert "another experiment" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ("--searcher", "tpe", "--within", "1", "--trials", "8"),
        ("--searcher", "nsga2", "--within", "1", "--trials", "8"),
        ("--searcher", "controller", "--inherit"),
        ("--evaluator", "proxy"),
        ("--evaluator", "proxy", "--proxy", "entropy", "--searcher", "random"),
        ("--evaluator", "supernet", "--supernet-epochs", "1"),
        ("--form", "v2", "--cost", "step_time", "--target", "30", "--within", "1"),
        ("--form", "hard", "--cost", "params"),
        ("--cost", "memory", "--no-prune"),
    ],
)
def test_every_searcher_evaluator_and_objective(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--trials", "3", "--control", "4", "--finalists", "1", "--final-seeds", "1", "--epochs", "1")
    found = outcome(capsys, *SEARCH, *few, "--run", "-".join(options).replace("-", ""), *options)
    assert 0 <= found["top1"] <= 100
    if "latency" not in options:
        assert found["latency_ms"] is None


def test_latency_as_the_cost(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("--trials", "2", "--control", "0", "--finalists", "1", "--final-seeds", "1", "--epochs", "1")
    options = ("--cost", "latency", "--target", "1000ms", "--within", "1", "--form", "soft", "--threads", "1")
    found = outcome(capsys, *SEARCH, *few, *options, "--run", "latency")
    assert found["latency_ms"] > 0
    assert run("scale", "b0", "--phi", "0") == 0
    assert json.loads((Path("latency") / "latency.json").read_text())["rows"]


def test_a_search_of_closed_forms_needs_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--evaluator", "none", "--model", "b0", "--target", "300M", "--form", "hard", "--trials", "300")
    found = outcome(capsys, "search", *options, "--run", "screened")
    assert found["looked_at"] == 300 and found["best"]
    spec = NetworkSpec.from_json((Path("screened") / "candidate-0.json").read_text())
    assert 0.85 * 300e6 <= cost(spec).macs <= 300e6


def test_a_printed_space_can_be_edited_and_searched(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("search", "--model", "tiny.json", "--print-space") == 0
    space = json.loads(capsys.readouterr().out)
    for stage in space["stages"]:
        stage["kind"], stage["kernel"] = ["mbconv"], [5]
    Path("space.json").write_text(json.dumps(space))
    base = ("search", "images", "--space", "space.json", "--recipe", "recipe.json", "--within", "0.9")
    few = ("--trials", "2", "--control", "0", "--finalists", "1", "--final-seeds", "1", "--epochs", "1")
    found = outcome(capsys, *base, *few, "--run", "edited")
    winner = NetworkSpec.from_json(Path(found["winner"]).read_text())
    assert {stage.block.kernel for stage in winner.stages} == {5}


def test_a_stopped_search_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "effnet.cli", *SEARCH, *FEW, "--run", str(tmp_path / "stopped")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("control 2/4"):
            process.send_signal(signal.SIGTERM)
            break
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143 and "--resume" in said and "Traceback" not in said
    resumed = [sys.executable, "-m", "effnet.cli", "search", "--resume", str(tmp_path / "stopped"), "--json"]
    done = subprocess.run(resumed, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seeds"]


def test_scaling_coefficients_for_ones_own_images(capsys: pytest.CaptureFixture[str]) -> None:
    found = outcome(capsys, "study", "scaling", *STUDY, "--candidates", "4", "--step", "0.1", "--run", "scaling")
    assert len(found["candidates"]) == 4 and set(found["chosen"]) == {"alpha", "beta", "gamma"}
    assert sum(each["probability"] for each in found["candidates"]) == pytest.approx(1)
    best = max(found["candidates"], key=lambda each: each["mean"])
    assert {name: best[name] for name in found["chosen"]} == found["chosen"]
    assert run("scale", "tiny.json", "--coefficients", found["coefficients"], "--phi", "0..2") == 0
    assert "constraint surface" in (Path("scaling") / "report.html").read_text()
    assert outcome(capsys, "study", "scaling", "--resume", "scaling")["candidates"] == found["candidates"]


def test_axes_at_equal_macs(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--multiples", "2", "--tolerance", "0.3", "--run", "axes")
    found = outcome(capsys, "study", "axes", *STUDY, *options)
    assert [each["axis"] for each in found["networks"]] == ["base", "depth", "width", "resolution", "compound"]
    assert all(len(each["accuracies"]) == 2 for each in found["networks"])
    page = (Path("axes") / "report.html").read_text()
    assert page.count("data:image/jpeg") == 3 * 5  # an image of each class, and the four maps of each
    again = outcome(capsys, "study", "axes", "--resume", "axes")
    assert again["networks"] == found["networks"]


def test_a_latency_table_for_budgets(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--model", "tiny.json", "--networks", "4", "--validate", "2", "--threads", "1", "--output", "t.json")
    made = outcome(capsys, "study", "latency", *options)
    assert made["rows"] > 10 and made["median_error"] >= 0
    assert run("scale", "tiny.json", "--max-latency-ms", "50", "--latency-table", "t.json", "--json") == 0
    assert json.loads(capsys.readouterr().out)["curve"]["latency_ms"] <= 50


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search",), "no data"),
        ((*SEARCH, "--searcher", "evolutoin"), "evolution"),
        ((*SEARCH, "--cost", "flops"), "macs"),
        ((*SEARCH, "--cost", "latency", "--target", "fast"), "milliseconds"),
        ((*SEARCH, "--evaluator", "supernet"), "supernet"),
        ((*SEARCH, "--proxy", "zico"), "--evaluator proxy"),
        ((*SEARCH, "--evaluator", "proxy", "--proxy", "zicco"), "zico"),
        ((*SEARCH, "--storage", "postgresql://u@127.0.0.1/x"), "--name"),
        ((*SEARCH, "--target", "1T", "--run", "far"), "give a target near"),
        ((*SEARCH, "--recipe", "finetune"), "batch"),
        (("search", "--resume", "images"), "no experiment"),
        (("search", "images", "--resume", "x"), "keeps its data"),
        (("search", "images", "--space", "nowhere.json"), "nowhere.json"),
        (("study", "scaling"), "no data"),
        (("study", "axes", "images", "--multiples", "1"), "multiples"),
        (("study", "axes", *STUDY, "--multiples", "2", "--tolerance", "0.0001"), "tolerance"),
        (("scale", "b0", "--latency-table", "recipe.json"), "--max-latency-ms"),
        (("scale", "b0", "--max-latency-ms", "5", "--latency-table", "recipe.json"), "recipe.json"),
    ],
)
def test_wrong_requests_name_the_fix(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) in (1, 2)
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_an_experiment_in_a_database_hides_its_password(tmp_path: Path) -> None:
    from effnet.experiments.experiment_folder import ExperimentFolder

    address = "postgresql://somebody:secret@host/db"
    folder = ExperimentFolder.join(tmp_path / "x", "search", {"a": 1}, device="cpu", storage=address, name="n")
    for file in folder.path.iterdir():
        assert "secret" not in file.read_text()
    assert folder.open_plan()["database"]["address"] == "postgresql://somebody@host/db"


@pytest.mark.slow
def test_three_machines_share_a_search_in_postgresql_and_one_dies(postgresql: str, tmp_path: Path) -> None:
    """Each worker has a folder of its own, as on machines of their own."""
    options = ("--storage", postgresql, "--name", "together", "--trials", "8", "--control", "6")
    few = ("--finalists", "1", "--final-seeds", "2")

    def started(number: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "effnet.cli", *SEARCH, *options, *few, "--run", str(tmp_path / str(number))]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [*command, "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    workers = [started(number) for number in range(3)]
    assert workers[0].stderr is not None
    for line in workers[0].stderr:
        if line.startswith("control 3/6"):
            workers[0].kill()
            break
    outcomes = []
    for worker in workers[1:]:
        out, error = worker.communicate(timeout=240)
        assert worker.returncode == 0, error
        outcomes.append(json.loads(out))
    assert outcomes[0]["seeds"] == outcomes[1]["seeds"] and len(outcomes[0]["seeds"]) == 2
    results = json.loads((tmp_path / "1" / "results.json").read_text())
    assert [each["index"] for each in results["tried"]] == list(range(8))
    assert {each["state"] for each in results["tried"]} <= {"complete", "pruned"}
    assert [each["state"] for each in results["control"]] == ["complete"] * 6
    said = run("search", "--resume", str(tmp_path / "1"))
    assert said == 2  # the address is not kept with its password, so it is asked for

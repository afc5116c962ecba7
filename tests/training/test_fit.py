"""A whole run through the public door: its folder, its resumption, and what can go wrong."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

import effnet
from effnet.data.source import Dataset
from effnet.errors import EffnetError, InputError
from effnet.training.events import Evaluated, Event, Saved, StageStarted, Started, Stepped, Warned
from effnet.training.interruption import InterruptedRunError
from effnet.training.run_folder import RunFolder
from effnet.weights import modelfile
from effnet.weights.atomic import StorageError
from tests.tiny import tiny_network
from tests.tiny_data import CLASSES, Colours, colours
from tests.training.runs import RECIPE

SPEC = dataclasses.replace(tiny_network(classes=3).spec, name="tiny")
SMALL = dataclasses.replace(RECIPE, epochs=2, name="small test")


def folder_of_images(root: Path) -> Path:
    source = Colours(24)
    for index in range(len(source)):
        path = root / source.name(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read(index))
    return root


def train(tmp_path: Path, name: str = "run", data: Any = None, **options: Any) -> effnet.Run:
    recipe = options.pop("recipe", SMALL)
    return effnet.fit(data or colours(), recipe, spec=SPEC, run=tmp_path / name, device="cpu", **options)


def test_a_run_leaves_everything_behind_and_its_model_predicts(tmp_path: Path) -> None:
    events: list[Event] = []
    run = train(tmp_path, data=folder_of_images(tmp_path / "photos"), observers=[events.append], epochs=6)
    folder = RunFolder(run.folder)
    assert run.ending == "completed" and run.model == folder.best and run.best is not None
    for path in (folder.last, folder.report, folder.table, folder.command_file, folder.tensorboard):
        assert path.exists()
    assert {type(event) for event in events} >= {Started, StageStarted, Stepped, Evaluated, Saved}
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert sum(row["kind"] == "evaluation" for row in rows) == 6
    assert max(row["top1"] for row in rows if row["kind"] == "evaluation") == run.best
    best = modelfile.load(run.model)
    assert best.labels == CLASSES and best.metrics["top1"] == run.best
    figures = json.loads((run.folder / "evaluation.json").read_text())
    assert figures["top1"] == pytest.approx(run.best)
    page = folder.report.read_text()
    for text in ("Stages", "What is taken for what", "Does it know", "To do it again", "less time"):
        assert text in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://matplotlib.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    assert effnet.load(run.model).predict(Colours(1).read(0)).label in CLASSES
    assert len(list(folder.checkpoints.iterdir())) == 2


def test_an_interrupted_run_resumes_to_the_same_files(tmp_path: Path) -> None:
    photos = folder_of_images(tmp_path / "photos")
    whole = train(tmp_path, "whole", photos)

    def stop(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError):
        train(tmp_path, "cut", photos, observers=[stop])
    resumed = effnet.resume(tmp_path / "cut", device="cpu")
    for name in ("metrics.jsonl", "metrics.csv", "best.safetensors", "last.safetensors", "evaluation.json"):
        assert (whole.folder / name).read_bytes() == (resumed.folder / name).read_bytes(), name
    assert resumed.best == whole.best


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    photos = folder_of_images(tmp_path / "photos")
    run = train(tmp_path, data=photos)
    before = (run.folder / "last.safetensors").read_bytes()
    events: list[Event] = []
    again = effnet.resume(run.folder, observers=[events.append], device="cpu")
    assert not any(isinstance(event, Stepped) for event in events)
    assert (again.ending, again.best) == (run.ending, run.best)
    assert (run.folder / "last.safetensors").read_bytes() == before


def test_a_finished_run_goes_on_to_more_epochs(tmp_path: Path) -> None:
    photos = folder_of_images(tmp_path / "photos")
    recipe = dataclasses.replace(SMALL, progressive=dataclasses.replace(SMALL.progressive, stages=1))
    run = train(tmp_path, data=photos, recipe=recipe)
    rows = (run.folder / "metrics.csv").read_text().splitlines()
    events: list[Event] = []
    again = effnet.resume(run.folder, epochs=4, observers=[events.append], device="cpu")
    steps = [event for event in events if isinstance(event, Stepped)]
    assert again.ending == "completed" and steps[0].epoch > 2 and steps[-1].epoch == 4
    longer = (run.folder / "metrics.csv").read_text().splitlines()
    assert longer[: len(rows)] == rows and len(longer) == len(rows) + 2
    folder = RunFolder(run.folder)
    assert folder.recipe().epochs == 4 and folder.decisions()[-1].setting == "epochs"
    assert len(folder.command_file.read_text().splitlines()) == 2
    # From now on it is a run of four epochs, whoever resumes it.
    assert effnet.resume(run.folder, device="cpu").ending == "completed"
    with pytest.raises(InputError, match="4 are done"):
        effnet.resume(run.folder, epochs=3, device="cpu")


def test_a_run_that_stopped_improving_goes_on_when_it_is_asked_to(tmp_path: Path) -> None:
    photos = folder_of_images(tmp_path / "photos")
    recipe = dataclasses.replace(SMALL, progressive=dataclasses.replace(SMALL.progressive, stages=1), lr=1e-9)
    run = train(tmp_path, data=photos, recipe=recipe, epochs=9, patience=1)
    assert run.ending == "no_improvement"
    events: list[Event] = []
    effnet.resume(run.folder, epochs=10, observers=[events.append], device="cpu")
    assert any(isinstance(event, Stepped) for event in events)


def test_stages_are_not_moved_by_more_epochs(tmp_path: Path) -> None:
    photos = folder_of_images(tmp_path / "photos")
    run = train(tmp_path, data=photos)
    with pytest.raises(InputError, match=r"stages.*--weights .*last\.safetensors"):
        effnet.resume(run.folder, epochs=9, device="cpu")


def test_what_a_killed_save_left_is_removed_when_the_run_goes_on(tmp_path: Path) -> None:
    run = train(tmp_path, data=folder_of_images(tmp_path / "photos"))
    left = [
        run.folder / "checkpoints" / ".step-000000003.safetensors.0123456789ab.tmp",
        run.folder / ".best.safetensors.0123456789ab.tmp",
    ]
    mine = run.folder / ".notes.tmp"
    for path in (*left, mine):
        path.write_bytes(b"half")
    effnet.resume(run.folder, device="cpu")
    assert not any(path.exists() for path in left) and mine.exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="cannot be made"):
            train(tmp_path / "deeper")
    finally:
        tmp_path.chmod(0o700)


def test_a_read_only_disk_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self.parent))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match=r"Read-only.*--run"):
        train(tmp_path, "deeper/run")


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_a_model_file_is_for_whom_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        run = train(tmp_path)
    finally:
        os.umask(before)
    folder = RunFolder(run.folder)
    for path in (folder.best, folder.last, *folder.checkpoints.iterdir(), folder.report):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644, path.name


def test_the_page_leads_with_counts_and_names_what_is_never_answered(tmp_path: Path) -> None:
    run = train(tmp_path, epochs=1, lr=1e-9)
    page = (run.folder / "report.html").read_text()
    assert run.score is not None and run.score.images == 9
    assert f"{run.score.right} of 9, 95 %:" in page.partition("How it went")[0]
    assert "only 9 images" in page and "moving average" in page
    if run.score.never_text:
        assert run.score.never_text in page


def test_fresh_networks_of_few_classes_begin_undecided(tmp_path: Path) -> None:
    run = train(tmp_path, epochs=1)
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["loss"] == pytest.approx(1.0986, abs=1e-3)  # log 3


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    photos = folder_of_images(tmp_path / "photos")
    whole = train(tmp_path, "whole", photos)
    run = train(tmp_path, "run", photos)
    newest = sorted((run.folder / "checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    events: list[Event] = []
    effnet.resume(run.folder, observers=[events.append], device="cpu")
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert newest.name in warning.message
    assert (run.folder / "last.safetensors").read_bytes() == (whole.folder / "last.safetensors").read_bytes()


def test_a_run_folder_is_never_overwritten(tmp_path: Path) -> None:
    run = train(tmp_path)
    with pytest.raises(InputError, match="--resume"):
        train(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.docx").write_bytes(b"years of work")
    with pytest.raises(InputError, match="other things"):
        train(tmp_path, "other")
    assert run.model.exists()


def test_resuming_needs_the_same_data(tmp_path: Path) -> None:
    photos = folder_of_images(tmp_path / "photos")
    run = train(tmp_path, data=photos)
    (photos / "red" / "new.png").write_bytes(Colours(1).read(0))
    with pytest.raises(InputError, match="when the run began"):
        effnet.resume(run.folder)
    with pytest.raises(InputError, match="as a value"):
        effnet.resume(train(tmp_path, "value").folder)
    with pytest.raises(InputError, match="no run"):
        effnet.resume(tmp_path / "nowhere")


def test_data_given_as_a_value_resumes_with_it(tmp_path: Path) -> None:
    run = train(tmp_path)
    assert effnet.resume(run.folder, data=colours(), device="cpu").best == run.best


def test_a_tracker_that_fails_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from effnet.training.tracking import TensorBoard

    def broken(self: TensorBoard, event: Event) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr(TensorBoard, "__call__", broken)
    events: list[Event] = []
    assert train(tmp_path, observers=[events.append]).ending == "completed"
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert "disk on fire" in warning.message


def test_what_is_decided_is_kept_with_its_reason(tmp_path: Path) -> None:
    recipe = dataclasses.replace(SMALL, batch=dataclasses.replace(SMALL.batch, size=None), resolution=None)
    run = train(tmp_path, recipe=recipe)
    decisions = {decision.setting: decision for decision in RunFolder(run.folder).decisions()}
    assert {"batch.size", "resolution"} <= decisions.keys()
    assert all(decision.reason for decision in decisions.values())
    assert RunFolder(run.folder).recipe().batch.size == int(decisions["batch.size"].value)


def test_two_runs_cannot_share_a_folder_at_once(tmp_path: Path) -> None:
    run = train(tmp_path)
    folder = RunFolder(run.folder)
    with folder.locked(), pytest.raises(EffnetError, match="another process"), folder.locked():
        pass


def test_unreadable_images_follow_the_policy(tmp_path: Path) -> None:
    class Broken(Colours):
        def read(self, index: int) -> bytes:
            return super().read(index)[: 50 if index == 5 else None]

    data = Dataset("broken", Broken(22), Colours(9, seed=1))
    with pytest.raises(EffnetError, match=r"005\.png"):
        train(tmp_path, "fail", data)
    run = train(tmp_path, "skip", data, unreadable="skip")
    assert "005.png" in (run.folder / "report.html").read_text()

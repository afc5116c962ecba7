from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from effnet.weights import modelfile
from tests.faults.kills import images
from tests.tiny import tiny_network
from tests.tiny_data import CLASSES
from tests.training import rank

ROOT = Path(__file__).parents[2]

PLAIN = {
    "epochs": 2,
    "progressive": {"stages": 1},
    "regularisation": {"dropout": 0, "drop_path": 0},
    "augmentation": {"policy": "none", "mixup": 0, "cutmix": 0},
    "transfer": {"norm_statistics": "freeze"},
}
"""Nothing that depends on which process sees an image."""


def train(out: Path, ranks: int, *, restarts: int = 0, **options: Any) -> list[dict[str, Any]]:
    """Run rank.py in so many processes; return what each wrote."""
    out.mkdir(exist_ok=True)
    run(ranks, "tests.training.rank", str(out), json.dumps(options), restarts=restarts)
    return [json.loads((out / f"rank{each}.json").read_text()) for each in range(ranks)]


def run(ranks: int, module: str, *arguments: str, restarts: int = 0) -> None:
    """Run a module in so many processes."""
    command = [sys.executable, "-X", "faulthandler", "-m"]
    if ranks > 1:
        command += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        command += ["--max-restarts", str(restarts), "--monitor-interval", "0.2", "-m"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }
    command += [module, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        _, problems = process.communicate(timeout=rank.PATIENCE + 60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # and it says where it was
        _, problems = process.communicate(timeout=60)
    assert process.returncode == 0, problems[-6000:]


@pytest.mark.slow
def test_two_processes_train_what_one_would(tmp_path: Path) -> None:
    (one,) = train(tmp_path / "one", 1, settings=PLAIN)
    first, second = train(tmp_path / "two", 2, settings=PLAIN)
    assert first["digest"] == second["digest"]
    assert first["optimizer"] == second["optimizer"]
    assert first["steps"] == one["steps"]
    assert first["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert first["scores"] == one["scores"]
    assert second["losses"] == []  # only the first process speaks
    ours, theirs = (torch.load(tmp_path / name / "network.pth") for name in ("one", "two"))
    for name in ours:
        torch.testing.assert_close(theirs[name], ours[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_two_processes_learn_from_a_teacher_what_one_would(tmp_path: Path) -> None:
    network = tiny_network(classes=len(CLASSES))
    assert network.preprocess is not None
    model = modelfile.ModelFile(spec=network.spec, state=network.state_dict(), preprocess=network.preprocess)
    teacher = modelfile.save(tmp_path / "teacher.safetensors", model)
    settings = PLAIN | {"distillation": {"teacher": str(teacher), "weight": 0.5}}
    (one,) = train(tmp_path / "one", 1, settings=settings)
    first, second = train(tmp_path / "two", 2, settings=settings)
    (alone,) = train(tmp_path / "alone", 1, settings=PLAIN)
    assert first["digest"] == second["digest"]
    assert first["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert first["losses"] != pytest.approx(alone["losses"], rel=1e-2)


@pytest.mark.slow
def test_when_one_process_is_killed_torchrun_goes_on_bit_for_bit(tmp_path: Path) -> None:
    settings = {"epochs": 2, "transfer": {"head_epochs": 0.5}, "batch": {"accumulate": 2}}
    undisturbed = train(tmp_path / "whole", 2, settings=settings)
    killed = train(tmp_path / "killed", 2, restarts=1, settings=settings, kill_at=3)
    assert [rank["restarts"] for rank in killed] == [1, 1]
    assert killed[0]["digest"] == undisturbed[0]["digest"]  # the others' norm statistics follow it
    assert killed[0]["optimizer"] == undisturbed[0]["optimizer"]
    assert killed[0]["losses"] == undisturbed[0]["losses"][-len(killed[0]["losses"]) :]


@pytest.mark.slow
def test_sharded_weights_train_as_copied_ones_do_and_resume(tmp_path: Path) -> None:
    settings = PLAIN | {"transfer": {"norm_statistics": "freeze", "head_epochs": 0.5}}
    sharded = settings | {"precision": {"dtype": "float32", "sharding": True}}
    copied, _ = train(tmp_path / "copied", 2, settings=settings)
    first, _ = train(tmp_path / "sharded", 2, settings=sharded)
    assert first["losses"] == pytest.approx(copied["losses"], rel=1e-4)
    assert first["scores"] == copied["scores"]
    ours, theirs = (torch.load(tmp_path / name / "network.pth") for name in ("copied", "sharded"))
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(theirs[name], ours[name], rtol=1e-3, atol=1e-5)
    killed, _ = train(tmp_path / "killed", 2, restarts=1, settings=sharded, kill_at=3)
    assert killed["digest"] == first["digest"]
    assert killed["optimizer"] == first["optimizer"]


@pytest.mark.slow
def test_a_network_may_outlive_the_group_that_it_learnt_in() -> None:
    run(2, "tests.training.outliving")


COMMAND = re.compile(r"^torchrun (?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
PAGES = ("docs/training.md", "docs/tutorials/multi-gpu.md", "docs/ko/tutorials/multi-gpu.md")


def documented(page: str) -> list[list[str]]:
    """Return every torchrun command of a page, as words."""
    text = (ROOT / page).read_text("utf-8")
    return [shlex.split(found.group().replace("\\\n", " "), comments=True) for found in COMMAND.finditer(text)]


@pytest.mark.parametrize("page", PAGES)
def test_documented_commands_keep_our_options_from_torchrun(page: str) -> None:
    from torch.distributed.run import get_args_parser

    commands = documented(page)
    assert len(commands) == 2
    for command in commands:
        known = get_args_parser().parse_args(command[1:])
        ours = known.training_script_args[known.training_script_args[:1] == ["--"] :]
        assert (known.training_script, ours[0], ours[-2]) == ("effnet.cli", "train", "--run")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_documented_command_trains_with_two_processes(page: str, tmp_path: Path) -> None:
    command = documented(page)[0]
    images(tmp_path / "photos")
    (tmp_path / "tiny.json").write_text(tiny_network(classes=3).spec.to_json())
    # Only what makes it small is different.
    command[command.index("--nproc-per-node") + 1] = "2"
    command += ["--spec", "tiny.json", "--epochs", "2", "--resolution", "32", "--batch", "8", "--device", "cpu"]
    said = as_typed(command, tmp_path)
    assert (tmp_path / "runs/big/best.safetensors").exists()
    assert said.count("epoch 2  ") == 1  # one of them speaks


@pytest.mark.slow
def test_two_processes_train_a_finished_run_for_longer(tmp_path: Path) -> None:
    images(tmp_path / "photos")
    (tmp_path / "tiny.json").write_text(tiny_network(classes=3).spec.to_json())
    launch = ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "effnet.cli", "--", "train"]
    small = ["--spec", "tiny.json", "--resolution", "32", "--batch", "8", "--device", "cpu"]
    as_typed([*launch, "photos", *small, "--epochs", "1", "--run", "run"], tmp_path)
    said = as_typed([*launch, "--resume", "run", "--epochs", "2", "--device", "cpu"], tmp_path)
    assert said.count("epoch 2  ") == 1


def as_typed(command: list[str], folder: Path) -> str:
    """Run a torchrun command in a folder; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *command[1:]],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=rank.PATIENCE + 60,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout

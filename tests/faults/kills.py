"""Killing training at random moments, resuming, and comparing what comes out with a run that nobody disturbed.

    python -m tests.faults.kills --kills 200 --output benchmarks/results/kill_resume.json

Children are forked from one process that has imported everything, so that the kills fall into training, saving and
reporting rather than into start-up. Every run is killed and resumed until it ends by itself; then its metrics, models,
evaluation and last checkpoint must equal the undisturbed run's, bit for bit.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import effnet
from effnet.training.checkpoint import CheckpointStore
from tests.tiny import tiny_network
from tests.tiny_data import Colours
from tests.training.runs import RECIPE, digest

LONG = dataclasses.replace(RECIPE, epochs=10)

FILES = ("metrics.jsonl", "metrics.csv", "best.safetensors", "last.safetensors", "evaluation.json")


def images(root: Path) -> Path:
    for part, count, seed in (("train", 22, 0), ("val", 9, 1)):
        source = Colours(count, seed=seed)
        for index in range(count):
            path = root / part / source.name(index)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read(index))
    return root


def train(run: Path, data: Path) -> None:
    """Begin the run, or go on with it; a checkpoint follows every step."""
    if (run / "data.json").exists():
        effnet.resume(run, device="cpu", save_seconds=0)
    else:
        effnet.fit(data, LONG, spec=tiny_network(classes=3).spec, run=run, device="cpu", save_seconds=0)


def steps_done(run: Path) -> int:
    """Return the step of the newest checkpoint."""
    names = sorted((run / "checkpoints").glob("step-*.safetensors"))
    return int(names[-1].stem.partition("-")[2]) if names else 0


def in_child(run: Path, data: Path, kill: tuple[int, float] | None) -> int:
    """Train in a child process; return its exit status, -9 when it was killed.

    Args:
        kill: a step, and seconds after its checkpoint appeared, at which to kill it.
    """
    child = os.fork()
    if not child:
        status = 1
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                train(run, data)
            status = 0
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.stderr.flush()
        finally:
            os._exit(status)
    deadline = None
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if kill is not None and deadline is None and steps_done(run) >= kill[0]:
            deadline = time.monotonic() + kill[1]
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001)


def outcome(run: Path) -> dict[str, str]:
    """Return a hash of everything that must be the same."""
    found = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in FILES}
    restored = CheckpointStore(run / "checkpoints").load()
    assert restored is not None
    return found | {"checkpoint": digest(restored.state)}


def campaign(kills: int, seed: int) -> dict[str, Any]:
    """Kill so many times, in as many runs as it takes; return what happened."""
    rng = random.Random(seed)
    killed = runs = exact = 0
    steps: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        data = images(Path(folder) / "images")
        assert in_child(Path(folder) / "whole", data, None) == 0
        expected, last = outcome(Path(folder) / "whole"), steps_done(Path(folder) / "whole")
        while killed < kills:
            run = Path(folder) / f"run{runs}"
            while True:
                # Mostly in the steps to come, at any moment of one; sometimes while the end is written.
                target = min(last, steps_done(run) + rng.choice((0, 1, 1, 2, 2, 3, 4)))
                moment = rng.uniform(0, 0.6) if target == last or rng.random() < 0.1 else rng.uniform(0, 0.06)
                finishing = killed >= kills or (target == last and rng.random() < 0.5)
                status = in_child(run, data, None if finishing else (target, moment))
                if status == 0:
                    break
                if status != -signal.SIGKILL:
                    raise AssertionError(f"a resumed run failed with status {status}")
                killed += 1
                steps.append(steps_done(run))
            runs += 1
            exact += outcome(run) == expected
    return {"kills": killed, "runs": runs, "bit_exact_runs": exact, "steps_at_kill": sorted(steps)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    import matplotlib.figure  # noqa: F401 - imported once, for all children
    from torch.utils import tensorboard  # noqa: F401

    result = campaign(arguments.kills, arguments.seed)
    sys.stdout.write(json.dumps(result) + "\n")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(result["bit_exact_runs"] != result["runs"])


if __name__ == "__main__":
    main()

"""The folder of one run: what was asked, what was decided, what happened, and what came out.

recipe.json        every setting, decided            metrics.jsonl, metrics.csv   what was measured
network.json       the spec and its preprocessing    times.jsonl                  when, and how long
data.json          what was trained on               best.safetensors             best network, a model file
decisions.json     what was chosen, and why          last.safetensors             last network, a model file
environment.json   versions and machine              checkpoints/                 to resume from
command.txt        how to repeat it                  report.html                  all of it, to look at
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from effnet.data.source import Dataset
from effnet.errors import InputError
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec
from effnet.training.events import Decision
from effnet.training.recipe import Recipe
from effnet.weights.atomic import StorageError, atomic_write, make_folder

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
"""What `atomic_write` calls a file until it is whole."""

_PACKAGES = ("effnet", "torch", "numpy", "pillow", "safetensors")


class RunFolder:
    """One run's files, by name."""

    def __init__(self, path: Path) -> None:
        """Name the folder; it is neither made nor read."""
        self.path = path
        self.recipe_file = path / "recipe.json"
        self.network_file = path / "network.json"
        self.data_file = path / "data.json"
        self.decisions_file = path / "decisions.json"
        self.environment_file = path / "environment.json"
        self.command_file = path / "command.txt"
        self.metrics = path / "metrics.jsonl"
        self.times = path / "times.jsonl"
        self.table = path / "metrics.csv"
        self.checkpoints = path / "checkpoints"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.tensorboard = path / "tensorboard"
        self.report = path / "report.html"

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.data_file.is_file()  # written last

    @classmethod
    def create(
        cls,
        path: Path | None,
        *,
        recipe: Recipe,
        spec: NetworkSpec,
        preprocess: Preprocess,
        data: str | None,
        dataset: Dataset,
        decisions: Sequence[Decision],
        device: str,
    ) -> RunFolder:
        """Make the folder and write what is known before training.

        Args:
            path: where; None: `runs/` and a name of date, recipe and model.
            data: how to open the data again; None when it was given as a value.

        Raises:
            InputError: the folder holds a run, or other things.
            StorageError: it cannot be written.
        """
        path = _free_name(recipe, spec) if path is None else path
        run = cls(path)
        if run.exists:
            raise InputError(
                "a run is in this folder", where=str(path), fix=f"effnet train --resume {path}, or name another"
            )
        if path.exists() and (not path.is_dir() or any(not _is_ours(entry) for entry in path.iterdir())):
            raise InputError("this folder holds other things", where=str(path), fix="name a new folder")
        make_folder(path, "--run")
        _write(run.recipe_file, recipe.to_dict())
        _write(run.network_file, {"spec": json.loads(spec.to_json()), "preprocess": preprocess.to_dict()})
        _write(run.decisions_file, [dataclasses.asdict(decision) for decision in decisions])
        _write(run.environment_file, environment(device))
        with atomic_write(run.command_file) as temp:
            temp.write_text(command_line() + "\n", "utf-8", "surrogateescape")
        _write(run.data_file, {"data": data, **_facts(dataset)})
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the folder of a run that was begun.

        Raises:
            InputError: no run was begun there.
        """
        run = cls(path)
        if not run.exists:
            raise InputError("no run in this folder", where=str(path), fix="give the folder that effnet train named")
        return run

    def recipe(self) -> Recipe:
        """Return the run's recipe.

        Raises:
            EffnetError: the file is damaged.
        """
        return Recipe.from_dict(_read(self.recipe_file))

    def network(self) -> tuple[NetworkSpec, Preprocess]:
        """Return the network and how images become its inputs.

        Raises:
            EffnetError: the file is damaged.
        """
        content = _read(self.network_file)
        return NetworkSpec.from_json(json.dumps(content["spec"])), Preprocess.from_dict(content["preprocess"])

    def data(self) -> str | None:
        """Return what to open the data by; None when it was given as a value."""
        value = _read(self.data_file).get("data")
        return None if value is None else str(value)

    def decisions(self) -> tuple[Decision, ...]:
        """Return what was decided when the run began."""
        return tuple(Decision(**entry) for entry in _read(self.decisions_file))

    def require_same(self, dataset: Dataset) -> None:
        """Refuse data that is not what the run began with, as far as counts and classes tell.

        Raises:
            InputError: it differs.
        """
        then, now = _read(self.data_file), _facts(dataset)
        for name, value in now.items():
            if then.get(name) != value:
                what = f"{name} was {str(then.get(name))[:80]} when the run began and is {str(value)[:80]}"
                raise InputError(what, where=str(self.path), fix="bring the data back as it was, or train anew")

    def lengthen(self, recipe: Recipe) -> None:
        """Keep that the run goes on to `recipe.epochs`, and the command that asked for it.

        Raises:
            StorageError: it cannot be written.
        """
        before = self.recipe().epochs
        decision = Decision(setting="epochs", value=str(recipe.epochs), reason=f"as asked, after a run of {before}")
        commands = self.command_file.read_text("utf-8", "surrogateescape")
        with atomic_write(self.command_file) as temp:
            temp.write_text(f"{commands.rstrip()}\n{command_line()}\n", "utf-8", "surrogateescape")
        _write(self.decisions_file, [dataclasses.asdict(each) for each in (*self.decisions(), decision)])
        _write(self.recipe_file, recipe.to_dict())  # last: it is what a resumed run follows

    def sweep(self) -> None:
        """Remove what a killed process was writing; only for who holds the lock, as no other writes here then."""
        for folder in (self.path, self.checkpoints):
            for path in folder.glob(".*.tmp") if folder.is_dir() else ():
                if _TEMPORARY.fullmatch(path.name):
                    with contextlib.suppress(OSError):
                        path.unlink()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in the folder; the lock goes with the process that holds it.

        Raises:
            InputError: another process trains here.
        """
        lock = FileLock(self.path / ".lock", fallback_to_soft=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            fix = "wait for it, or stop it"
            raise InputError("another process trains in this folder", where=str(self.path), fix=fix) from None
        except OSError as error:
            fix = "make the folder writable: a run that goes on writes into it"
            raise StorageError(f"cannot be written: {error.strerror}", where=str(self.path), fix=fix) from None
        try:
            yield
        finally:
            lock.release()


def environment(device: str) -> dict[str, Any]:
    """Return versions and machine, without anything private."""
    versions = {name: metadata.version(name) for name in _PACKAGES}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "device": device if device == "cpu" else f"{device} ({torch.cuda.get_device_name()})",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _free_name(recipe: Recipe, spec: NetworkSpec) -> Path:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / f"{stamp}-{recipe.name}-{spec.name}"
    names = (base.with_name(f"{base.name}-{number}") if number else base for number in range(1000))
    return next(name for name in names if not name.exists())


def _is_ours(entry: Path) -> bool:
    # What a run leaves that was killed while its folder was made.
    return entry.name.startswith(".") or entry.suffix in (".json", ".txt")


def _facts(dataset: Dataset) -> dict[str, Any]:
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return {
        "classes": list(dataset.train.classes),
        "images": {name: len(source) for name, source in parts.items() if source is not None},
    }


def command_line() -> str:
    """Return the command that began this process, so that it can be given again."""
    name = Path(sys.argv[0]).name
    program = "effnet" if name in ("effnet", "__main__.py") else f"python {shlex.quote(sys.argv[0])}"
    return " ".join([program, *map(shlex.quote, sys.argv[1:])])


def _write(path: Path, content: Mapping[str, Any] | Sequence[Any]) -> None:
    with atomic_write(path) as temp:
        temp.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8", "surrogateescape")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8", "surrogateescape"))
    except (OSError, ValueError) as error:
        fix = "the run cannot go on; train again with the command in command.txt"
        raise InputError(f"damaged or missing ({error})", where=str(path), fix=fix) from None

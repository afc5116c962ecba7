"""The folder of one experiment: its plan, its journal, and what came out.

plan.json         everything that decides the outcome    study.journal   every attempt, as Optuna keeps it
environment.json  versions and machine                   results.json    everything that was found out
command.txt       how to repeat it                       report.html     the same, to look at
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effnet.errors import InputError
from effnet.training.run_folder import command_line, environment
from effnet.weights.atomic import atomic_write, make_folder

_FORMAT = 1

_KEEPERS = ("effnet search", "effnet study", "effnet recommend --try")
"""The commands whose folders hold a plan."""


@dataclass(frozen=True, slots=True)
class ExperimentFolder:
    """Names the files; several workers may share one."""

    path: Path

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def results(self) -> Path:
        """The figures."""
        return self.path / "results.json"

    @classmethod
    def join(
        cls,
        path: Path | None,
        kind: str,
        plan: Mapping[str, Any],
        *,
        device: str,
        storage: str | None = None,
        name: str | None = None,
    ) -> ExperimentFolder:
        """Make the folder, or join the experiment that is in it.

        Args:
            path: None: `runs/` and a name of its own.
            kind: `search`, `scaling`, `axes` or `recommend`.
            plan: plain JSON data.
            device: what is computed on.
            storage, name: of the study, when a database keeps it; the address is written without its password.

        Raises:
            InputError: the folder holds another experiment or other things.
        """
        path = _free_name(kind) if path is None else path
        folder = cls(path)
        file = path / "plan.json"
        if file.exists():
            held = folder.open_plan()
            if held["kind"] != kind or held["plan"] != json.loads(json.dumps(plan)):
                raise InputError("another experiment is in this folder", where=str(path), fix="name a new folder")
            return folder
        if path.exists() and (not path.is_dir() or any(entry.name[0] != "." for entry in path.iterdir())):
            raise InputError("this folder holds other things", where=str(path), fix="name a new folder")
        make_folder(path, "--run")
        database = None if storage is None else {"address": _without_password(storage), "name": name}
        # First, so that another worker that comes now finds it and joins.
        folder.write("plan.json", {"format": _FORMAT, "kind": kind, "database": database, "plan": dict(plan)})
        folder.write("environment.json", environment(device))
        command = command_line()
        with atomic_write(path / "command.txt") as temp:
            shown = command if storage is None else command.replace(storage, _without_password(storage))
            temp.write_text(shown + "\n", "utf-8", "surrogateescape")
        return folder

    def open_plan(self) -> dict[str, Any]:
        """Return what `plan.json` holds: kind, database and plan.

        Raises:
            InputError: there is none, or it is damaged.
        """
        file = self.path / "plan.json"
        fix = f"name a folder that {', '.join(_KEEPERS[:-1])} or {_KEEPERS[-1]} made"
        try:
            held = json.loads(file.read_text("utf-8"))
        except OSError:
            raise InputError("no experiment is here", where=str(self.path), fix=fix) from None
        except ValueError:
            raise InputError("damaged", where=str(file), fix=fix) from None
        if not isinstance(held, dict) or held.get("format") != _FORMAT or not isinstance(held.get("plan"), dict):
            raise InputError("not a plan that this version reads", where=str(file), fix=fix)
        return held

    def write(self, name: str, data: Any) -> Path:
        """Write JSON; a file is whole or not there."""
        file = self.path / name
        with atomic_write(file) as temp:
            temp.write_text(json.dumps(data, indent=2) + "\n", "utf-8")
        return file

    def write_text(self, name: str, text: str) -> Path:
        """Write text; a file is whole or not there."""
        file = self.path / name
        with atomic_write(file) as temp:
            temp.write_text(text, "utf-8")
        return file


def _free_name(kind: str) -> Path:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path("runs") / f"{stamp}-{kind}"
    number = 2
    while path.exists():
        path = Path("runs") / f"{stamp}-{kind}-{number}"
        number += 1
    return path


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{login.partition(':')[0]}{at}{place}"

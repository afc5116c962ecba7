"""What a run measures, written where people and tools look: JSON lines, CSV, TensorBoard, W&B, MLflow.

Each is an observer of the run. Files that a resumed run continues lose what was written after the checkpoint it
resumes from, so that a run that was killed leaves the same rows as one that was not; wall-clock times, which cannot be
the same, have a file of their own.
"""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from effnet.errors import MissingDependencyError
from effnet.training.events import Evaluated, Event, Finished, Observer, StageStarted, Started, Stepped
from effnet.training.recipe import Recipe
from effnet.training.run_folder import RunFolder
from effnet.weights.atomic import atomic_write, typed_os_errors


class MetricFiles:
    """`metrics.jsonl` (a row a step and an evaluation), `metrics.csv` (a row an evaluation), `times.jsonl`."""

    def __init__(self, run: RunFolder) -> None:
        """Continue the files of `run`, or begin them, when training starts."""
        self._run = run

    def __call__(self, event: Event) -> None:
        """Write what is to be kept of an event."""
        if isinstance(event, Started):
            for path in (self._run.metrics, self._run.times):
                _cut(path, event.step)
            self._write_table()
        elif isinstance(event, Stepped):
            row: dict[str, Any] = {"step": event.step, "epoch": event.epoch, "stage": event.stage, "loss": event.loss}
            row |= {"rate": event.rate, "gradient_norm": event.gradient_norm, "samples": event.samples}
            _append(self._run.metrics, {"kind": "step", **row, "skipped": event.skipped})
            times = {"seconds": event.seconds, "waited": event.waited, "samples": event.samples}
            _append(self._run.times, {"kind": "step", "step": event.step, "stage": event.stage, **times})
        elif isinstance(event, Evaluated):
            row = {"step": event.step, "epoch": event.epoch, **event.metrics, "best": event.best}
            _append(self._run.metrics, {"kind": "evaluation", **row})
            _append(self._run.times, {"kind": "evaluation", "step": event.step, "seconds": event.seconds})
            self._write_table()

    def _write_table(self) -> None:
        rows = [row for row in read_rows(self._run.metrics) if row["kind"] == "evaluation"]
        with atomic_write(self._run.table) as temp, temp.open("w", newline="", encoding="utf-8") as file:
            names = [name for name in rows[0] if name != "kind"] if rows else ["step", "epoch"]
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines; one that a kill has cut short is left out."""
    rows = []
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break  # the last line, half written
    return rows


def _append(path: Path, row: Mapping[str, Any]) -> None:
    with typed_os_errors(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _cut(path: Path, step: int) -> None:
    rows = [row for row in read_rows(path) if row["step"] <= step]
    with atomic_write(path) as temp:
        temp.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


class TensorBoard:
    """Scalars for TensorBoard, in the run's `tensorboard` folder."""

    def __init__(self, run: RunFolder) -> None:
        """Open the folder when training starts.

        Raises:
            MissingDependencyError: tensorboard is not installed.
        """
        try:
            importlib.import_module("tensorboard")
        except ImportError:
            raise MissingDependencyError.for_extra("tensorboard", "train", "TensorBoard logs") from None
        self._folder = run.tensorboard
        self._writer: Any = None

    def __call__(self, event: Event) -> None:
        """Write the event's scalars."""
        if isinstance(event, Started):
            from torch.utils.tensorboard import SummaryWriter

            # Steps after the checkpoint were written by a session that was killed; this hides them.
            self._writer = SummaryWriter(str(self._folder), purge_step=event.step + 1 if event.step else None)
        for name, value in _scalars(event).items():
            self._writer.add_scalar(name, value, event.step)
        if isinstance(event, Evaluated):
            self._writer.flush()
        if isinstance(event, Finished):
            self._writer.close()


class WandB:
    """A run of Weights & Biases, resumed under the same name."""

    def __init__(self, run: RunFolder, recipe: Recipe) -> None:
        """Begin it.

        Raises:
            MissingDependencyError: wandb is not installed.
        """
        wandb = _imported("wandb", "Weights & Biases")
        name = run.path.resolve().name
        self._run = wandb.init(project="effnet", name=name, id=name, resume="allow", config=recipe.to_dict())

    def __call__(self, event: Event) -> None:
        """Log the event's scalars."""
        if scalars := _scalars(event):
            self._run.log(scalars, step=event.step)
        if isinstance(event, Finished):
            self._run.finish()


class MLflow:
    """A run of MLflow, at the server that its own environment variables name."""

    def __init__(self, run: RunFolder, recipe: Recipe) -> None:
        """Begin it.

        Raises:
            MissingDependencyError: mlflow is not installed.
        """
        self._mlflow = _imported("mlflow", "MLflow")
        self._mlflow.start_run(run_name=run.path.resolve().name)
        self._mlflow.log_params(
            {"recipe": recipe.name, "model": recipe.model, "lr": recipe.lr, "epochs": recipe.epochs}
        )

    def __call__(self, event: Event) -> None:
        """Log the event's scalars."""
        if scalars := _scalars(event):
            self._mlflow.log_metrics(scalars, step=event.step)
        if isinstance(event, Finished):
            self._mlflow.end_run()


def surviving(observer: Observer, tell: Callable[[str], None]) -> Observer:
    """Return an observer that stops watching when `observer` fails, instead of stopping the run; `tell` hears why."""
    alive = True

    def watch(event: Event) -> None:
        nonlocal alive
        if not alive:
            return
        try:
            observer(event)
        except Exception as error:  # a tracker's server, disk or library must not cost a run
            alive = False
            tell(f"{type(observer).__name__} stopped: {type(error).__name__}: {error}")

    return watch


def _scalars(event: Event) -> dict[str, float]:
    if isinstance(event, Stepped):
        norm = {} if event.gradient_norm is None else {"train/gradient_norm": event.gradient_norm}
        speed = event.samples / event.seconds if event.seconds else 0.0
        return {"train/loss": event.loss, "train/rate": event.rate, "train/images_per_second": speed, **norm}
    if isinstance(event, Evaluated):
        return {f"val/{name}": value for name, value in event.metrics.items()}
    if isinstance(event, StageStarted):
        settings = event.settings
        names = ("image_size", "magnitude", "mixup", "cutmix", "dropout", "drop_path")
        return {f"stage/{name}": float(getattr(settings, name)) for name in names} | {"stage/batch": event.batch}
    return {}


def _imported(package: str, purpose: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise MissingDependencyError.for_extra(package, package, purpose) from None

"""`effnet train`: a folder of images becomes a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import typer

from effnet.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import torch

    from effnet.data.source import Dataset
    from effnet.training.decisions import Decided
    from effnet.training.events import Observer
    from effnet.training.fit import Run
    from effnet.training.recipe import Recipe
    from effnet.training.score import Score

# Flags are recipe settings by a shorter name; --set reaches all of them.
_SETTINGS = {
    "model": "model",
    "weights": "weights",
    "teacher": "distillation.teacher",
    "epochs": "epochs",
    "lr": "lr",
    "batch": "batch.size",
    "resolution": "resolution",
    "stages": "progressive.stages",
    "seed": "seed",
    "max_hours": "max_hours",
    "patience": "patience",
}


def train(
    data: str | None = typer.Argument(
        None, help="Folder, .csv, .parquet, .zip, .tar, shards, digits, cifar10, hf:NAME."
    ),
    recipe: str | None = typer.Option(None, help="A name that `effnet recipes` lists, or a TOML, YAML or JSON file."),
    model: str | None = typer.Option(None, help="Network, such as b0, v2_s, lite0, resnet50."),
    spec: str | None = typer.Option(None, help="Network as a spec file, as `effnet scale` and search write it."),
    weights: str | None = typer.Option(None, help="imagenet, a tag, a file, or none."),
    teacher: str | None = typer.Option(
        None, help="Learn from this model's answers too: a name, a tag or a model file."
    ),
    epochs: int | None = typer.Option(None, help="Passes over the data."),
    lr: float | None = typer.Option(None, help="Peak learning rate for 256 images."),
    batch: int | None = typer.Option(None, help="Images at once, over all processes."),
    resolution: int | None = typer.Option(None, help="Side of the training images in pixels."),
    stages: int | None = typer.Option(None, help="Stages of progressive learning; 1 is a fixed size."),
    seed: int | None = typer.Option(None, help="Of everything random."),
    patience: int | None = typer.Option(None, help="Epochs without a better score until training stops."),
    max_hours: float | None = typer.Option(None, help="Stop in order after this time."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Any setting, such as ema.decay=0.999."),
    run: Path | None = typer.Option(None, help="Folder to make for the run; default: runs/ and a name."),
    resume: Path | None = typer.Option(None, help="Go on with the run in this folder; with --epochs, for longer."),
    device: str | None = typer.Option(None, help="cpu, cuda, cuda:1; default: the accelerator if there is one."),
    workers: int | None = typer.Option(None, help="Processes that load images; 0 loads in threads."),
    unreadable: str = typer.Option("fail", help="At an image that cannot be read: fail, or skip it (at most 1 %)."),
    save_seconds: float = typer.Option(300.0, help="Time between checkpoints within an epoch."),
    wandb: bool = typer.Option(False, "--wandb", help="Log to Weights & Biases too."),
    mlflow: bool = typer.Option(False, "--mlflow", help="Log to MLflow too."),
    plot_schedule: Path | None = typer.Option(
        None, help="Draw what changes during training (.png, .svg); no training."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print what would be done; no training."),
    json: bool = typer.Option(False, "--json", help="Print the outcome as JSON; progress goes to standard error."),
) -> None:
    """Train a network on your images, or go on with an interrupted run."""
    given = {name: value for name, value in locals().items() if name in _SETTINGS and value is not None}
    if unreadable not in ("fail", "skip"):
        raise UnknownNameError.among("policy", unreadable, ("fail", "skip"))
    common: dict[str, Any] = {
        "device": device,
        "workers": workers,
        "unreadable": cast(Literal["fail", "skip"], unreadable),
        "save_seconds": save_seconds,
        "trackers": [name for name, wanted in (("wandb", wandb), ("mlflow", mlflow)) if wanted],
    }
    if resume is not None:
        if data is not None or recipe or spec or given.keys() - {"epochs"} or set_ or run:
            fix = f"give only: effnet train --resume {resume}, and --epochs N to train it for longer"
            raise InputError("a resumed run keeps its data and settings", where="--resume", fix=fix)
        _carry_out(None, resume, common | {"epochs": epochs}, json)
        return
    if data is None:
        raise InputError("no data", where="DATA", fix="give a folder of class folders, or digits to try it")
    chosen, changes = _recipe(recipe, given, set_)
    network = None
    if spec is not None:
        from effnet.cli import arguments

        network = arguments.network(spec)
    request = {"data": data, "recipe": chosen, "spec": network, "run": run, **changes}
    if dry_run or plot_schedule is not None:
        _preview(request, device, plot_schedule, unreadable)
        return
    _carry_out(request, run, common, json)


def _recipe(name: str | None, given: dict[str, Any], assignments: list[str]) -> tuple[Recipe | None, dict[str, Any]]:
    """Return the recipe with the flags' settings; without a name, None and the settings nested as `fit` takes them."""
    from effnet.training import catalog
    from effnet.training.recipe_file import assigned, open_recipe, override

    flags = [f"{_SETTINGS[flag]}={value}" for flag, value in given.items()]
    if name is not None:
        return override(open_recipe(name), [*flags, *assignments]), {}
    changes = assigned([*flags, *assignments])
    override(catalog.find("finetune"), [*flags, *assignments])  # what is impossible is said before the data is read
    return None, changes


def _carry_out(request: dict[str, Any] | None, run: Path | None, common: dict[str, Any], json: bool) -> None:
    import os
    import sys

    from effnet.training.display import display_for
    from effnet.training.fit import fit
    from effnet.training.fit import resume as go_on
    from effnet.training.interruption import InterruptedRunError

    leads = os.environ.get("RANK", "0") == "0"
    display = display_for(sys.stderr if json else sys.stdout)
    observers: list[Observer] = [display] if leads else []
    try:
        if request is None:
            assert run is not None
            result = go_on(run, observers=observers, **common)
        else:
            result = fit(observers=observers, **request, **common)
    except InterruptedRunError as error:
        raise error from None
    finally:
        close = getattr(display, "close", None)
        if close:
            close()
    if leads:
        _print(result, json)


def _print(result: Run, json: bool) -> None:
    from effnet.cli.arguments import as_json

    report = result.folder / "report.html"
    if json:
        typer.echo(
            as_json(
                {
                    "run": str(result.folder),
                    "model": str(result.model),
                    "top1": result.best,
                    "judged": None if result.score is None else _judged(result.score),
                    "ending": result.ending,
                    "seconds": result.seconds,
                    "report": str(report) if report.exists() else None,
                }
            )
        )
        return
    typer.echo(f"model      {result.model}")
    if report.exists():
        typer.echo(f"report     {report}")
    typer.echo(f"use it     effnet predict {result.model} IMAGE")


def _judged(score: Score) -> dict[str, Any]:
    figures = score.to_dict()
    figures["top1_interval"] = [figures.pop("low"), figures.pop("high")]
    return figures


def _preview(request: dict[str, Any], device: str | None, plot: Path | None, unreadable: str) -> None:
    """Print the decisions and the schedule, and draw it if asked to."""
    from effnet.data.preflight import remarked, require_readable, used_ranges
    from effnet.data.sources import open_dataset
    from effnet.inference.runtime import find_device
    from effnet.training.decisions import decide

    recipe, changes = (
        request["recipe"],
        {k: v for k, v in request.items() if k not in ("data", "recipe", "spec", "run")},
    )
    seed = changes.get("seed", recipe.seed if recipe else 0)
    dataset = open_dataset(request["data"], seed=seed)
    for line in remarked(dataset.remarks):
        typer.echo(line)
    if unreadable == "fail":
        require_readable(dataset)
    decided = decide(recipe, dataset, device=find_device(device), spec=request["spec"], settings=changes or None)
    if decided.recipe.white is None:
        for line in remarked(used_ranges(dataset.train)):
            typer.echo(line)
    width = max((len(decision.setting) for decision in decided.decisions), default=0)
    for decision in decided.decisions:
        typer.echo(_wrapped(f"{decision.setting:<{width}}  {decision.value}: {decision.reason}", width + 2))
    typer.echo("")
    for line in str(decided.recipe).splitlines():
        name = line.partition(" ")[0]
        indent = len(line) - len(line.removeprefix(name).lstrip())
        typer.echo(_wrapped(line, indent))
    typer.echo("")
    stages = _stages(decided, len(dataset.train))
    for begins, settings in stages:
        shown = "  ".join(f"{name} {value:.3g}" for name, value in settings.items())
        typer.echo(f"from epoch {begins:.2f}  {shown}")
    typer.echo("")
    typer.echo(_duration(decided, dataset, find_device(device)))
    if plot is not None:
        from effnet.report.training_charts import schedule_chart
        from effnet.weights.atomic import atomic_write

        kind = plot.suffix.lower().removeprefix(".")
        if kind not in ("png", "svg"):
            raise InputError("not a kind of picture this draws", where=str(plot), fix="end its name in .png or .svg")
        edges = [*(begins for begins, _ in stages), float(decided.recipe.epochs)]
        chart = schedule_chart([settings for _, settings in stages], edges, kind=cast(Literal["png", "svg"], kind))
        with atomic_write(plot) as temp:
            temp.write_bytes(chart)
        typer.echo(f"\nschedule {plot}")


def _wrapped(line: str, indent: int) -> str:
    """Return a line folded at the width of the terminal; what is piped stays whole."""
    import shutil
    import sys
    import textwrap

    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    folded = textwrap.TextWrapper(max(width, indent + 20), subsequent_indent=" " * indent, break_on_hyphens=False)
    return folded.fill(line)


def _duration(decided: Decided, dataset: Dataset, device: torch.device) -> str:
    from effnet.report.training import duration_text
    from effnet.training.estimate import estimate

    found = estimate(decided, dataset, device)
    if found is None:
        return "time     not estimated: a step of this network takes too long to be timed here"
    said = f"at least about {duration_text(found.seconds)} ({duration_text(found.epoch)} for the last epoch)"
    return f"time     {said}, from steps timed on this machine, as busy as it is now"


def _stages(decided: Decided, samples: int) -> list[tuple[float, dict[str, float]]]:
    from effnet.training.progressive import first_step

    recipe = decided.recipe
    schedule = recipe.progressive_for(decided.spec)
    total = samples * recipe.epochs
    batch = (recipe.batch.size or 1) * recipe.batch.accumulate
    names = ("image_size", "magnitude", "mixup", "cutmix", "dropout", "drop_path")
    result = []
    for number in range(schedule.stages):
        settings = schedule.settings(number)
        values = {name: float(getattr(settings, name)) for name in names}
        begins = first_step(number, total, schedule.stages) / samples
        result.append((begins, values | {"batch": float(settings.batch_size(batch))}))
    return result

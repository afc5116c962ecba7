"""`effnet study`: the papers' experiments on your own images."""

from __future__ import annotations

import json as encoder
import sys
from pathlib import Path

import typer

from effnet.errors import InputError

app = typer.Typer(help="The papers' experiments on your own images.", no_args_is_help=True)


@app.callback()
def study() -> None:
    """The papers' experiments on your own images."""


_DATA = typer.Argument(None, help="Folder, table, archive, digits, cifar10:PATH; as for train.")
_MODEL = typer.Option("b0", help="The base: a name or a spec file.")
_PHI = typer.Option(None, help="Scale the base first, such as -3 for a small one.")
_EDIT = typer.Option([], "--edit", metavar="PLACE=VALUE", help="Then change it: resolution=32, stem.stride=1.")
_RECIPE = typer.Option("brief", help="Of every training: a name or a file.")
_EPOCHS = typer.Option(None, help="Of every training.")
_SET = typer.Option([], "--set", metavar="KEY=VALUE", help="Any recipe setting.")
_TRAIN = typer.Option(None, help="Images of each class to train on; default: all.")
_VAL = typer.Option(None, help="Images of each class to judge by; default: all.")
_SEEDS = typer.Option(3, help="Trainings of each network.")
_SEED = typer.Option(0, help="The first of them.")
_RUN = typer.Option(None, help="Folder; workers on one machine share it. Default: runs/ and a name.")
_STORAGE = typer.Option(None, help="postgresql://user:password@host/name, for several machines.")
_NAME = typer.Option(None, help="Of the study in that database; all workers give the same.")
_RESUME = typer.Option(None, help="Go on with the study in this folder; nothing else is needed.")
_DEVICE = typer.Option(None, help="cpu, cuda, cuda:1; default: the accelerator if there is one.")
_WORKERS = typer.Option(None, help="Processes that load images.")
_JSON = typer.Option(False, "--json", help="Print the outcome as JSON; progress goes to standard error.")


@app.command()
def scaling(
    data: str | None = _DATA,
    model: str = _MODEL,
    phi: float | None = _PHI,
    edit: list[str] = _EDIT,
    step: float = typer.Option(0.05, help="Of the grid of alpha, beta and gamma."),
    tolerance: float = typer.Option(0.1, help="By which alpha*beta^2*gamma^2 may differ from 2."),
    candidates: int = typer.Option(12, help="How many of the grid to train, spread evenly."),
    recipe: str = _RECIPE,
    epochs: int | None = _EPOCHS,
    set_: list[str] = _SET,
    train_per_class: int | None = _TRAIN,
    val_per_class: int | None = _VAL,
    seeds: int = _SEEDS,
    seed: int = _SEED,
    run: Path | None = _RUN,
    storage: str | None = _STORAGE,
    name: str | None = _NAME,
    resume: Path | None = _RESUME,
    device: str | None = _DEVICE,
    workers: int | None = _WORKERS,
    json: bool = _JSON,
) -> None:
    """Find alpha, beta and gamma for your images, as V1 section 3.3 did for ImageNet."""
    from effnet.cli.arguments import as_json
    from effnet.cli.experiments import base_network, given_or_resumed, short_recipe, study_name
    from effnet.experiments.experiment_folder import ExperimentFolder
    from effnet.experiments.scaling_study import ScalingPlan, scaling_study
    from effnet.experiments.search_display import display_for
    from effnet.experiments.study_files import scaling_summary, write_scaling
    from effnet.inference.runtime import find_device
    from effnet.search.coefficient_grid import candidates as grid

    held = given_or_resumed(data, resume, "scaling", storage)
    if held is None:
        base = base_network(model, phi, edit)
        plan = ScalingPlan(
            data=str(data),
            train_per_class=train_per_class,
            val_per_class=val_per_class,
            base=base,
            candidates=tuple(grid(base, step=step, tolerance=tolerance, count=candidates)),
            recipe=short_recipe(recipe, epochs, set_),
            seeds=seeds,
            seed=seed,
        )
    else:
        plan = ScalingPlan.from_dict(held)
    folder = ExperimentFolder.join(
        resume or run,
        "scaling",
        plan.to_dict(),
        device=str(find_device(device)),
        storage=storage,
        name=study_name(storage, name),
    )
    display = display_for(sys.stderr if json else sys.stdout)
    result = scaling_study(
        plan, folder.path, name=name or "scaling", storage=storage, device=device, workers=workers, watch=display
    )
    write_scaling(folder, result)
    data_out, text = scaling_summary(folder, result)
    typer.echo(as_json(data_out) if json else text)


@app.command()
def axes(
    data: str | None = _DATA,
    model: str = _MODEL,
    phi: float | None = _PHI,
    edit: list[str] = _EDIT,
    multiples: str = typer.Option("2,4", help="MACs of the scaled networks over those of the base."),
    coefficients: Path | None = typer.Option(None, help="Bases of compound scaling, as study scaling wrote them."),
    tolerance: float = typer.Option(0.03, help="Share by which MACs may differ among the four."),
    recipe: str = _RECIPE,
    epochs: int | None = _EPOCHS,
    set_: list[str] = _SET,
    train_per_class: int | None = _TRAIN,
    val_per_class: int | None = _VAL,
    seeds: int = _SEEDS,
    seed: int = _SEED,
    run: Path | None = _RUN,
    storage: str | None = _STORAGE,
    name: str | None = _NAME,
    resume: Path | None = _RESUME,
    device: str | None = _DEVICE,
    workers: int | None = _WORKERS,
    json: bool = _JSON,
) -> None:
    """Compare depth, width, resolution and compound scaling at equal MACs, as V1 Figures 3, 7 and 8 do."""
    from effnet.cli.arguments import as_json, numbers
    from effnet.cli.experiments import base_network, given_or_resumed, short_recipe, study_name
    from effnet.experiments.axes_study import AxesStudy, AxesStudyPlan
    from effnet.experiments.experiment_folder import ExperimentFolder
    from effnet.experiments.search_display import display_for
    from effnet.experiments.study_files import axes_summary, write_axes
    from effnet.inference.runtime import find_device
    from effnet.scaling import Coefficients

    held = given_or_resumed(data, resume, "axes", storage)
    if held is None:
        bases = Coefficients()
        if coefficients is not None:
            from effnet.cli.arguments import coefficients_file

            bases = coefficients_file(coefficients)
        plan = AxesStudyPlan(
            data=str(data),
            train_per_class=train_per_class,
            val_per_class=val_per_class,
            base=base_network(model, phi, edit),
            multiples=tuple(numbers(multiples, "--multiples")),
            coefficients=bases,
            tolerance=tolerance,
            recipe=short_recipe(recipe, epochs, set_),
            seeds=seeds,
            seed=seed,
        )
    else:
        plan = AxesStudyPlan.from_dict(held)
    folder = ExperimentFolder.join(
        resume or run,
        "axes",
        plan.to_dict(),
        device=str(find_device(device)),
        storage=storage,
        name=study_name(storage, name),
    )
    display = display_for(sys.stderr if json else sys.stdout)
    made = AxesStudy(
        plan, folder.path, name=name or "axes", storage=storage, device=device, workers=workers, watch=display
    )
    result = made.run()
    write_axes(folder, made, result)
    data_out, text = axes_summary(folder, result)
    typer.echo(as_json(data_out) if json else text)


@app.command()
def latency(
    model: str = _MODEL,
    phi: float | None = _PHI,
    edit: list[str] = _EDIT,
    space: Path | None = typer.Option(None, help="A search space; default: the papers' around the model."),
    networks: int = typer.Option(40, help="Random networks of the space that are measured."),
    validate: int = typer.Option(20, help="Other networks of it that are measured whole, for comparison."),
    seed: int = _SEED,
    device: str | None = _DEVICE,
    threads: int | None = typer.Option(None, help="CPU threads."),
    output: Path = typer.Option(Path("latency.json"), "--output", "-o", help="File of the table."),
    json: bool = _JSON,
) -> None:
    """Measure how long blocks take on this device; searches and `effnet scale --latency-table` compute with it."""
    from effnet.cli.arguments import as_json, read_text
    from effnet.cli.experiments import base_network
    from effnet.experiments import block_latency
    from effnet.search.space import SearchSpace
    from effnet.weights.atomic import atomic_write

    if space is None:
        searched = SearchSpace.around(base_network(model, phi, edit))
    else:
        try:
            searched = SearchSpace.from_dict(encoder.loads(read_text(space)))
        except (ValueError, RecursionError):
            raise InputError("is not JSON", where=str(space), fix="begin with effnet search --print-space") from None
    specs = block_latency.specs_to_measure(searched, networks, seed)
    table = block_latency.measure_table(specs, threads=threads, device=device)
    with atomic_write(output) as temp:
        temp.write_text(table.to_json() + "\n", "utf-8")
    unseen = block_latency.specs_to_measure(searched, validate, seed + 1) if validate else []
    checked = block_latency.validate(table, unseen, threads=threads) if unseen else None
    if json:
        shown = {"file": str(output), "rows": len(table.rows), "networks": networks}
        if checked is not None:
            shown |= {"median_error": checked.median_error, "worst_error": checked.worst_error}
        typer.echo(as_json(shown))
        return
    typer.echo(f"table    {output}: {len(table.rows)} blocks of {networks} networks")
    if checked is not None:
        median, worst = 100 * checked.median_error, 100 * checked.worst_error
        typer.echo(f"error    median {median:.1f} %, worst {worst:.1f} % on {validate} networks not in it")
    typer.echo(f"use it   effnet scale --max-latency-ms 20 --latency-table {output}")

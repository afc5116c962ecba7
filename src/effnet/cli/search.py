"""`effnet search`: the network that is best for your data within a cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from effnet.errors import InputError

if TYPE_CHECKING:
    from effnet.experiments.search_plan import SearchPlan
    from effnet.search.screening import Screening


def search(
    data: str | None = typer.Argument(None, help="Folder, table, archive, digits, cifar10:PATH; as for train."),
    model: str = typer.Option("b0", help="Network that the space is built around: a name or a spec file."),
    phi: float | None = typer.Option(None, help="Scale that network first, such as -3 for a small one."),
    edit: list[str] = typer.Option([], "--edit", metavar="PLACE=VALUE", help="Then change it: resolution=32."),
    space: Path | None = typer.Option(None, help="A space that --print-space wrote, edited; instead of --model."),
    print_space: bool = typer.Option(False, "--print-space", help="Print the space as JSON; no search."),
    cost: str = typer.Option("macs", help="macs, params, memory, latency or step_time."),
    target: str | None = typer.Option(None, help="Wanted cost: 30M, 5MB, milliseconds; default: the base's own."),
    form: str = typer.Option("soft", help="soft: ACC*(COST/T)^w; hard: nothing above T; v2: ACC*S^w*P^v."),
    weight: float = typer.Option(-0.07, help="w."),
    within: float = typer.Option(0.15, help="Share by which a candidate's cost may differ from the target."),
    searcher: str = typer.Option("evolution", help="evolution, random, tpe, nsga2 or controller (PPO)."),
    evaluator: str = typer.Option("training", help="training (the truth), supernet, proxy, or none (costs alone)."),
    proxy: str | None = typer.Option(None, help="Which proxy; default: the one that ranks the control best."),
    trials: int = typer.Option(50, help="Candidates to propose."),
    control: int = typer.Option(10, help="Random candidates of equal cost that are trained for comparison."),
    finalists: int = typer.Option(3, help="Best candidates that are trained again."),
    final_seeds: int = typer.Option(3, help="Times that each of them is."),
    supernet_epochs: int = typer.Option(0, help="Epochs of the supernet's training."),
    recipe: str = typer.Option("brief", help="Of the short trainings: a name or a file."),
    epochs: int | None = typer.Option(None, help="Of each short training."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Any recipe setting."),
    train_per_class: int | None = typer.Option(None, help="Images of each class to train on; default: all."),
    val_per_class: int | None = typer.Option(None, help="Images of each class to judge by; default: all."),
    prune: bool = typer.Option(True, help="Give hopeless trainings up early (successive halving)."),
    inherit: bool = typer.Option(False, "--inherit", help="Begin with the weights of the most similar candidate."),
    seed: int = typer.Option(0, help="Of everything random."),
    run: Path | None = typer.Option(None, help="Folder; workers on one machine share it. Default: runs/ and a name."),
    storage: str | None = typer.Option(None, help="postgresql://user:password@host/name, for several machines."),
    name: str | None = typer.Option(None, help="Of the study in that database; all workers give the same."),
    resume: Path | None = typer.Option(None, help="Go on with the search in this folder; nothing else is needed."),
    device: str | None = typer.Option(None, help="cpu, cuda, cuda:1; default: the accelerator if there is one."),
    threads: int | None = typer.Option(None, help="CPU threads while latency is measured."),
    workers: int | None = typer.Option(None, help="Processes that load images."),
    json: bool = typer.Option(False, "--json", help="Print the outcome as JSON; progress goes to standard error."),
) -> None:
    """Search the architecture that is best for your images at a cost, as MnasNet and EfficientNet were found.

    Start the same command again, also on other machines, to work on the same search together.
    """
    from effnet.cli.experiments import given_or_resumed, study_name

    if evaluator == "none":
        _screen(model, phi, edit, space, cost, target, within, trials, seed, threads, device, json, run)
        return
    held = None if print_space else given_or_resumed(data, resume, "search", storage)
    if held is None:
        plan = _plan(dict(locals()))
        if print_space:
            import json as encoder

            typer.echo(encoder.dumps(plan.space.to_dict(), indent=2))
            return
    else:
        from effnet.experiments.search_plan import SearchPlan

        plan = SearchPlan.from_dict(held)
    _carry_out(plan, resume or run, storage, study_name(storage, name), device, workers, json)


def _plan(given: dict[str, Any]) -> SearchPlan:
    from dataclasses import replace

    from effnet.cli.experiments import short_recipe
    from effnet.data.sources import open_dataset
    from effnet.experiments.search_plan import SearchPlan
    from effnet.search.objective import Objective

    space = _space(given["model"], given["phi"], given["edit"], given["space"])
    if given["data"] is not None:
        classes = len(open_dataset(given["data"], seed=given["seed"]).train.classes)
        space = replace(space, base=space.base.replace(classes=classes))
    cost, target = given["cost"], given["target"]
    wanted = _target(cost, target, space, given["device"], given["threads"])
    params = None
    if given["form"] == "v2":
        from effnet.cost import cost as counted

        params = float(counted(space.base).params)
    objective = Objective(cost=cost, target=wanted, form=given["form"], weight=given["weight"], params_target=params)
    same = [
        *("train_per_class", "val_per_class", "within", "searcher", "evaluator", "proxy", "trials", "control"),
        *("finalists", "final_seeds", "supernet_epochs", "prune", "inherit", "seed", "threads"),
    ]
    return SearchPlan(
        data=given["data"] or "digits",
        space=space,
        objective=objective,
        recipe=short_recipe(given["recipe"], given["epochs"], given["set_"]),
        **{name: given[name] for name in same},
    )


def _space(model: str, phi: float | None, edits: list[str], file: Path | None) -> Any:
    import json

    from effnet.cli.arguments import read_text
    from effnet.cli.experiments import base_network
    from effnet.search.space import SearchSpace

    if file is None:
        return SearchSpace.around(base_network(model, phi, edits))
    if phi is not None or edits:
        raise InputError("a space has its base already", where="--space", fix="leave out --phi and --edit")
    try:
        data = json.loads(read_text(file))
    except (ValueError, RecursionError):
        raise InputError("is not JSON", where=str(file), fix="begin with effnet search --print-space") from None
    return SearchSpace.from_dict(data)


def _target(cost: str, text: str | None, space: Any, device: str | None, threads: int | None) -> float:
    """Return the target in the cost's unit; without a text, what the base itself costs."""
    from effnet.cost import cost as counted
    from effnet.errors import UnknownNameError
    from effnet.quantities import parse_bytes, parse_count
    from effnet.search.objective import UNITS

    if cost not in UNITS:
        raise UnknownNameError.among("cost", cost, UNITS, see=f"known: {', '.join(UNITS)}")
    base = space.base
    if text is None:
        if cost == "latency":
            from effnet.inference.latency import measure_latency

            return measure_latency(base, device=device, threads=threads).median_ms
        if cost == "step_time":
            raise InputError("no target", where="--target", fix="give milliseconds of a training step")
        numbers = counted(base)
        return float({"macs": numbers.macs, "params": numbers.params, "memory": numbers.total_inference_bytes}[cost])
    if cost in ("macs", "params"):
        return float(parse_count(text))
    if cost == "memory":
        return float(parse_bytes(text))
    try:
        return float(text.removesuffix("ms").strip())
    except ValueError:
        raise InputError(f"{text!r} is not a time", where="--target", fix="give milliseconds, such as 20") from None


def _carry_out(
    plan: SearchPlan,
    folder: Path | None,
    storage: str | None,
    name: str | None,
    device: str | None,
    workers: int | None,
    json: bool,
) -> None:
    from effnet.cli.arguments import as_json
    from effnet.experiments.architecture_search import ArchitectureSearch
    from effnet.experiments.experiment_folder import ExperimentFolder
    from effnet.experiments.search_display import display_for
    from effnet.experiments.search_files import summary, write_files
    from effnet.inference.runtime import find_device

    joined = ExperimentFolder.join(
        folder, "search", plan.to_dict(), device=str(find_device(device)), storage=storage, name=name
    )
    display = display_for(sys.stderr if json else sys.stdout, plan.objective.cost)
    study = ArchitectureSearch(
        plan, joined.path, name=name or "search", storage=storage, device=device, workers=workers, watch=display
    )
    result = study.run()
    write_files(joined, result)
    typer.echo(as_json(summary(joined, result).data) if json else summary(joined, result).text)


def _screen(
    model: str,
    phi: float | None,
    edit: list[str],
    space_file: Path | None,
    cost: str,
    target: str | None,
    within: float,
    trials: int,
    seed: int,
    threads: int | None,
    device: str | None,
    json: bool,
    run: Path | None,
) -> None:
    """Search by closed forms alone: no training, no data."""
    from effnet.cli.arguments import as_json
    from effnet.cli.terminal import width, wrapped
    from effnet.experiments.cost_only import screen_with_costs

    space = _space(model, phi, edit, space_file)
    wanted = _target(cost, target, space, device, threads)
    found = screen_with_costs(
        space, cast(Any, cost), wanted, within=within, candidates=trials, seed=seed, threads=threads, device=device
    )
    kept = "add --run FOLDER to keep their specifications"
    if run is not None:
        _keep(found, run)
        kept = f"kept: {run}/candidate-0.json to candidate-{len(found.best) - 1}.json; effnet train DATA --spec FILE"
    typer.echo(as_json(found.to_dict()) if json else wrapped(f"{found}\n{kept}", width()))


def _keep(found: Screening, run: Path) -> None:
    from effnet.weights.atomic import atomic_write, make_folder

    make_folder(run, "--run")
    for place, candidate in enumerate(found.best):
        with atomic_write(run / f"candidate-{place}.json") as temp:
            temp.write_text(candidate.spec.to_json() + "\n", "utf-8")

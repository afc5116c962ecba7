"""`effnet evaluate`: how good a model is on labelled images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import typer

from effnet.cli.progress import image_bar
from effnet.cli.warned import complain, warnings_on_stderr
from effnet.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from effnet.data.sources.judged import Judged, Wanted
    from effnet.inference.evaluation import Scored
    from effnet.nn import Network
    from effnet.preprocessing import Preprocess

PARTS = ("all", "train", "val", "test")


def evaluate(
    model: str = typer.Argument(..., help="A published name, a tag, a model file, or a run folder."),
    data: str = typer.Argument(..., help="Folder, table, archive, shards, digits, cifar10:PATH; as for train."),
    part: str | None = typer.Option(
        None, help="all, train, val or test; default: all, or of a run's own data what it has not learnt from."
    ),
    only_classes_of_data: bool = typer.Option(
        False,
        "--only-classes-of-data",
        help="Choose among the classes that the data has, not among all outputs of the model.",
    ),
    classes: str | None = typer.Option(
        None, metavar="FILE|NAMES", help="Names of the model's outputs in order: a file with one a line, or a,b,c."
    ),
    size: int | None = typer.Option(None, min=1, help="Input side in pixels, if not the weights' own."),
    flip: bool = typer.Option(
        False, "--flip", help="Average each image's answer with its mirror image's (twice the time)."
    ),
    fit_temperature: bool = typer.Option(
        False,
        "--fit-temperature",
        help="Fit the temperature that makes confidence honest, and store it in the model file.",
    ),
    device: str | None = typer.Option(None, help="cpu, cuda, ...; default: the accelerator if there is one."),
    batch: int = typer.Option(32, min=1, help="Images at once."),
    workers: int = typer.Option(0, min=0, help="Processes that load images; 0 loads in threads."),
    seed: int | None = typer.Option(
        None, help="Of the split, where val or train is asked of data without a val part; default: the run's, or 0."
    ),
    unreadable: str = typer.Option("fail", help="At an image that cannot be read: fail, or skip it."),
    report: Path | None = typer.Option(None, help="Write a page with classes, confusion, calibration and mistakes."),
    predictions: Path | None = typer.Option(None, help="Write every answer to a CSV file."),
    json: bool = typer.Option(False, "--json", help="Print every figure as JSON."),
) -> None:
    """Measure accuracy, confusion and calibration on labelled images.

    Every labelled image is judged, against all outputs of the model. Of the data that a run was trained on, it is what
    the run has not learnt from.
    """
    if unreadable not in ("fail", "skip"):
        raise UnknownNameError.among("policy", unreadable, ("fail", "skip"))
    from effnet.data.preflight import used_ranges
    from effnet.inference.evaluation import answers, score
    from effnet.inference.predictor import preprocess_for
    from effnet.inference.runtime import find_device

    file = _temperature_file(model, flip=flip, only=only_classes_of_data) if fit_temperature else None
    with warnings_on_stderr():
        network = _network(model, classes)
        preprocess = preprocess_for(network, size)
    if file is not None and preprocess != network.preprocess:
        fix = "leave out --size, or convert the model to this size first"
        raise InputError("a temperature belongs to the model's own size", where=f"--size {size}", fix=fix)
    judged = _judged(model, data, part, seed)
    columns, notes = _columns(network, judged)
    ranges = used_ranges(judged.source) if preprocess.white is None else ()
    for remark in (*judged.remarks, *ranges):
        if remark.severity != "note":
            complain(f"{remark.severity}: {remark.what} (fix: {remark.fix})")
    with image_bar() as progress:
        answered = answers(
            network,
            judged.source,
            preprocess,
            device=find_device(device),
            batch=batch,
            workers=workers,
            flip=flip,
            unreadable=cast(Literal["fail", "skip"], unreadable),
            progress=progress,
        )
    scored = score(network, answered, columns, only=only_classes_of_data)
    figures = _figures(model, data, judged, scored, notes)
    if file is not None:
        figures["fitted"] = _fit(file, scored)
    if predictions is not None:
        _write_predictions(predictions, judged, scored)
    if report is not None:
        _write_report(report, figures, judged, scored, preprocess, network)
    _print(figures, json)


def _network(model: str, classes: str | None) -> Network:
    import warnings

    from effnet.inference.predictor import find_network
    from effnet.labels import named_outputs
    from effnet.nn import in_two_classes
    from effnet.nn.two_classes import ONE_OUTPUT

    network = find_network(model)
    if network.spec.classes == 1:
        warnings.warn(ONE_OUTPUT, stacklevel=2)
    network = in_two_classes(network)
    if classes is not None:
        network.labels = named_outputs(classes, network.spec.classes)
    return network


def _judged(model: str, data: str, part: str | None, seed: int | None) -> Judged:
    from effnet.data.sources import open_judged
    from effnet.training.own_data import learnt_from, run_of

    if part is not None and part not in PARTS:
        raise UnknownNameError.among("part", part, PARTS)
    run = run_of(model)
    own = run is not None and learnt_from(run, data)
    if seed is None:
        seed = run.recipe().seed if run is not None and own else 0
    wanted = part or ("held out" if own else "all")
    return open_judged(data, part=cast("Wanted", wanted), seed=seed)


def _columns(network: Network, judged: Judged) -> tuple[list[int], list[str]]:
    """Return which output answers for each class of the data, and what a person should know of the judgement."""
    from effnet.labels import outputs_for

    classes, outputs = tuple(judged.source.classes), network.spec.classes
    columns = outputs_for(classes, network.labels, outputs)
    notes = []
    if network.labels is None and columns == list(range(outputs)):
        notes.append("the model names no classes: its outputs are taken for the data's, in the order of their names")
    notes += [remark.what for remark in judged.remarks]
    parts = dict(judged.parts)
    if judged.part == "all" and "train" in parts and len(parts) > 1:
        held = next(name for name in ("test", "val") if name in parts)
        notes.append(f"the train part is among them; a model that learnt from it is flattered: --part {held}")
    return columns, notes


def _temperature_file(model: str, *, flip: bool, only: bool) -> Path:
    """Return the model file that a fitted temperature shall be kept in, before minutes of work."""
    from effnet.weights import modelfile
    from effnet.weights.run_model import model_of_run

    for name, given in (("--flip", flip), ("--only-classes-of-data", only)):
        if given:
            what = "a temperature is fitted for what predict does, on all outputs and without mirror images"
            raise InputError(what, where=name, fix=f"leave out {name}, or --fit-temperature")
    path = Path(model_of_run(model))
    if not path.is_file():
        fix = f"effnet weights convert {model} MODEL.safetensors, and evaluate that"
        raise InputError("a temperature is kept in a model file", where=model, fix=fix)
    modelfile.load(path)
    return path


def _figures(model: str, data: str, judged: Judged, scored: Scored, notes: list[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {"model": model, "data": data}
    figures |= {"part": judged.part, "seed": judged.seed, "given": judged.given}
    figures |= {"parts": dict(judged.parts), "judged": judged.describe(), **scored.evaluation.to_dict()}
    figures["restricted"] = scored.restricted
    figures["notes"] = notes
    figures["skipped"] = list(scored.answered.skipped)
    return figures


def _fit(file: Path, scored: Scored) -> dict[str, float]:
    from effnet.inference.calibration import calibrate
    from effnet.weights import modelfile

    fitted = calibrate(scored.answered.logits, scored.answered.labels, scored.names)
    modelfile.save(file, dataclasses.replace(modelfile.load(file), temperature=fitted.temperature))
    return dataclasses.asdict(fitted)


def _write_predictions(path: Path, judged: Judged, scored: Scored) -> None:
    import csv

    from effnet.inference.rendering import cell
    from effnet.weights.atomic import atomic_write

    answered, result = scored.answered, scored.evaluation
    with atomic_write(path) as temp, temp.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "truth", "answer", "probability"])
        for place, index in enumerate(answered.indices.tolist()):
            truth, answer = scored.names[answered.labels[place]], scored.names[result.predicted[place]]
            name = judged.source.name(index)
            writer.writerow([cell(name), cell(truth), cell(answer), f"{result.confidence[place]:.6f}"])


def _write_report(
    path: Path, figures: dict[str, Any], judged: Judged, scored: Scored, preprocess: Preprocess, network: Network
) -> None:
    from effnet.inference.evaluation import looked_at, most_confident_mistakes, thumbnail
    from effnet.report.evaluation import Mistake, sections
    from effnet.report.html import page
    from effnet.weights.atomic import atomic_write

    answered, result, source = scored.answered, scored.evaluation, judged.source
    mistakes = []
    for place in most_confident_mistakes(result, answered):
        index, output = int(answered.indices[place]), int(result.predicted[place])
        mistakes.append(
            Mistake(
                picture=thumbnail(source, index, white=preprocess.white),
                name=source.name(index),
                truth=scored.names[answered.labels[place]],
                answer=scored.names[output],
                confidence=float(result.confidence[place]),
                looked_at=looked_at(network, source, index, preprocess, scored.outputs[output]),
            )
        )
    on = f"{figures['data']}: {figures['judged']}"
    if figures["restricted"]:
        on += f"; {_restriction(figures)}"
    content = page("Evaluation", sections(figures, mistakes, on=on), subtitle=f"{figures['model']} on {on}")
    with atomic_write(path) as temp:
        temp.write_text(content, "utf-8", "surrogateescape")


def _restriction(figures: dict[str, Any]) -> str:
    restricted = figures["restricted"]
    return f"answers restricted to {restricted['classes']} of {restricted['outputs']} classes"


def _print(figures: dict[str, Any], json: bool) -> None:
    from effnet.cli.arguments import as_json
    from effnet.report.evaluation import share

    if json:
        typer.echo(as_json(figures))
        return
    images = figures["images"]
    low, high = figures["top1_interval"]
    typer.echo(f"images            {figures['judged']}")
    if figures["restricted"]:
        typer.echo(f"classes           {_restriction(figures)}")
    right = round(figures["top1"] * images / 100)
    typer.echo(f"top-1             {share(figures['top1'], images)}  ({right} right; 95 %: {low:.0f} to {high:.0f} %)")
    if figures["outputs"] > 5:
        typer.echo(f"top-5             {share(figures['top5'], images)}")
    typer.echo(f"mean of classes   {share(figures['class_accuracy'], images)}")
    typer.echo(f"loss              {figures['loss']:.3f}")
    warmth = "no temperature" if figures["temperature"] == 1 else f"temperature {figures['temperature']:.2f}"
    typer.echo(f"calibration error {share(figures['ece'], images)}  ({warmth})")
    if figures["skipped"]:
        typer.echo(f"unreadable        {len(figures['skipped'])}: {', '.join(figures['skipped'][:3])}")
    for note in figures["notes"]:
        typer.echo(f"note: {note}")
    if fitted := figures.get("fitted"):
        before, after = (share(fitted[name], images) for name in ("ece_before", "ece_after"))
        typer.echo(
            f"stored            temperature {fitted['temperature']:.2f}: calibration error {before} to {after},\n"
            "                  each half of the images judged by the other's"
        )

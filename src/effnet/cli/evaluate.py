"""`effnet evaluate`: how good a model is on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import typer

from effnet.cli.progress import image_bar
from effnet.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from effnet.data.source import Dataset, Source
    from effnet.inference.evaluation import Answers
    from effnet.inference.metrics import Evaluation
    from effnet.nn import Network


def evaluate(
    model: str = typer.Argument(..., help="A model file, or a published name."),
    data: str = typer.Argument(..., help="Folder, table, archive, shards, digits, cifar10:PATH; as for train."),
    part: str | None = typer.Option(None, help="train, val or test; default: test if there is one, else val."),
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
    seed: int = typer.Option(0, help="Of the split, where the data has no validation part: that of the run."),
    unreadable: str = typer.Option("fail", help="At an image that cannot be read: fail, or skip it."),
    report: Path | None = typer.Option(None, help="Write a page with classes, confusion, calibration and mistakes."),
    predictions: Path | None = typer.Option(None, help="Write every answer to a CSV file."),
    json: bool = typer.Option(False, "--json", help="Print every figure as JSON."),
) -> None:
    """Measure accuracy, confusion and calibration on labelled images."""
    if unreadable not in ("fail", "skip"):
        raise UnknownNameError.among("policy", unreadable, ("fail", "skip"))
    from effnet.data.sources import open_dataset
    from effnet.inference.calibration import calibrate
    from effnet.inference.evaluation import answers
    from effnet.inference.metrics import Evaluation
    from effnet.inference.runtime import find_device
    from effnet.labels import outputs_for

    network = _network(model)
    dataset = open_dataset(data, seed=seed)
    name, source = _part(dataset, part)
    columns = outputs_for(source.classes, network.labels, network.spec.classes)
    assert network.preprocess is not None
    with image_bar() as progress:
        answered = answers(
            network,
            source,
            network.preprocess,
            device=find_device(device),
            batch=batch,
            workers=workers,
            flip=flip,
            unreadable=cast(Literal["fail", "skip"], unreadable),
            progress=progress,
        )
    logits, names = answered.logits[:, columns], tuple(source.classes)
    result = Evaluation.of(logits, answered.labels, names, network.temperature)
    figures: dict[str, Any] = {"model": model, "data": data, "part": name, **result.to_dict()}
    figures["skipped"] = list(answered.skipped)
    if fit_temperature:
        fitted = calibrate(logits, answered.labels, names)
        _store(Path(model), fitted.temperature)
        figures["fitted"] = {
            "temperature": fitted.temperature,
            "ece_before": fitted.ece_before,
            "ece_after": fitted.ece_after,
            "loss_before": fitted.loss_before,
            "loss_after": fitted.loss_after,
        }
    if predictions is not None:
        _write_predictions(predictions, source, answered, result)
    if report is not None:
        _write_report(report, figures, source, answered, result, network, columns)
    _print(figures, json)


def _network(model: str) -> Network:
    from effnet.creation import assemble
    from effnet.weights.loading import load_weights

    return assemble(load_weights(None, model))


def _part(dataset: Dataset, name: str | None) -> tuple[str, Source]:
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    if name is not None and name not in parts:
        raise UnknownNameError.among("part", name, parts)
    name = name or ("test" if dataset.test is not None else "val")
    source = parts[name]
    if source is None:
        has = ", ".join(known for known, value in parts.items() if value is not None)
        raise InputError(f"the data has no {name} part", where=dataset.name, fix=f"use one of {has}")
    return name, source


def _store(path: Path, temperature: float) -> None:
    import dataclasses

    from effnet.weights import modelfile

    if not path.is_file():
        raise InputError("a temperature is kept in a model file", where=str(path), fix="give a .safetensors model file")
    modelfile.save(path, dataclasses.replace(modelfile.load(path), temperature=temperature))


def _write_predictions(path: Path, source: Source, answered: Answers, result: Evaluation) -> None:
    import csv

    from effnet.weights.atomic import atomic_write

    with atomic_write(path) as temp, temp.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "truth", "answer", "probability"])
        names: NDArray[np.object_] | tuple[str, ...] = source.classes
        for place, index in enumerate(answered.indices.tolist()):
            truth, answer = names[answered.labels[place]], names[result.predicted[place]]
            writer.writerow([source.name(index), truth, answer, f"{result.confidence[place]:.6f}"])


def _write_report(
    path: Path,
    figures: dict[str, Any],
    source: Source,
    answered: Answers,
    result: Evaluation,
    network: Network,
    columns: list[int],
) -> None:
    from effnet.inference.evaluation import looked_at, most_confident_mistakes, thumbnail
    from effnet.report.evaluation import Mistake, sections
    from effnet.report.html import page
    from effnet.weights.atomic import atomic_write

    assert network.preprocess is not None
    places = most_confident_mistakes(result, answered)
    mistakes = [
        Mistake(
            picture=thumbnail(source, int(answered.indices[place]), white=network.preprocess.white),
            name=source.name(int(answered.indices[place])),
            truth=source.classes[answered.labels[place]],
            answer=source.classes[result.predicted[place]],
            confidence=float(result.confidence[place]),
            looked_at=looked_at(
                network,
                source,
                int(answered.indices[place]),
                network.preprocess,
                columns[result.predicted[place]],
            ),
        )
        for place in places
    ]
    on = f"the {figures['part']} part of {figures['data']}"
    content = page("Evaluation", sections(figures, mistakes, on=on), subtitle=f"{figures['model']} on {on}")
    with atomic_write(path) as temp:
        temp.write_text(content, "utf-8", "surrogateescape")


def _print(figures: dict[str, Any], json: bool) -> None:
    from effnet.cli.arguments import as_json

    if json:
        typer.echo(as_json(figures))
        return
    low, high = figures["top1_interval"]
    typer.echo(f"images            {figures['images']} of {figures['part']}")
    typer.echo(f"top-1             {figures['top1']:.2f} %  (95 %: {low:.1f} to {high:.1f})")
    if len(figures["classes"]) > 5:
        typer.echo(f"top-5             {figures['top5']:.2f} %")
    typer.echo(f"mean of classes   {figures['class_accuracy']:.2f} %")
    typer.echo(f"loss              {figures['loss']:.4f}")
    typer.echo(f"calibration error {figures['ece']:.2f} %  (temperature {figures['temperature']:.3f})")
    if figures["skipped"]:
        typer.echo(f"unreadable        {len(figures['skipped'])}: {', '.join(figures['skipped'][:3])}")
    if fitted := figures.get("fitted"):
        change = f"calibration error {fitted['ece_before']:.2f} % to {fitted['ece_after']:.2f} %"
        typer.echo(
            f"stored            temperature {fitted['temperature']:.3f}: {change}, each half judged by the other's"
        )

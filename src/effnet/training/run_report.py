"""From a finished run's folder to its page."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch

from effnet.creation import create
from effnet.data.source import Dataset
from effnet.errors import MissingDependencyError
from effnet.inference.evaluation import answers, looked_at, most_confident_mistakes, thumbnail
from effnet.inference.metrics import Evaluation
from effnet.report.evaluation import Mistake
from effnet.report.training import StageReport, TrainingReport, render
from effnet.training.display import outcome_rows
from effnet.training.progressive import first_step
from effnet.training.recipe import Recipe, chooser_of
from effnet.training.run_folder import RunFolder
from effnet.training.score import Score
from effnet.training.timeline import Timeline
from effnet.training.tracking import read_rows
from effnet.weights import modelfile
from effnet.weights.atomic import atomic_write


def write_report(
    folder: RunFolder, dataset: Dataset, stage_costs: Sequence[Sequence[float]], skipped: Sequence[str]
) -> Evaluation | None:
    """Judge the best network, write `report.html` and `evaluation.json`; return the judgement.

    Without matplotlib there is no page, and nothing else is lost.

    Args:
        stage_costs: (seconds, images) of each stage.
        skipped: names of images that could not be read.
    """
    evaluation, mistakes = _judged(folder, dataset)
    if evaluation is not None:
        with atomic_write(folder.path / "evaluation.json") as temp:
            temp.write_text(json.dumps(evaluation.to_dict(), indent=2) + "\n", "utf-8")
    try:
        page = render(_collected(folder, dataset, stage_costs, skipped, evaluation, mistakes))
    except MissingDependencyError:
        return evaluation
    with atomic_write(folder.report) as temp:
        temp.write_text(page, "utf-8", "surrogateescape")
    return evaluation


def _judged(folder: RunFolder, dataset: Dataset) -> tuple[Evaluation | None, list[Mistake]]:
    if dataset.val is None or not folder.best.exists():
        return None, []
    file = modelfile.load(folder.best)
    network = create(file.spec, weights=folder.best)
    device = torch.device("cpu") if not torch.cuda.is_available() else torch.device("cuda")
    answered = answers(network, dataset.val, file.preprocess, device=device, unreadable="skip")
    names = tuple(dataset.val.classes)
    evaluation = Evaluation.of(answered.logits, answered.labels, names)
    mistakes = [
        Mistake(
            picture=thumbnail(dataset.val, int(answered.indices[place]), white=file.preprocess.white),
            name=dataset.val.name(int(answered.indices[place])),
            truth=names[answered.labels[place]],
            answer=names[evaluation.predicted[place]],
            confidence=float(evaluation.confidence[place]),
            looked_at=looked_at(
                network, dataset.val, int(answered.indices[place]), file.preprocess, int(evaluation.predicted[place])
            ),
        )
        for place in most_confident_mistakes(evaluation, answered)
    ]
    return evaluation, mistakes


def _remarks(recipe: Recipe) -> list[str]:
    """Return what explains the shape of the curves."""
    said = []
    head = recipe.transfer.head_epochs
    if head:
        said.append(
            f"Until epoch {head:g} only the classifier learns, on the layers as they came; then all layers do, and the"
            " validation figures may fall at first, because what the classifier had learnt to read changes under it."
        )
    if recipe.ema.decay:
        said.append(
            "Validation judges a moving average of the weights, which trails them: after a change it can be worse than"
            " the network in training for some epochs before it is better."
        )
    return said


def _collected(
    folder: RunFolder,
    dataset: Dataset,
    stage_costs: Sequence[Sequence[float]],
    skipped: Sequence[str],
    evaluation: Evaluation | None,
    mistakes: Sequence[Mistake],
) -> TrainingReport:
    recipe = folder.recipe()
    spec, _ = folder.network()
    schedule = recipe.progressive_for(spec)
    samples, assumed = len(dataset.train), recipe.batch.size or 1
    line = Timeline(schedule, samples=samples, epochs=recipe.epochs, batch=assumed * recipe.batch.accumulate)
    stages = []
    for number, (seconds, images) in enumerate(stage_costs):
        settings = schedule.settings(number)
        names = ("image_size", "magnitude", "mixup", "cutmix", "dropout", "drop_path")
        values = {name: float(getattr(settings, name)) for name in names} | {"batch": float(line.batch_of(settings))}
        begins = first_step(number, samples * recipe.epochs, schedule.stages) / samples
        stages.append(StageReport(settings=values, first_epoch=begins, seconds=seconds, images=int(images)))
    rows, times = read_rows(folder.metrics), read_rows(folder.times)
    steps = [row for row in rows if row["kind"] == "step"]
    judged = [row for row in rows if row["kind"] == "evaluation"]
    trained = sum(time["seconds"] for time in times if time["kind"] == "step")
    return TrainingReport(
        title=folder.path.resolve().name,
        model=spec.name,
        data=f"{dataset.name}: {samples} images, {len(dataset.train.classes)} classes",
        epochs=steps[-1]["epoch"] if steps else 0.0,
        seconds=sum(time["seconds"] for time in times),
        decisions=[(d.setting, d.value, d.reason) for d in folder.decisions()],
        steps=[(row["epoch"], row["loss"], row["rate"]) for row in steps],
        evaluations=[(row["epoch"], row["loss"], row["top1"]) for row in judged],
        stages=stages,
        waited=sum(time.get("waited", 0.0) for time in times) / trained if trained else 0.0,
        figures=None if evaluation is None else evaluation.to_dict(),
        outcome=[] if evaluation is None else outcome_rows(Score.of(evaluation), chooser_of(recipe)),
        remarks=_remarks(recipe),
        mistakes=mistakes,
        skipped=skipped,
        command=folder.command_file.read_text("utf-8", "surrogateescape").strip(),
        recipe=str(recipe),
        environment=json.loads(folder.environment_file.read_text("utf-8")),
    )

"""From data to a trained model in a run folder: the one door to training.

    >>> import effnet
    >>> run = effnet.fit("photos", epochs=20)  # doctest: +SKIP
    >>> effnet.load(run.model).predict("new.jpg").label  # doctest: +SKIP
    'ant'

`resume` goes on with a run that was interrupted, exactly where it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from effnet.creation import create
from effnet.data.preflight import remarked, require_present, used_ranges
from effnet.data.source import Dataset
from effnet.data.sources import open_dataset
from effnet.errors import InputError, MissingDependencyError
from effnet.inference.runtime import find_device
from effnet.labels import outputs_for
from effnet.nn import Network, build
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec
from effnet.training.checkpoint import CheckpointStore
from effnet.training.decisions import decide, default_workers, free_memory, largest_batch
from effnet.training.distributed import World, join
from effnet.training.events import Decision, Ending, Event, Observer, Started, Warned
from effnet.training.recipe import Recipe
from effnet.training.recipe_file import open_recipe
from effnet.training.run_folder import RunFolder
from effnet.training.run_report import write_report
from effnet.training.score import Score
from effnet.training.timeline import Timeline, timeline_of
from effnet.training.tracking import MetricFiles, MLflow, TensorBoard, WandB, surviving
from effnet.training.trainer import Trainer
from effnet.version import __version__
from effnet.weights import modelfile
from effnet.weights.modelfile import ModelFile

Tracker = Literal["wandb", "mlflow"]

_TINY = 96
"""Pixels of a side up to which nothing is cropped away for judging: a thing fills such images to their borders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a finished run left behind.

    Attributes:
        folder: of the run: report.html, metrics.csv, recipe.json and more.
        model: file of the best network, or of the last without validation images.
        best: top-1 in percent of the best network on the validation images; None without them.
        score: all of its figures on them, with counts and interval; None without them.
        ending: why it ended.
        seconds: trained, over all sessions.
    """

    folder: Path
    model: Path
    best: float | None
    ending: Ending
    seconds: float
    score: Score | None = None


def fit(
    data: str | Path | Dataset,
    recipe: str | Path | Recipe | None = None,
    *,
    spec: NetworkSpec | None = None,
    run: str | Path | None = None,
    device: str | None = None,
    workers: int | None = None,
    unreadable: Literal["fail", "skip"] = "fail",
    save_seconds: float = 300.0,
    observers: Sequence[Observer] = (),
    trackers: Sequence[Tracker] = (),
    **settings: Any,
) -> Run:
    """Train a network on your images.

    Args:
        data: a folder of class folders, a table, an archive, a built-in or shards; see `open_dataset`.
        recipe: a name (`finetune`, `v2`, ...), a file, or a value; None: chosen by the data.
        spec: the network, if not the one that the recipe names.
        run: folder to make; None: `runs/` and a name of its own.
        device: where to train; None: the accelerator if there is one.
        workers: processes that load images; None: by the number of cores.
        unreadable: what to do at an image that cannot be read.
        save_seconds: time between checkpoints within an epoch; there is one after every epoch besides.
        observers: told of everything that happens.
        trackers: `wandb`, `mlflow`; TensorBoard is always written where it is installed.
        settings: recipe settings by name, such as `epochs=20, lr=0.01, progressive={"stages": 4}`.

    Raises:
        EffnetError: the data, a setting or the device does not do; the run was interrupted, diverged or ran out of
            memory. Its message says how to go on.
    """
    with join(find_device(device)) as world:
        options = _Options(
            world=world,
            workers=workers,
            unreadable=unreadable,
            save_seconds=save_seconds,
            observers=tuple(observers),
            trackers=tuple(trackers),
        )
        if world.restarts and run is not None and RunFolder(Path(run)).exists:
            return _resumed(Path(run), data, options)  # torchrun has started all processes again
        chosen = open_recipe(str(recipe)) if isinstance(recipe, str | Path) else recipe
        seed = settings.get("seed", 0 if chosen is None else chosen.seed)
        dataset = open_dataset(data, seed=seed)
        if unreadable == "fail":
            require_present(dataset)
        decided = decide(
            chosen, dataset, device=world.device, spec=spec, processes=world.size, settings=settings or None
        )
        network = _fresh(decided.spec, decided.recipe, dataset)
        preprocess = judged_with(network.preprocess, decided.recipe, network.spec)
        network.spec = network.spec.replace(resolution=preprocess.size)
        path = world.told(
            str(
                RunFolder.create(
                    None if run is None else Path(run),
                    recipe=decided.recipe,
                    spec=network.spec,
                    preprocess=preprocess,
                    data=None if isinstance(data, Dataset) else str(data),
                    dataset=dataset,
                    decisions=decided.decisions,
                    device=str(world.device),
                ).path
            )
            if world.leads
            else None
        )
        return _trained(RunFolder(Path(path)), network, preprocess, decided.recipe, dataset, decided.decisions, options)


def resume(
    run: str | Path,
    *,
    epochs: int | None = None,
    data: Dataset | None = None,
    device: str | None = None,
    workers: int | None = None,
    unreadable: Literal["fail", "skip"] = "fail",
    save_seconds: float = 300.0,
    observers: Sequence[Observer] = (),
    trackers: Sequence[Tracker] = (),
) -> Run:
    """Go on with an interrupted run from its last sound checkpoint, bit for bit as if it had not been interrupted.

    A run that is finished is not trained further, unless it is given more epochs; its report is written again.

    Args:
        run: its folder.
        epochs: of the whole run, if other than it began with: a finished run of 12 goes on to 20. The rate is then that
            of a run of so many epochs, so it rises again where it had come down.
        data: needed only where `fit` was given a Dataset, which a run folder cannot name.
        device, workers, unreadable, save_seconds, observers, trackers: as for `fit`.

    Raises:
        EffnetError: not a run, damaged, other data than it began with, or no more epochs than it has had; and what
            `fit` raises.
    """
    with join(find_device(device)) as world:
        options = _Options(
            world=world,
            workers=workers,
            unreadable=unreadable,
            save_seconds=save_seconds,
            observers=tuple(observers),
            trackers=tuple(trackers),
        )
        return _resumed(Path(run), data, options, epochs)


def judged_with(weights: Preprocess | None, recipe: Recipe, spec: NetworkSpec) -> Preprocess:
    """Return how images are prepared for judging and prediction.

    Colours and filter are those the weights were trained with. The size is the network's own where the recipe trains at
    the size that belongs to it (V2-S: trained at 300, judged at 384), else the size trained at. Images trained on whole
    are judged whole, and of tiny ones nothing is cut away, as things fill them to their borders.
    """
    usual = spec.train_resolution or spec.resolution
    size = spec.resolution if recipe.resolution in (None, usual) else recipe.resolution
    assert size is not None
    preprocess = (weights or Preprocess()).with_size(size)
    if recipe.white is not None:
        preprocess = dataclasses.replace(preprocess, white=recipe.white)
    if recipe.augmentation.crop == "whole":
        return dataclasses.replace(preprocess, fit="squash", crop=1.0)
    return dataclasses.replace(preprocess, crop=1.0) if size <= _TINY else preprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What decides how a run is carried out, and not what comes out of it."""

    world: World
    workers: int | None
    unreadable: Literal["fail", "skip"]
    save_seconds: float
    observers: tuple[Observer, ...]
    trackers: tuple[Tracker, ...]


def _fresh(spec: NetworkSpec, recipe: Recipe, dataset: Dataset) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = create(spec, weights=recipe.weights, classes=len(dataset.train.classes))
    classifier = network.classifier[1]
    assert isinstance(classifier, torch.nn.Linear)
    if recipe.weights is None and classifier.out_features != 1000:
        # As where weights are adapted: the released range, 1 / sqrt(classes), is for 1000; with 2, losses begin near 5.
        torch.nn.init.zeros_(classifier.weight)
    if recipe.weights is not None:
        _match_classifier(classifier, network.labels, dataset.train.classes)
    return network


@torch.no_grad()
def _match_classifier(classifier: torch.nn.Linear, labels: tuple[str, ...] | None, classes: tuple[str, ...]) -> None:
    """Give each class of the data the output that stood for it, or begin afresh where the weights do not know them all.

    As many outputs as the data has classes may still be of other classes, or in another library's order.
    """
    try:
        outputs = outputs_for(classes, labels, classifier.out_features)
    except InputError:
        torch.nn.init.zeros_(classifier.weight)
        torch.nn.init.zeros_(classifier.bias)
        return
    classifier.weight.copy_(classifier.weight[outputs])
    classifier.bias.copy_(classifier.bias[outputs])


def _resumed(path: Path, data: str | Path | Dataset | None, options: _Options, epochs: int | None = None) -> Run:
    folder = RunFolder.open(path)
    recipe = folder.recipe()
    spec, preprocess = folder.network()
    named = folder.data() if data is None else data
    if named is None:
        fix = "effnet.training.fit.resume(run, data=the same Dataset)"
        raise InputError("this run was given its data as a value", where=str(path), fix=fix)
    dataset = open_dataset(named, seed=recipe.seed)
    folder.require_same(dataset)
    checkpoint = CheckpointStore(folder.checkpoints).load()
    further = epochs is not None and epochs != recipe.epochs
    if further:
        assert epochs is not None
        step = checkpoint.step if checkpoint else 0
        done = _epochs_done(timeline_of(recipe, spec, len(dataset.train)), step)
        recipe = _lengthened(recipe, epochs, done, where=str(path))
    # Without a checkpoint the run was killed before its first one: it begins again as it began.
    network = build(spec) if checkpoint else _fresh(spec, recipe, dataset)
    network.spec = spec
    if further:
        # Before training, so that a run that is killed goes on to the new end when it is resumed; but after every
        # process has read how long the run was.
        options.world.gathered(None)
        if options.world.leads:
            with folder.locked():
                folder.lengthen(recipe)
        options.world.told(None)
    return _trained(folder, network, preprocess, recipe, dataset, folder.decisions(), options, further=further)


def _epochs_done(line: Timeline, step: int) -> float:
    return float(line.epochs) if step >= line.steps else line.at(step).position


def _lengthened(recipe: Recipe, epochs: int, done: float, *, where: str) -> Recipe:
    if epochs <= done:
        what = f"{epochs} epochs are asked for and {done:g} are done"
        raise InputError(what, where=where, fix=f"give more than {done:g}, such as --epochs {int(done) + 5}")
    if recipe.progressive.stages > 1:
        what = f"its {recipe.progressive.stages} stages are spread over {recipe.epochs} epochs, so more would move them"
        fix = f"train anew from where it ended: effnet train DATA --weights {Path(where) / 'last.safetensors'}"
        raise InputError(what, where=where, fix=fix)
    return dataclasses.replace(recipe, epochs=epochs)


def _trained(
    folder: RunFolder,
    network: Network,
    preprocess: Preprocess,
    recipe: Recipe,
    dataset: Dataset,
    decisions: tuple[Decision, ...],
    options: _Options,
    *,
    further: bool = False,
) -> Run:
    world = options.world
    classes = tuple(dataset.train.classes)
    provenance = {"trained_by": f"effnet {__version__}", "recipe": recipe.name, "began_with": recipe.weights}
    if recipe.distillation.teacher is not None:
        provenance["taught_by"] = recipe.distillation.teacher

    def model(weights: Mapping[str, Tensor], metrics: Mapping[str, float]) -> ModelFile:
        return ModelFile(
            spec=network.spec,
            state={name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()},
            preprocess=preprocess,
            labels=classes,
            metrics=metrics,
            provenance=provenance,
        )

    def keep_best(weights: Mapping[str, Tensor], metrics: Mapping[str, float]) -> None:
        modelfile.save(folder.best, model(weights, metrics))

    def advise(image_size: int) -> int:
        held = free_memory(world.device)
        return largest_batch(network.spec, image_size, int(0.6 * held), recipe.precision.dtype)

    observers = _observers(folder, recipe, options) if world.leads else ()
    with torch.random.fork_rng(), folder.locked() if world.leads else nullcontext():
        trainer = Trainer(
            network,
            recipe,
            dataset,
            preprocess=preprocess,
            world=world,
            workers=default_workers(world.device) if options.workers is None else options.workers,
            unreadable=options.unreadable,
            observers=observers,
            on_best=keep_best,
            advise=advise,
        )
        try:
            store = CheckpointStore(folder.checkpoints)
            if world.leads:
                folder.sweep()
            checkpoint = store.load()
            if checkpoint:
                trainer.restore(checkpoint.state, further=further)
            steps = trainer.timeline.steps
            started = Started(
                folder=folder.path, epochs=recipe.epochs, steps=steps, step=trainer.step, decisions=decisions
            )
            for observer in observers:
                observer(started)
                ranges = used_ranges(dataset.train) if preprocess.white is None else ()
                for line in remarked((*dataset.remarks, *ranges)):
                    observer(Warned(step=trainer.step, message=line))
                for damaged in checkpoint.skipped if checkpoint else ():
                    observer(Warned(step=trainer.step, message=f"a damaged checkpoint was passed over: {damaged}"))
            ending = trainer.run(store.save, save_seconds=options.save_seconds)
            with trainer.averaged():
                weights = trainer.weights()
        finally:
            trainer.close()
        if world.leads:
            modelfile.save(folder.last, model(weights, {}))
            write_report(folder, dataset, trainer.stage_costs, trainer.skipped_images)
        world.told(None)  # the others wait for the files, which their callers may read
    best = folder.best if dataset.val is not None else folder.last
    return Run(
        folder=folder.path,
        model=best,
        best=trainer.best,
        ending=ending,
        seconds=trainer.seconds,
        score=trainer.score,
    )


def _observers(folder: RunFolder, recipe: Recipe, options: _Options) -> tuple[Observer, ...]:
    made: list[Observer] = [MetricFiles(folder)]

    def warn(message: str) -> None:
        for observer in options.observers:
            observer(Warned(step=0, message=message))

    optional: list[Observer] = []
    try:
        optional.append(TensorBoard(folder))
    except MissingDependencyError as error:
        missing = str(error)

        def remark(event: Event) -> None:
            if isinstance(event, Started):
                warn(missing)

        optional.append(remark)
    optional += [(WandB if name == "wandb" else MLflow)(folder, recipe) for name in options.trackers]
    return (*made, *options.observers, *(surviving(observer, warn) for observer in optional))

"""Trying a short list on a person's own images: brief trainings, the better half longer, the last two fully, judged.

The rules of `effnet.guide` say where to look; here measurement decides, and says where it disagrees with the rules.
Everything is kept in one folder and goes on after an interruption: a finished training is not repeated, one that was
interrupted goes on from its checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet.comparison import compare
from effnet.comparison.subject import Measured
from effnet.creation import create
from effnet.data.source import Dataset
from effnet.data.sources import open_dataset, per_class
from effnet.errors import DownloadError, EffnetError, InputError
from effnet.experiments.device_facts import training_seconds_per_mac, training_work
from effnet.experiments.halving import Rung, first_rung, next_rung
from effnet.families import find
from effnet.guide.candidates import Candidate, candidates
from effnet.guide.recommend import LeftOut
from effnet.guide.situation import Situation
from effnet.inference.comparing import measurer
from effnet.inference.evaluation import answers
from effnet.inference.runtime import find_device
from effnet.training import catalog
from effnet.training.events import Event, Observer
from effnet.training.fit import fit, resume
from effnet.training.interruption import InterruptedRunError
from effnet.training.run_folder import RunFolder
from effnet.training.tracking import read_rows
from effnet.weights import modelfile, store
from effnet.weights.atomic import atomic_write, make_folder
from effnet.weights.availability import why_missing
from effnet.weights.published import default


@dataclass(frozen=True, slots=True, kw_only=True)
class TryPlan:
    """What is tried.

    Attributes:
        data: as a person names it.
        situation: what they have and want.
        names: candidates in the order of the rules; as many as `count` with weights that can be had are tried.
        left_out: those that the rules could not consider, and why.
        minutes: for all of it.
        epochs: of a whole training; None: the recipe's.
    """

    data: str
    situation: Situation
    names: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    count: int = 3
    minutes: float = 18.0
    epochs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse trials that could not decide anything."""
        if not self.minutes > 0:
            raise InputError(f"{self.minutes} minutes", where="max_minutes", fix="give a positive number")
        if self.count < 2:
            raise InputError(f"{self.count} candidates", where="count", fix="give 2 or more to choose from")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        left_out = [dataclasses.asdict(entry) for entry in self.left_out]
        return dataclasses.asdict(self) | {"names": list(self.names), "left_out": left_out}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TryPlan:
        """Read what `to_dict` wrote.

        Raises:
            EffnetError: it is not such a plan.
        """
        try:
            parts = {
                "situation": Situation(**data["situation"]),
                "names": tuple(data["names"]),
                "left_out": tuple(LeftOut(**entry) for entry in data["left_out"]),
            }
            return cls(**(dict(data) | parts))
        except (KeyError, TypeError):
            fix = "name a folder that `effnet recommend --try` made with this version"
            raise InputError("not a plan of a trial", where="plan.json", fix=fix) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training.

    Attributes:
        top1: percent of the validation images after the last epoch, which no choice has touched; None: given up.
        seconds: of the whole call, report included.
        problem: why it was given up.
        model: file of the network as the last epoch left it.
    """

    name: str
    rung: int
    epochs: int
    top1: float | None
    seconds: float
    problem: str | None
    model: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came out, before it is judged by `effnet.experiments.verdict`.

    Attributes:
        rungs, trials: in order.
        left_out: candidates that could not be tried.
        correct: (N,) whether each validation image was answered rightly, of the last round's networks.
        measured: latency, throughput and memory by name.
        images, judged: numbers of images that the finalists learnt from and were judged by.
    """

    plan: TryPlan
    rungs: tuple[Rung, ...]
    trials: tuple[Trial, ...]
    left_out: tuple[LeftOut, ...]
    correct: Mapping[str, NDArray[np.bool_]]
    measured: Mapping[str, Measured]
    images: int
    judged: int
    seconds: float


Say = Callable[[str], None]


def try_candidates(
    plan: TryPlan,
    folder: Path,
    *,
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    say: Say = lambda line: None,
    display: Callable[[], Observer] = lambda: _watch_nothing,
) -> Tried:
    """Train the candidates in rounds, judge the finalists, and measure what each takes here.

    Args:
        folder: keeps everything; the same plan in the same folder goes on.
        say: told what begins.
        display: makes what shows a training as it goes; it is closed afterwards, if it can be.

    Raises:
        InterruptedRunError: SIGTERM or Ctrl-C came; what is finished is kept.
        EffnetError: the data cannot be opened, or fewer than two candidates can be tried.
    """
    began = time.monotonic()
    make_folder(folder / "trials")
    dataset = open_dataset(plan.data, seed=plan.seed)
    chosen, left_out = _with_weights(plan, say)
    if len(chosen) < 2:
        fix = "pip install 'effnet[lite]' for three with weights, or allow the network"
        raise InputError(f"only {len(chosen)} of the candidates can be tried", where="weights", fix=fix)
    course = _Course(plan, folder, dataset, chosen, device, workers, say, display)
    rungs, trials = course.run(began)
    judged = {t.name: _correct(t.model, course.validation, device) for t in trials if _is_final(t, rungs)}
    say("measuring latency and memory in turns")
    subjects = compare(*(find(candidate.name) for candidate in chosen)).subjects
    measured = measurer(threads=threads, device=device)(subjects)
    return Tried(
        plan=plan,
        rungs=tuple(rungs),
        trials=tuple(trials),
        left_out=(*plan.left_out, *left_out),
        correct=judged,
        measured={s.name: m for s, m in zip(subjects, measured, strict=True) if m is not None},
        images=course.learnt_from,
        judged=len(course.validation.labels),
        seconds=time.monotonic() - began,
    )


class _Course:
    """The rounds."""

    def __init__(
        self,
        plan: TryPlan,
        folder: Path,
        dataset: Dataset,
        chosen: Sequence[Candidate],
        device: str | None,
        workers: int | None,
        say: Say,
        display: Callable[[], Observer],
    ) -> None:
        self.plan, self.folder, self.dataset, self.chosen = plan, folder, dataset, chosen
        self.options: dict[str, Any] = {"device": device, "workers": workers, "unreadable": "skip"}
        self.say, self.display = say, display
        self.recipe = "small" if plan.situation.from_nothing else "finetune"
        self.epochs = plan.epochs or catalog.find(self.recipe).epochs
        assert dataset.val is not None  # open_dataset always gives one
        self.validation = dataset.val  # in the end the finalists are judged by all of them
        self.trials: list[Trial] = []
        self.learnt_from = 0

    def run(self, began: float) -> tuple[list[Rung], list[Trial]]:
        rungs = []
        rung: Rung | None = self._kept(1) or self._first()
        order = [candidate.name for candidate in sorted(self.chosen, key=lambda c: c.macs)]
        spent = 0.0
        while rung is not None:
            self._keep(rung)
            rungs.append(rung)
            data = self._part(rung)
            self.learnt_from = len(data.train)
            done = [self._trained(name, rung, data) for name in rung.names]
            self.trials += done
            spent += sum(trial.seconds for trial in done)
            elapsed = max(spent, time.monotonic() - began)
            top1 = {trial.name: trial.top1 for trial in done if trial.top1 is not None}
            rung = self._kept(rung.number + 1) or next_rung(
                rung,
                top1,
                order,
                epochs=self.epochs,
                images=len(self.dataset.train),
                classes=len(self.dataset.train.classes),
                seconds_per_image={t.name: t.seconds / (t.epochs * len(data.train)) for t in done},
                remaining=60 * self.plan.minutes - elapsed,
            )
        return rungs, self.trials

    def _first(self) -> Rung:
        self.say("timing a training step of B0 to plan the rounds")
        rate = training_seconds_per_mac(device=self.options["device"])
        return first_rung(
            [candidate.name for candidate in self.chosen],
            epochs=self.epochs,
            images=len(self.dataset.train),
            classes=len(self.dataset.train.classes),
            seconds_per_image={c.name: rate * training_work(self.plan.situation, c) for c in self.chosen},
            seconds=60 * self.plan.minutes,
        )

    def _part(self, rung: Rung) -> Dataset:
        if rung.per_class is None:
            return self.dataset
        # As many to judge by after each epoch as to learn from, at most: judging costs a third of learning.
        return per_class(self.dataset, train=rung.per_class, val=rung.per_class)

    def _trained(self, name: str, rung: Rung, data: Dataset) -> Trial:
        place = self.folder / "trials" / f"{rung.number}-{name}"
        outcome = self.folder / "trials" / f"{rung.number}-{name}.json"
        run = RunFolder(place)
        if not outcome.is_file():
            self.say(f"round {rung.number}: {name}, {rung.epochs} epochs of {len(data.train)} images")
            began, problem = time.monotonic(), None
            try:
                self._train(name, rung, data, run)
            except InterruptedRunError as error:
                fix = f"effnet recommend --resume {self.folder}"
                raise InterruptedRunError(error.signal, where=str(self.folder), fix=fix) from None
            except EffnetError as error:
                problem = str(error)
            seconds = time.monotonic() - began
            rows = [] if problem else [r for r in read_rows(run.metrics) if r["kind"] == "evaluation"]
            body = {"top1": rows[-1]["top1"] if rows else None, "seconds": round(seconds, 2), "problem": problem}
            with atomic_write(outcome) as temp:
                temp.write_text(json.dumps(body) + "\n", "utf-8")
        body = json.loads(outcome.read_text("utf-8"))
        return Trial(name=name, rung=rung.number, epochs=rung.epochs, model=run.last, **body)

    def _train(self, name: str, rung: Rung, data: Dataset, run: RunFolder) -> None:
        watch = self.display()
        options = self.options | {"observers": [watch]}
        try:
            if run.exists:
                resume(run.path, data=data, **options)
                return
            recipe = "small" if self.recipe == "small" else None  # None: what suits the data is decided
            fit(data, recipe, run=run.path, model=name, epochs=rung.epochs, seed=self.plan.seed, **options)
        finally:
            close = getattr(watch, "close", None)
            if close:
                close()

    def _file(self, number: int) -> Path:
        return self.folder / f"rung-{number}.json"

    def _keep(self, rung: Rung) -> None:
        body = {"number": rung.number, "names": list(rung.names), "epochs": rung.epochs, "per_class": rung.per_class}
        with atomic_write(self._file(rung.number)) as temp:
            temp.write_text(json.dumps(body) + "\n", "utf-8")

    def _kept(self, number: int) -> Rung | None:
        """Return a round as it was decided before an interruption."""
        if not self._file(number).is_file():
            return None
        body = json.loads(self._file(number).read_text("utf-8"))
        return Rung(**(body | {"names": tuple(body["names"])}))


def _with_weights(plan: TryPlan, say: Say) -> tuple[list[Candidate], list[LeftOut]]:
    """Return the first candidates whose weights can be had, fetched, and those that were passed over."""
    known = {candidate.name: candidate for candidate in candidates()}
    chosen: list[Candidate] = []
    left_out: list[LeftOut] = []
    unreachable: str | None = None
    for name in plan.names:
        if len(chosen) == plan.count:
            break
        weights = default(name)
        why = None if plan.situation.from_nothing else why_missing(weights)
        if why is None and not plan.situation.from_nothing and not store.is_here(weights):
            why = unreachable
            if why is None:
                say(f"fetching the weights of {name}")
                try:
                    store.fetch(weights)
                except DownloadError as error:
                    why = unreachable = f"its weights could not be fetched ({error.what})"
        if why is None:
            chosen.append(known[name])
        else:
            left_out.append(LeftOut(name=name, why=why))
    return chosen, left_out


def _watch_nothing(event: Event) -> None:
    pass


def _is_final(trial: Trial, rungs: Sequence[Rung]) -> bool:
    return trial.rung == rungs[-1].number and trial.top1 is not None


def _correct(model: Path, source: Any, device: str | None) -> NDArray[np.bool_]:
    file = modelfile.load(model)
    network = create(file.spec, weights=model)
    answered = answers(network, source, file.preprocess, device=find_device(device), unreadable="skip")
    right = np.zeros(len(source), bool)
    right[answered.indices] = answered.logits.argmax(1) == answered.labels
    return right

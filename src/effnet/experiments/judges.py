"""The cheap evaluators of a search, and what they are worth: each is compared with short trainings before it is used.

The control candidates, random ones of equal cost, are trained shortly. Their accuracies are the truth that proxies and
the supernet are ranked against (Kendall's tau), and what a proxy's score is translated into accuracy with.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from effnet.cost import cost
from effnet.errors import InputError, UnknownNameError
from effnet.experiments.batches import Batch, load_batches
from effnet.experiments.phases import Bench, Outcome
from effnet.experiments.proxies import PROXIES, score
from effnet.experiments.search_plan import SearchPlan
from effnet.experiments.short_training import ShortTraining
from effnet.experiments.supernet import Supernet
from effnet.experiments.weight_sharing import inherit
from effnet.nn import Network
from effnet.preprocessing import Preprocess
from effnet.search.entropy import entropy
from effnet.search.ranking import Calibration, RankCorrelation, kendall
from effnet.search.space import Choices, digest
from effnet.search.study import Attempt
from effnet.spec import NetworkSpec
from effnet.training.fit import judged_with
from effnet.weights.atomic import atomic_write

if TYPE_CHECKING:
    from effnet.experiments.architecture_search import Candidate

_CLOSED_FORMS = {
    "params": lambda spec: float(cost(spec).params),
    "macs": lambda spec: float(cost(spec).macs),
    "entropy": entropy,
}
NAMES = (*_CLOSED_FORMS, *PROXIES)
"""Every proxy, cheapest first."""

_PROXY_IMAGES = 64
_FEWEST = 4
"""Trained candidates below which a rank correlation says nothing."""


class Judges:
    """What a plan's search asks about candidates besides a short training.

    Attributes:
        correlations: Kendall's tau of each proxy and of the supernet with the short trainings; see `calibrate`.
    """

    def __init__(self, plan: SearchPlan, training: ShortTraining, bench: Bench) -> None:
        """Take what all of them need.

        Raises:
            UnknownNameError: no proxy of the plan's name.
        """
        if plan.proxy is not None and plan.proxy not in NAMES:
            raise UnknownNameError.among("proxy", plan.proxy, NAMES, see=f"known: {', '.join(NAMES)}")
        self.correlations: dict[str, RankCorrelation] = {}
        self._plan, self._training, self._bench = plan, training, bench
        self._calibration: tuple[str, Calibration] | None = None
        self._supernet: Supernet | None = None
        self._finished: dict[str, tuple[NetworkSpec, Mapping[str, Tensor]]] = {}

    @functools.cached_property
    def _preprocess(self) -> Preprocess:
        return judged_with(None, self._plan.recipe, self._plan.space.base)

    @functools.cached_property
    def _images(self) -> Batch:
        """The few images that proxies look at."""
        train = self._training.dataset.train
        batches = load_batches(
            train,
            self._preprocess,
            device=self._training.device,
            size=_PROXY_IMAGES,
            most=_PROXY_IMAGES,
            seed=self._plan.seed,
        )
        return batches[0]

    def scores(self, spec: NetworkSpec, seed: int, names: Sequence[str] = NAMES) -> dict[str, float]:
        """Return what proxies say of an untrained network; higher promises more."""
        given = {name: _CLOSED_FORMS[name](spec) for name in names if name in _CLOSED_FORMS}
        asked = [name for name in names if name in PROXIES]
        if asked:
            images, labels = self._images
            given |= score(spec, asked, images, labels, seed=seed)
        return given

    def calibrate(self, control: Sequence[Candidate], spent: dict[str, float]) -> None:
        """Compare every cheap evaluator with the trained candidates, and translate the plan's into accuracy.

        Raises:
            InputError: too few could be trained for the evaluator that the plan asks for.
        """
        trained = [c for c in control if c.state == "complete" and c.accuracy is not None and c.scores]
        scores: dict[str, list[float]] = {
            name: [candidate.scores[name] for candidate in trained] for name in NAMES if trained
        }
        if self._plan.supernet_epochs:
            self._supernet = self._trained_supernet(spent)
            scores["supernet"] = self._supernet_accuracies(trained, spent)
        truth = [float(candidate.accuracy or 0) for candidate in trained]
        if len(trained) >= _FEWEST:
            self.correlations = {name: kendall(values, truth, seed=self._plan.seed) for name, values in scores.items()}
        if self._plan.evaluator != "proxy":
            return
        if len(trained) < _FEWEST:
            what = f"only {len(trained)} control candidates could be trained"
            raise InputError(what, where="control", fix="lower the recipe's lr, or take the training evaluator")
        proxies = {name: value for name, value in self.correlations.items() if name in NAMES}
        name = self._plan.proxy or max(proxies, key=lambda name: abs(proxies[name].tau))
        self._calibration = name, Calibration.fit(scores[name], truth)

    def estimate(self, spec: NetworkSpec, choices: Choices, seed: int) -> float:
        """Return the accuracy, in percent, that the plan's evaluator expects of a candidate."""
        if self._plan.evaluator == "supernet":
            assert self._supernet is not None
            return self._supernet.evaluate(choices, *self._supernet_images)
        assert self._calibration is not None
        name, calibration = self._calibration
        return calibration(self.scores(spec, seed, [name])[name])

    def keep(self, spec: NetworkSpec, state: Mapping[str, Tensor]) -> None:
        """Remember a trained network's weights, for others to begin with."""
        weights = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        self._finished[digest(spec)] = (spec, weights)

    def inherit(self, network: Network, spec: NetworkSpec) -> float:
        """Put weights of the most similar finished network into a fresh one; return the share of it that they fill."""
        if not self._finished:
            return 0.0
        donor, weights = max(self._finished.values(), key=lambda held: _likeness(held[0], spec))
        return inherit(network, weights, donor)

    @functools.cached_property
    def _supernet_images(self) -> tuple[list[Batch], list[Batch]]:
        """Batches that norm statistics are taken from, and batches that are judged by."""
        dataset, device = self._training.dataset, self._training.device
        assert dataset.val is not None
        calibration = load_batches(dataset.train, self._preprocess, device=device, most=256, seed=self._plan.seed)
        return calibration, load_batches(dataset.val, self._preprocess, device=device, size=128)

    def _trained_supernet(self, spent: dict[str, float]) -> Supernet:
        plan = self._plan
        supernet = Supernet(
            plan.space, classes=len(self._training.dataset.train.classes), seed=plan.seed, device=self._training.device
        )
        file = self._bench.folder / "supernet.pt"

        def work(attempt: Attempt) -> Outcome:
            batches = load_batches(
                self._training.dataset.train,
                self._preprocess,
                device=self._training.device,
                size=plan.recipe.batch.size or 64,
                seed=plan.seed,
            )
            supernet.train(batches, epochs=plan.supernet_epochs, seed=plan.seed)
            with atomic_write(file) as temp:
                torch.save(supernet.state_dict(), temp)
            return Outcome(values=(1.0,))

        records = self._bench.carry_out("supernet", 1, work, plan=plan.to_dict(), propose=lambda i, r, c: {})
        spent["supernet"] = records[0].result["seconds"]
        if not file.exists():
            fix = "let all workers share the run folder, or search without a supernet"
            raise InputError("the supernet that another worker trained is not here", where=str(file), fix=fix)
        supernet.load_state_dict(torch.load(file, weights_only=True))
        return supernet

    def _supernet_accuracies(self, trained: Sequence[Candidate], spent: dict[str, float]) -> list[float]:
        if not trained:
            return []
        supernet = self._supernet
        assert supernet is not None

        def work(attempt: Attempt) -> Outcome:
            accuracy = supernet.evaluate(trained[attempt.index].choices, *self._supernet_images)
            return Outcome(values=(accuracy,), result={"accuracy": accuracy})

        records = self._bench.carry_out(
            "calibration", len(trained), work, plan=self._plan.to_dict(), propose=lambda i, r, c: {"control": i}
        )
        spent["supernet"] += sum(record.result["seconds"] for record in records)
        return [float(record.result["accuracy"]) for record in records]


def _likeness(one: NetworkSpec, other: NetworkSpec) -> int:
    """Return in how many stages, and how nearly, two networks of a space agree."""
    return sum(
        3 * (a.block.kind == b.block.kind)
        + (a.block.kernel == b.block.kernel)
        + (a.block.expand_ratio == b.block.expand_ratio)
        + (a.block.se_ratio == b.block.se_ratio)
        + (a.channels == b.channels)
        + (a.repeats == b.repeats)
        for a, b in zip(one.stages, other.stages, strict=True)
    )


def summary(correlation: RankCorrelation) -> dict[str, Any]:
    """Return plain JSON types."""
    return {"tau": correlation.tau, "low": correlation.low, "high": correlation.high, "count": correlation.count}

"""Step 1 of compound scaling (V1 section 3.3): phi = 1, a grid of alpha, beta, gamma, each trained and ranked.

The paper did this once, for B0 on ImageNet, and published the result only. Here it is done on your data, for your base
network, with as many seeds as you can pay for, and the result says how sure it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effnet.cost import cost
from effnet.data.sources import open_dataset, per_class
from effnet.errors import InputError
from effnet.experiments.phases import Bench, Outcome, Watcher
from effnet.experiments.short_training import ShortTraining
from effnet.inference.runtime import find_device
from effnet.scaling import Coefficients, compound
from effnet.search.coefficient_grid import CandidateResult, Conclusion, conclude
from effnet.search.study import Attempt
from effnet.spec import NetworkSpec
from effnet.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPlan:
    """What is compared.

    Attributes:
        data: as a person names it.
        train_per_class, val_per_class: images of each class that are used; None: all.
        base: the network at phi = 0.
        candidates: bases of the coefficients, each tried at phi = 1.
        recipe: of every training.
        seeds: trainings of each candidate.
        seed: of the first.
    """

    data: str
    train_per_class: int | None = None
    val_per_class: int | None = None
    base: NetworkSpec
    candidates: tuple[Coefficients, ...]
    recipe: Recipe
    seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse studies that compare nothing."""
        if len(self.candidates) < 2:
            fix = "give a finer --step or a wider --tolerance"
            raise InputError(f"{len(self.candidates)} candidates", where="candidates", fix=fix)
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds", where="seeds", fix="give 1 or more, 3 to know the spread")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "data": self.data,
            "train_per_class": self.train_per_class,
            "val_per_class": self.val_per_class,
            "base": self.base.to_json(),
            "candidates": [dataclasses.asdict(candidate) for candidate in self.candidates],
            "recipe": self.recipe.to_dict(),
            "seeds": self.seeds,
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScalingPlan:
        """Read what `to_dict` wrote.

        Raises:
            EffnetError: it is not a plan.
        """
        try:
            parts = {
                "base": NetworkSpec.from_json(data["base"]),
                "candidates": tuple(Coefficients(**candidate) for candidate in data["candidates"]),
                "recipe": Recipe.from_dict(data["recipe"]),
            }
            return cls(**(dict(data) | parts))
        except (KeyError, TypeError):
            fix = "name a folder that `effnet study scaling` made with this version"
            raise InputError("not a scaling plan", where="plan.json", fix=fix) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingResult:
    """What came out.

    Attributes:
        results: of each candidate that could be trained, in the plan's order.
        macs, params: of each of them at phi = 1.
        conclusion: which is best, and how sure that is.
        seconds: of all trainings, over all workers.
    """

    plan: ScalingPlan
    results: tuple[CandidateResult, ...]
    macs: tuple[int, ...]
    params: tuple[int, ...]
    conclusion: Conclusion
    seconds: float


def scaling_study(
    plan: ScalingPlan,
    folder: Path,
    *,
    name: str = "scaling",
    storage: str | None = None,
    device: str | None = None,
    workers: int | None = None,
    watch: Watcher = lambda progress: None,
) -> ScalingResult:
    """Train every candidate with every seed, beside whoever else does, and conclude.

    Args:
        folder: for the journal.
        storage: a database that workers on several machines share.
        watch: told after every training.

    Raises:
        StoppedSearchError: SIGTERM or Ctrl-C came.
        EffnetError: the data or the storage cannot be used, or no two candidates could be trained.
    """
    dataset = open_dataset(plan.data, seed=plan.seed)
    dataset = per_class(dataset, train=plan.train_per_class, val=plan.val_per_class)
    training = ShortTraining(dataset, plan.recipe, device=find_device(device), workers=workers)
    specs = [compound(plan.base, 1, c.alpha, c.beta, c.gamma) for c in plan.candidates]
    # A whole round of candidates before the next seed, so that an unfinished study compares like with like.
    units = [(candidate, seed) for seed in range(plan.seeds) for candidate in range(len(specs))]

    def work(attempt: Attempt) -> Outcome:
        candidate, seed = units[attempt.index]
        trained = training(specs[candidate], seed=plan.seed + seed, report=attempt.report)
        result = {"accuracy": trained.top1, "curve": list(trained.curve), "spec": specs[candidate].to_json()}
        return Outcome(values=(trained.top1,), result=result)

    def propose(index: int, earlier: Any, chance: Any) -> Mapping[str, Any]:
        candidate, seed = units[index]
        return {"candidate": candidate, "seed": plan.seed + seed, **dataclasses.asdict(plan.candidates[candidate])}

    bench = Bench(folder, name, storage=storage, watch=watch)
    records = bench.carry_out("candidates", len(units), work, plan=plan.to_dict(), propose=propose, seed=plan.seed)
    accuracies: list[list[float]] = [[] for _ in specs]
    for (candidate, _), record in zip(units, records, strict=True):
        if record.state == "complete":
            accuracies[candidate].append(float(record.result["accuracy"]))
    kept = [place for place, values in enumerate(accuracies) if values]
    if len(kept) < 2:
        raise InputError("fewer than two candidates could be trained", where="candidates", fix="lower the recipe's lr")
    results = tuple(
        CandidateResult(coefficients=plan.candidates[place], accuracies=tuple(accuracies[place])) for place in kept
    )
    counted = [cost(specs[place]) for place in kept]
    return ScalingResult(
        plan=plan,
        results=results,
        macs=tuple(each.macs for each in counted),
        params=tuple(each.params for each in counted),
        conclusion=conclude(results, seed=plan.seed),
        seconds=sum(record.result.get("seconds", 0.0) for record in records),
    )


def coefficients_of(conclusion: Conclusion) -> Coefficients:
    """Return what `effnet scale --coefficients` takes."""
    return conclusion.chosen


def ranked(result: ScalingResult) -> Sequence[int]:
    """Return the places of the candidates, best mean first."""
    means = [sum(each.accuracies) / len(each.accuracies) for each in result.results]
    return sorted(range(len(means)), key=lambda place: -means[place])

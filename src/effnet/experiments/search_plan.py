"""Everything that decides the outcome of an architecture search, as one value that travels with the study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from effnet.errors import InputError, UnknownNameError
from effnet.search.objective import Objective
from effnet.search.space import SearchSpace
from effnet.training.recipe import Recipe

Evaluator = Literal["training", "supernet", "proxy"]
Searcher = Literal["evolution", "random", "tpe", "nsga2", "controller"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """What is searched, how, and for how much.

    Attributes:
        data: as a person names it.
        train_per_class, val_per_class: images of each class that are used; None: all.
        space: what is searched.
        objective: what is maximised.
        within: a candidate's cost may differ from the target by this share at most, above it only in the soft and v2
            forms.
        searcher: who proposes candidates.
        evaluator: who judges them: a short training, a supernet, or a proxy that a short training calibrates.
        proxy: its name; None: the one that ranks the control candidates best.
        recipe: of every short training.
        trials: candidates to propose.
        control: random candidates of equal cost, each trained shortly: what search must beat, and what proxies and
            supernet are calibrated with.
        finalists: best candidates that are trained again, with `final_seeds` seeds of their own.
        prune: give up hopeless trainings (successive halving).
        inherit: begin each training with the weights of the finished candidate most like it.
        supernet_epochs: epochs of the supernet's training; 0: none is trained.
        latency_networks: networks that the latency table is measured on.
        threads: CPU threads while latency is measured; None: all.
        seed: of everything random.
    """

    data: str
    train_per_class: int | None = None
    val_per_class: int | None = None
    space: SearchSpace
    objective: Objective
    within: float = 0.15
    searcher: Searcher = "evolution"
    evaluator: Evaluator = "training"
    proxy: str | None = None
    recipe: Recipe
    trials: int = 50
    control: int = 10
    finalists: int = 3
    final_seeds: int = 3
    prune: bool = True
    inherit: bool = False
    supernet_epochs: int = 0
    latency_networks: int = 30
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse plans that contradict themselves."""
        for name, kind in (("searcher", Searcher), ("evaluator", Evaluator)):
            if getattr(self, name) not in get_args(kind):
                raise UnknownNameError.among(name, str(getattr(self, name)), get_args(kind))
        least = {"trials": 1, "finalists": 1, "final_seeds": 1, "latency_networks": 4, "control": 0}
        for name, low in (least | {"supernet_epochs": 0}).items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= 1_000_000:
                raise InputError(f"{name} is {value!r}", where=name, fix=f"give a whole number from {low}")
        if not 0 < self.within <= 1:
            raise InputError(f"within is {self.within!r}", where="within", fix="give a share such as 0.15")
        if self.evaluator == "proxy" and self.control < 4:
            fix = "give at least 4 control candidates, better 30"
            raise InputError("a proxy without trained candidates to calibrate it with", where="control", fix=fix)
        if self.evaluator == "supernet" and not self.supernet_epochs:
            fix = "give the epochs of its training, such as 20"
            raise InputError("a supernet that is not trained", where="supernet_epochs", fix=fix)
        if self.proxy is not None and self.evaluator != "proxy":
            raise InputError(f"--proxy with the {self.evaluator} evaluator", where="proxy", fix="--evaluator proxy")
        if self.inherit and self.evaluator != "training":
            raise InputError("inherited weights without training", where="inherit", fix="--evaluator training")

    @property
    def window(self) -> tuple[float, float]:
        """The lowest and highest cost of a candidate."""
        target = self.objective.target
        return target * (1 - self.within), target * (1 if self.objective.form == "hard" else 1 + self.within)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        objective = {field.name: getattr(self.objective, field.name) for field in dataclasses.fields(Objective)}
        return data | {"space": self.space.to_dict(), "objective": objective, "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            EffnetError: it is not a plan.
        """
        try:
            parts = {
                "space": SearchSpace.from_dict(data["space"]),
                "objective": Objective(**data["objective"]),
                "recipe": Recipe.from_dict(data["recipe"]),
            }
            return cls(**(dict(data) | parts))
        except (KeyError, TypeError):
            fix = "name a folder that `effnet search` made with this version"
            raise InputError("not a search plan", where="plan.json", fix=fix) from None

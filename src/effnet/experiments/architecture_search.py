"""Architecture search as both papers did it (Mnas section 4, V2 section 3.2), at a size that a person can pay for.

    latency    a table of block latencies on this device, if the objective counts them        one worker measures
    control    random candidates of equal cost, trained shortly                               all workers
    supernet   one network whose weights all candidates share, if asked for                   one worker trains
    search     candidates that the searcher proposes, judged by the evaluator                 all workers
    final      the best of them trained again, with seeds that the search has not seen        all workers

Every phase is a study: any number of workers started with the same command share it, a killed one loses nothing, and
`resume` goes on where all of them stopped. The winner is the finalist with the highest mean reward, at its measured
latency where latency counts.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effnet.data.sources import open_dataset, per_class
from effnet.errors import InputError
from effnet.experiments.costs import CostMeter, measured_step_time
from effnet.experiments.judges import Judges
from effnet.experiments.phases import Bench, Outcome, Watcher
from effnet.experiments.search_plan import SearchPlan
from effnet.experiments.short_training import ShortTraining
from effnet.inference.latency import measure_latency
from effnet.inference.runtime import find_device
from effnet.search.latency_table import LatencyTable
from effnet.search.space import Choices, SearchSpace, digest
from effnet.search.study import Attempt, Record
from effnet.spec import NetworkSpec

_TRIES = 3000
"""Proposals looked at for one whose cost is near the target."""

_CLOCKED = 60
"""Passes that a finalist's latency is the median of."""

_MET = 1.05
"""Measured latency over the target up to which a finalist has met it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A network that was judged.

    Attributes:
        index: of its unit.
        accuracy: percent; measured by a short training, or estimated by the evaluator.
        costs: by kind.
        reward: of the objective.
        state: `complete`, `pruned` or `failed`.
        seconds: it took.
        scores: of proxies, by name, where they were asked.
        choices: its point in the space.
    """

    index: int
    spec: NetworkSpec
    accuracy: float | None
    costs: Mapping[str, float]
    reward: float
    state: str
    seconds: float
    scores: Mapping[str, float]
    choices: Choices


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """One of the best, trained again.

    Attributes:
        accuracies: percent, one for each seed.
        latency_ms: measured on the whole network; None where latency does not count.
        reward: at the mean accuracy and the measured costs.
    """

    candidate: Candidate
    accuracies: tuple[float, ...]
    latency_ms: float | None
    reward: float

    @property
    def accuracy(self) -> float:
        """Mean over the seeds, in percent."""
        return sum(self.accuracies) / len(self.accuracies)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Everything that came out.

    Attributes:
        winner: the best finalist.
        finalists: best first.
        tried, control: in order of their units.
        correlations: what `Judges.correlations` says of each cheap evaluator.
        spent: seconds by phase, over all workers.
        table: of block latencies, where they count.
    """

    plan: SearchPlan
    winner: Finalist
    finalists: tuple[Finalist, ...]
    tried: tuple[Candidate, ...]
    control: tuple[Candidate, ...]
    correlations: Mapping[str, Any]
    spent: Mapping[str, float]
    table: LatencyTable | None


class ArchitectureSearch:
    """One worker of a search."""

    def __init__(
        self,
        plan: SearchPlan,
        folder: Path,
        *,
        name: str = "search",
        storage: str | None = None,
        device: str | None = None,
        workers: int | None = None,
        watch: Watcher = lambda progress: None,
    ) -> None:
        """Open the data and the study.

        Args:
            folder: for the journal and what comes out.
            storage: a database that workers on several machines share.
            workers: processes that load images.
            watch: told after every candidate.

        Raises:
            EffnetError: the data or the storage cannot be opened.
        """
        self._bench = Bench(folder, name, storage=storage, watch=watch)
        dataset = open_dataset(plan.data, seed=plan.seed)
        dataset = per_class(dataset, train=plan.train_per_class, val=plan.val_per_class)
        self._training = ShortTraining(dataset, plan.recipe, device=find_device(device), workers=workers)
        # The data decide the classes, and those the size of the classifier, which costs too.
        base = plan.space.base.replace(classes=len(dataset.train.classes))
        self.plan = dataclasses.replace(plan, space=dataclasses.replace(plan.space, base=base))

    def run(self) -> SearchResult:
        """Do every phase to its end, beside whoever else does.

        Raises:
            StoppedSearchError: SIGTERM or Ctrl-C came.
            EffnetError: no candidate is near the target cost, or what the storage and the data raise.
        """
        plan = self.plan
        spent: dict[str, float] = {}
        table = self._latency_table(spent)
        self._meter = CostMeter(
            plan.objective.kinds,
            latency=table,
            step_time=measured_step_time(batch=plan.recipe.batch.size or 32, device=self._training.device),
        )
        judges = Judges(plan, self._training, self._bench)
        self._judges = judges
        control = self._phase("control", plan.control, self._control_work, self._propose_random, spent)
        judges.calibrate(control, spent)
        searching: dict[str, Any] = {}
        if plan.searcher in ("tpe", "nsga2"):
            searching = self._sampled()
        propose = None if searching else self._propose
        pruner = self._pruner() if plan.prune and plan.evaluator == "training" and plan.searcher != "nsga2" else None
        tried = self._phase("search", plan.trials, self._search_work, propose, spent, pruner=pruner, **searching)
        best = self._best(tried)
        finals = self._finals(best, spent)
        finalists = sorted(finals, key=self._rank)
        return SearchResult(
            plan=plan,
            winner=finalists[0],
            finalists=tuple(finalists),
            tried=tuple(tried),
            control=tuple(control),
            correlations=judges.correlations,
            spent=spent,
            table=table,
        )

    def _phase(
        self, phase: str, units: int, work: Any, propose: Any, spent: dict[str, float], **options: Any
    ) -> list[Candidate]:
        if not units:
            return []
        plan = self.plan.to_dict()
        records = self._bench.carry_out(phase, units, work, plan=plan, propose=propose, seed=self.plan.seed, **options)
        candidates = [self.candidate(record) for record in records]
        spent[phase] = sum(candidate.seconds for candidate in candidates)
        return candidates

    def candidate(self, record: Record) -> Candidate:
        """Return a unit of the control or search phase as a candidate."""
        result = record.result
        choices = record.payload["choices"] if "choices" in record.payload else dict(record.payload)
        return Candidate(
            index=record.index,
            spec=self.plan.space.spec(choices),
            accuracy=result.get("accuracy"),
            costs=result.get("costs", {}),
            reward=result.get("reward", 0.0),
            state=record.state,
            seconds=result.get("seconds", 0.0),
            scores=result.get("scores", {}),
            choices=choices,
        )

    def _latency_table(self, spent: dict[str, float]) -> LatencyTable | None:
        plan = self.plan
        if "latency" not in plan.objective.kinds:
            return None

        def measure(attempt: Attempt) -> Outcome:
            from effnet.experiments.block_latency import measure_table, specs_to_measure

            specs = specs_to_measure(plan.space, plan.latency_networks, plan.seed)
            table = measure_table(specs, threads=plan.threads, device=str(self._training.device))
            return Outcome(values=(1.0,), result={"table": json.loads(table.to_json())})

        records = self._bench.carry_out("latency", 1, measure, plan=plan.to_dict(), propose=lambda i, r, c: {})
        spent["latency table"] = records[0].result["seconds"]
        return LatencyTable.from_json(json.dumps(records[0].result["table"]))

    def _near_target(self, propose: Any) -> Mapping[str, Any]:
        """Return the first proposal whose cost is in the window.

        Raises:
            InputError: none is, among many.
        """
        low, high = self.plan.window
        kind, nearest = self.plan.objective.cost, None
        for _ in range(_TRIES):
            proposal: Mapping[str, Any] = propose()
            cost = self._costs(self.plan.space.spec(proposal["choices"]))[kind]
            if low <= cost <= high:
                return proposal
            if nearest is None or abs(cost - self.plan.objective.target) < abs(nearest - self.plan.objective.target):
                nearest = cost
        raise InputError(
            f"none of {_TRIES} proposals has a {kind} from {low:g} to {high:g}; the nearest has {nearest:g}",
            where="target",
            fix=f"give a target near {nearest:.3g}, a wider --within, or a space around a base of that size",
        )

    def _propose_random(self, index: int, earlier: Sequence[Record], rng: random.Random) -> Mapping[str, Any]:
        space = self.plan.space
        return self._near_target(lambda: {"choices": space.random(rng), "parent": None})

    def _propose(self, index: int, earlier: Sequence[Record], rng: random.Random) -> Mapping[str, Any]:
        from effnet.experiments.proposals import proposal_of

        return self._near_target(lambda: proposal_of(self.plan, earlier, rng))

    def _sampled(self) -> dict[str, Any]:
        """Return what hands the proposals over to one of Optuna's samplers."""
        import optuna

        seed = self.plan.seed
        dimensions = dict(self.plan.space.dimensions)
        if self.plan.searcher == "tpe":
            sampler: Any = optuna.samplers.TPESampler(seed=seed, multivariate=False)
            return {"sampler": sampler, "dimensions": dimensions}
        sampler = optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, min(50, self.plan.trials // 4)))
        return {"sampler": sampler, "dimensions": dimensions, "directions": ("maximize", "minimize")}

    def _pruner(self) -> Any:
        import optuna

        first = max(1, self.plan.recipe.epochs // 4)
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=2)

    def _costs(self, spec: NetworkSpec) -> dict[str, float]:
        return {str(kind): float(value) for kind, value in self._meter(spec).items()}

    def _control_work(self, attempt: Attempt) -> Outcome:
        spec = self.plan.space.spec(attempt.payload["choices"])
        seed = self._seed("control", attempt.index)
        scores = self._judges.scores(spec, seed)
        return self._trained(spec, attempt, seed, {"scores": scores}, prune=False)

    def _search_work(self, attempt: Attempt) -> Outcome:
        choices = attempt.payload.get("choices", attempt.payload)
        spec = self.plan.space.spec(choices)
        costs = self._costs(spec)
        low, high = self.plan.window
        cost = costs[self.plan.objective.cost]
        if not low <= cost <= high:  # only Optuna's samplers propose such
            return self._too_far(spec, costs, cost)
        seed = self._seed("search", attempt.index)
        if self.plan.evaluator == "training":
            return self._trained(spec, attempt, seed, {}, prune=self.plan.prune)
        return self._judged(spec, self._judges.estimate(spec, choices, seed), costs, {"seed": seed})

    def _trained(
        self, spec: NetworkSpec, attempt: Attempt, seed: int, extra: Mapping[str, Any], *, prune: bool
    ) -> Outcome:
        def report(top1: float, epoch: int) -> bool:
            return attempt.report(top1, epoch) and prune

        inherited = {}

        def prepare(network: Any) -> None:
            if self.plan.inherit:
                inherited["inherited"] = self._judges.inherit(network, spec)

        trained = self._training(spec, seed=seed, report=report, prepare=prepare)
        if self.plan.inherit:
            self._judges.keep(spec, trained.state)
        result = {"seed": seed, "curve": list(trained.curve), **inherited, **extra}
        outcome = self._judged(spec, trained.top1, self._costs(spec), result)
        return Outcome(values=outcome.values, result=outcome.result, state="pruned" if trained.pruned else "complete")

    def _judged(
        self, spec: NetworkSpec, accuracy: float, costs: Mapping[str, float], extra: Mapping[str, Any]
    ) -> Outcome:
        reward = self.plan.objective.reward(accuracy / 100, costs)
        values = (accuracy, costs[self.plan.objective.cost]) if self.plan.searcher == "nsga2" else (reward,)
        result = {"accuracy": accuracy, "costs": dict(costs), "reward": reward, "digest": digest(spec), **extra}
        return Outcome(values=values, result=result)

    def _too_far(self, spec: NetworkSpec, costs: Mapping[str, float], cost: float) -> Outcome:
        """Return the outcome of a candidate that is not worth training; the farther off, the worse, to learn from."""
        reward = -abs(math.log(cost / self.plan.objective.target))
        values = (reward, cost) if self.plan.searcher == "nsga2" else (reward,)
        reason = "its cost is too far from the target"
        result = {"costs": dict(costs), "reward": reward, "digest": digest(spec), "reason": reason}
        return Outcome(values=values, result=result)

    def _best(self, tried: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates with the highest rewards, no two of them the same network."""
        finished = [c for c in tried if c.state == "complete" and c.accuracy]
        if not finished:
            fix = "give a wider --within, or more --trials"
            raise InputError("no candidate could be judged", where="search", fix=fix)
        best: dict[str, Candidate] = {}
        for candidate in sorted(finished, key=lambda c: -c.reward):
            best.setdefault(digest(candidate.spec), candidate)
        return list(best.values())[: self.plan.finalists]

    def _finals(self, best: Sequence[Candidate], spent: dict[str, float]) -> list[Finalist]:
        seeds = self.plan.final_seeds
        chosen = [(candidate, seed) for seed in range(seeds) for candidate in best]

        def work(attempt: Attempt) -> Outcome:
            candidate, number = chosen[attempt.index]
            trained = self._training(candidate.spec, seed=self._seed("final", number))
            latency = None
            if "latency" in self.plan.objective.kinds:
                device = str(self._training.device)
                latency = measure_latency(
                    candidate.spec, threads=self.plan.threads, device=device, repeats=_CLOCKED
                ).median_ms
            return Outcome(values=(trained.top1,), result={"accuracy": trained.top1, "latency_ms": latency})

        records = self._bench.carry_out(
            "final", len(chosen), work, plan=self.plan.to_dict(), propose=lambda index, r, c: {"candidate": index}
        )
        spent["final"] = sum(record.result["seconds"] for record in records)
        finalists = []
        for place, candidate in enumerate(best):
            mine = [records[place + len(best) * seed].result for seed in range(seeds)]
            mine = [result for result in mine if "accuracy" in result]
            if mine:
                finalists.append(self._finalist(candidate, mine))
        if not finalists:
            raise InputError("no finalist could be trained", where="final", fix="lower the recipe's lr, then resume")
        return finalists

    def _finalist(self, candidate: Candidate, results: Sequence[Mapping[str, Any]]) -> Finalist:
        accuracies = tuple(float(result["accuracy"]) for result in results)
        # A machine that something disturbs is slower for a while, never faster.
        latency = min((result["latency_ms"] for result in results if result["latency_ms"] is not None), default=None)
        costs = dict(candidate.costs) | ({} if latency is None else {"latency": latency})
        reward = self.plan.objective.reward(sum(accuracies) / len(accuracies) / 100, costs)
        return Finalist(candidate=candidate, accuracies=accuracies, latency_ms=latency, reward=reward)

    def _rank(self, finalist: Finalist) -> tuple[bool, float]:
        missed = finalist.latency_ms is not None and (
            self.plan.objective.cost == "latency" and finalist.latency_ms > _MET * self.plan.objective.target
        )
        return missed, -finalist.reward

    def _seed(self, phase: str, index: int) -> int:
        return random.Random(f"{self.plan.seed} {phase} {index}").randrange(2**31)


def default_space(base: NetworkSpec, image_size: int | None) -> SearchSpace:
    """Return the papers' space around `base`, for images of `image_size` pixels (None: the base's own)."""
    if image_size is not None:
        base = base.replace(resolution=image_size, train_resolution=image_size)
    return SearchSpace.around(base)

"""A search by closed forms alone: thousands of candidates, nothing trained, in the time of a coffee.

Candidates near the target cost are ranked by a score that needs no network, such as `effnet.search.entropy`. What this
gives is a list to train, not a winner: such scores follow accuracy only loosely, and `effnet search` measures how well.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from effnet.errors import InputError
from effnet.quantities import billions, count_text, millions, size_text
from effnet.search.objective import UNITS, CostKind
from effnet.search.space import SearchSpace, Value, digest
from effnet.spec import NetworkSpec

Costs = Callable[[NetworkSpec], Mapping[CostKind, float]]
Score = Callable[[NetworkSpec], float]

_PARENTS = 64
_FRESH = 0.25
"""Share of the candidates that are drawn evenly, so that the search does not settle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """A candidate with its costs and score."""

    spec: NetworkSpec
    choices: Mapping[str, Value]
    costs: Mapping[CostKind, float]
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """What came out.

    Attributes:
        looked_at: candidates, each another point of the space.
        in_window: of them near the target.
        best: by score, best first, no two of them the same network.
    """

    cost: CostKind
    target: float
    looked_at: int
    in_window: int
    best: tuple[Screened, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        best = [
            {"spec": each.spec.to_json(), "costs": dict(each.costs), "score": each.score, "choices": dict(each.choices)}
            for each in self.best
        ]
        return {
            "cost": self.cost,
            "target": self.target,
            "looked_at": self.looked_at,
            "in_window": self.in_window,
            "best": best,
        }

    def __str__(self) -> str:
        """A table of the best."""
        wanted = cost_text(self.cost, self.target)
        lines = [
            f"{self.looked_at} candidates, {self.in_window} of them close below {wanted}; ranked by entropy, a closed"
            " form of how much a network's maps can tell apart:"
        ]
        for place, each in enumerate(self.best):
            costs = dict(each.costs)
            shown = f"{millions(int(costs['params']))} params  {billions(int(costs['macs']))} MACs"
            measured = "".join(f"  {kind} {costs[kind]:.2f} ms" for kind in ("latency", "step_time") if kind in costs)
            lines.append(f"  candidate {place}  entropy {each.score:.0f}  {shown}{measured}  {each.spec.name}")
        lines.append("closed forms rank loosely: train the first few before you believe them")
        return "\n".join(lines)


def cost_text(kind: CostKind, value: float) -> str:
    """Write a cost as people do: `300M MACs`, `5.0 MB of memory`, `20 ms for one image`."""
    if kind in ("macs", "params"):
        return f"{count_text(int(value))} {'MACs' if kind == 'macs' else 'parameters'}"
    if kind == "memory":
        return f"{size_text(int(value))} of memory"
    return f"{value:g} {UNITS[kind]}"


def screen(
    space: SearchSpace,
    costs: Costs,
    score: Score,
    *,
    cost: CostKind,
    target: float,
    within: float,
    candidates: int,
    keep: int = 10,
    seed: int = 0,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Screening:
    """Look at `candidates` points: a quarter drawn evenly, the others mutations of the best so far.

    Args:
        within: share of the target by which the cost may be lower; none is higher.
        keep: how many of the best to return.
        progress: told every hundred candidates.

    Raises:
        InputError: a number is not positive, or no candidate is near the target.
    """
    if candidates < 1 or keep < 1:
        raise InputError("nothing to look at", where="candidates", fix="give 1 or more")
    rng = Random(seed)
    seen: set[str] = set()
    parents: list[tuple[float, int, Screened]] = []
    shapes: set[str] = set()
    in_window, nearest = 0, float("inf")
    for number in range(candidates):
        if number % 100 == 0:
            progress(number, candidates)
        choices = _next(space, parents, rng)
        key = repr(sorted(choices.items()))
        if key in seen:  # a point already looked at counts once and costs nothing
            choices = space.random(rng)
            key = repr(sorted(choices.items()))
        seen.add(key)
        spec = space.spec(choices)
        counted = costs(spec)
        nearest = min(nearest, counted[cost], key=lambda value: abs(value - target))
        if not target * (1 - within) <= counted[cost] <= target:
            continue
        in_window += 1
        shape = digest(spec)
        if shape in shapes:
            continue
        shapes.add(shape)
        candidate = Screened(spec=spec, choices=choices, costs=counted, score=score(spec))
        entry = (candidate.score, -number, candidate)
        if len(parents) < max(keep, _PARENTS):
            heapq.heappush(parents, entry)
        else:
            heapq.heappushpop(parents, entry)
    progress(candidates, candidates)
    if not parents:
        raise InputError(
            f"none of {candidates} candidates is near {cost_text(cost, target)}; the nearest has "
            f"{cost_text(cost, nearest)}",
            where="target",
            fix=f"give a target near {nearest:.3g}, or a wider --within",
        )
    best = sorted(parents, key=lambda entry: entry[:2], reverse=True)[:keep]
    return Screening(
        cost=cost,
        target=target,
        looked_at=candidates,
        in_window=in_window,
        best=tuple(candidate for _, _, candidate in best),
    )


def _next(space: SearchSpace, parents: list[tuple[float, int, Screened]], rng: Random) -> dict[str, Value]:
    if not parents or rng.random() < _FRESH:
        return space.random(rng)
    # A tournament of two among the best so far.
    parent = max(rng.choice(parents), rng.choice(parents), key=lambda entry: entry[:2])[2]
    return space.mutated(parent.choices, rng, changes=rng.choice((1, 1, 2, 3)))

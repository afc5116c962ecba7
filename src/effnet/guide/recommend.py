"""From a situation to a ranked short list, with the reasons and the commands.

>>> from effnet.guide import recommend
>>> recommend("prototype").choices[0].name
'efficientnet_b0'
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from effnet.budget import Budget
from effnet.errors import BudgetError, InputError
from effnet.guide.advice import Advice, advice, export_command, train_command
from effnet.guide.candidates import Candidate, candidates
from effnet.guide.rules import RULES
from effnet.guide.situation import Goal, Situation

Latency: TypeAlias = Callable[[Candidate], float]
"""Milliseconds that one image takes on this device."""

TrainHours: TypeAlias = Callable[[Candidate], float]
"""Hours that training takes on this device."""

Missing: TypeAlias = Callable[[Candidate], str | None]
"""Why a candidate's ImageNet weights cannot be had; None: they can."""


_CLEARLY = 0.5
"""Points of published top-1 below which networks count as equals: recipes and ports differ by more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What a rule gave to a network, and why."""

    rule: str
    points: float
    text: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One network of the short list.

    Attributes:
        score: sum of the rules' points.
        latency_ms, train_hours: where limits made them be measured or estimated.
        reasons: of most weight first.
        train, export: the commands.
    """

    name: str
    label: str
    score: float
    top1: float
    params: int
    macs: int
    memory_bytes: int
    resolution: int
    weights: str | None
    latency_ms: float | None
    train_hours: float | None
    reasons: tuple[Reason, ...]
    train: str
    export: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A network that is not on the list, and why it could not be."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A short list, best first.

    Attributes:
        left_out: networks that a limit or missing weights exclude.
        advice: what to do whichever is chosen.
        disagreements: measurements and publications that speak against the rules.
    """

    situation: Situation
    choices: tuple[Choice, ...]
    left_out: tuple[LeftOut, ...]
    advice: tuple[Advice, ...]
    disagreements: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return dataclasses.asdict(self)


def recommend(
    goal: Goal | Situation = "balanced",
    *,
    count: int = 3,
    data: str = "DATA",
    latency: Latency | None = None,
    train_hours: TrainHours | None = None,
    missing: Missing | None = None,
    **facts: Any,
) -> Recommendation:
    """Return the networks that suit best.

    Args:
        goal: `prototype`, `balanced`, `best` or `fast-training`; or a whole situation.
        count: how many.
        data: what the commands call the images.
        latency, train_hours: measure or estimate what the limits limit; they are asked of no more than is needed.
        missing: why weights cannot be had; None: all can.
        facts: what else is known, as `Situation` takes it: `images=244, classes=2, max_params=10_000_000`.

    Raises:
        BudgetError: no network keeps the limits.
        InputError: a fact is impossible, or latency or training time is limited and nothing measures it.
    """
    if isinstance(goal, Situation):
        if facts:
            raise InputError(
                "a situation and facts are both given", where="facts", fix="put the facts into the situation"
            )
        situation = goal
    else:
        try:
            situation = Situation(goal=goal, **facts)
        except TypeError as error:
            raise InputError(str(error).partition(") ")[2] or str(error), fix="see effnet.guide.Situation") from None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"count is {count!r}", where="count", fix="give 1 or more")
    _require_measures(situation, latency, train_hours)
    ranked = sorted(candidates(), key=lambda c: (-_score(situation, c), c.macs))
    left_out: list[LeftOut] = []
    chosen: list[Choice] = []
    for candidate in ranked:
        why = _excluded(situation, candidate, missing)
        if why is None and len(chosen) < count:
            why, choice = _measured(situation, candidate, latency, train_hours, data)
            if choice is not None:
                chosen.append(choice)
        if why is not None:
            left_out.append(LeftOut(name=candidate.name, why=why))
    if not chosen:
        raise _impossible(left_out)
    kept = {name.name for name in left_out}
    affordable = [candidate for candidate in ranked if candidate.name not in kept]
    return Recommendation(
        situation=situation,
        choices=tuple(chosen),
        left_out=tuple(left_out),
        advice=advice(situation, chosen[0].resolution),
        disagreements=tuple(_disagreements(situation, chosen, affordable)),
    )


def reasons_for(situation: Situation, candidate: Candidate) -> tuple[Reason, ...]:
    """Return what the rules say of a network, of most weight first."""
    found = [
        Reason(rule=rule.name, points=round(points, 2), text=rule.reason, source=rule.source)
        for rule in RULES
        if (points := rule.give(situation, candidate))
    ]
    return tuple(sorted(found, key=lambda reason: -abs(reason.points)))


def _score(situation: Situation, candidate: Candidate) -> float:
    return sum(rule.give(situation, candidate) for rule in RULES)


def _excluded(situation: Situation, candidate: Candidate, missing: Missing | None) -> str | None:
    limits = {name: getattr(situation, name) for name in ("max_params", "max_macs", "max_memory_bytes")}
    if any(value is not None for value in limits.values()):
        budget = Budget(**limits)
        excesses = budget.excesses(budget.cost(candidate.spec))
        if excesses:
            return " and ".join(str(excess) for excess in excesses)
    if missing is not None and not situation.from_nothing:
        return missing(candidate)
    return None


def _measured(
    situation: Situation, candidate: Candidate, latency: Latency | None, train_hours: TrainHours | None, data: str
) -> tuple[str | None, Choice | None]:
    """Return why a network is too slow, or it as a choice."""
    milliseconds = hours = None
    if situation.max_train_hours is not None and train_hours is not None:
        hours = train_hours(candidate)
        if hours > situation.max_train_hours:
            return f"training takes about {hours:.3g} hours, the limit is {situation.max_train_hours:g}", None
    if situation.max_latency_ms is not None and latency is not None:
        milliseconds = latency(candidate)
        if milliseconds > situation.max_latency_ms:
            return f"{milliseconds:.3g} ms for one image here, the limit is {situation.max_latency_ms:g} ms", None
    return None, Choice(
        name=candidate.name,
        label=candidate.label,
        score=round(_score(situation, candidate), 2),
        top1=candidate.top1,
        params=candidate.params,
        macs=candidate.macs,
        memory_bytes=candidate.memory_bytes,
        resolution=candidate.spec.resolution,
        weights=None if situation.from_nothing else candidate.weights,
        latency_ms=milliseconds,
        train_hours=hours,
        reasons=reasons_for(situation, candidate),
        train=train_command(situation, candidate, data),
        export=export_command(situation),
    )


def _disagreements(situation: Situation, chosen: Sequence[Choice], affordable: Sequence[Candidate]) -> list[str]:
    said = [
        f"a measurement speaks against what is said of {rule.name.replace('-', ' ')}: {rule.contrary}"
        for rule in RULES
        if rule.contrary is not None and rule.when(situation)
    ]
    if situation.target in ("mobile", "edgetpu", "cpu"):
        return said  # there MACs say little of time, and not every network runs at all
    known = {candidate.name: candidate for candidate in affordable}
    first = known[chosen[0].name]
    better = [
        c
        for c in affordable
        if c.top1 >= first.top1 + _CLEARLY
        and c.scored_macs <= first.scored_macs
        and c.params <= first.params
        and c.extra_data is None
    ]
    if better:
        best = max(better, key=lambda c: c.top1)
        macs = f"{best.scored_macs / 1e9:.3g} against {first.scored_macs / 1e9:.3g} billion MACs"
        said.insert(
            0,
            f"published figures speak for {best.label} instead of {first.label}: {best.top1:.1f} % against"
            f" {first.top1:.1f} % on ImageNet, with {macs}"
            f" and {best.params / 1e6:.3g} against {first.params / 1e6:.3g} million parameters",
        )
    return said


def _require_measures(situation: Situation, latency: Latency | None, train_hours: TrainHours | None) -> None:
    for limit, way in (("max_latency_ms", latency), ("max_train_hours", train_hours)):
        if getattr(situation, limit) is not None and way is None:
            what = f"{limit} without a way to measure it"
            fix = "pass latency= or train_hours=, such as those of effnet.experiments.device_facts"
            raise InputError(what, where=limit, fix=fix)


def _impossible(left_out: Sequence[LeftOut]) -> BudgetError:
    nearest = left_out[0]
    return BudgetError(
        f"no network suits: the first by the rules, {nearest.name}, does not because {nearest.why}",
        fix="raise the limits, or `effnet scale --max-...` for a smaller network on the curve",
    )

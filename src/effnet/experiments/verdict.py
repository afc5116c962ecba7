"""What a trial of networks allows to say: which is better, how surely, and where the rules were wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from effnet.experiments.halving import paired_p
from effnet.experiments.network_choice import Tried
from effnet.guide.advice import export_command, train_command
from effnet.guide.candidates import Candidate, candidates
from effnet.guide.rules import RULES
from effnet.inference.metrics import Share
from effnet.search.pareto import front

SURE = 0.05
"""Chance of a difference as large between equals below which it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """A network of the last round.

    Attributes:
        top1: percent of the validation images, with its 95 % interval.
        latency_ms, images_per_s, peak_bytes: measured here.
        seconds: that its last training took.
        on_front: whether no other finalist is as cheap and better: by time, or by MACs where times overlap.
    """

    name: str
    label: str
    top1: Share
    latency_ms: float | None
    images_per_s: float | None
    peak_bytes: int | None
    memory_bytes: int
    params: int
    macs: int
    epochs: int
    seconds: float
    model: str
    on_front: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer.

    Attributes:
        better: name of the network with the highest accuracy; of equals, the cheaper.
        sure: whether chance alone is an unlikely reason for it.
        take: which to take for the goal: the better one, or a cheaper one that cannot be told from it.
        sentences: all of it in words.
        disagreements: where measurement and the rules differ.
        train, export: commands for the one to take.
    """

    better: str
    sure: bool
    take: str
    finalists: tuple[Finalist, ...]
    sentences: tuple[str, ...]
    disagreements: tuple[str, ...]
    train: str
    export: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return dataclasses.asdict(self)


def judge(tried: Tried) -> Verdict:
    """Return what the trial allows to say."""
    finalists = _finalists(tried)
    timed = _told_apart(tried, [f.name for f in finalists])
    cost = {f.name: f.latency_ms if timed and f.latency_ms is not None else f.macs / 1e6 for f in finalists}
    ranked = sorted(finalists, key=lambda f: (-f.top1.percent, cost[f.name]))
    best = ranked[0]
    chances = {f.name: _chance(tried, best.name, f.name) for f in ranked[1:]}
    sure = all(chance < SURE for chance in chances.values())
    equals = [best, *(f for f in ranked[1:] if chances[f.name] >= SURE)]
    goal = tried.plan.situation.goal
    take = best if goal == "best" else min(equals, key=lambda f: cost[f.name])
    sentences = [_compared(tried, best, other, chances[other.name]) for other in ranked[1:]]
    if not ranked[1:]:
        sentences = [f"{best.label} alone finished the last round, at {_percent(best)}."]
    if take is not best:
        sentences.append(
            f"For the goal {goal} take {take.label}: on these images it cannot be told from {best.label}, and takes"
            f" {100 * cost[take.name] / cost[best.name]:.0f} % of its {'time' if timed else 'MACs'} for an image."
        )
    candidate = next(c for c in candidates() if c.name == take.name)
    return Verdict(
        better=best.name,
        sure=sure,
        take=take.name,
        finalists=tuple(ranked),
        sentences=tuple(sentences),
        disagreements=tuple(_disagreements(tried, best.name, sure)),
        train=train_command(tried.plan.situation, candidate, tried.plan.data),
        export=export_command(tried.plan.situation),
    )


def _finalists(tried: Tried) -> list[Finalist]:
    last = {t.name: t for t in tried.trials if t.rung == tried.rungs[-1].number}
    known = {candidate.name: candidate for candidate in candidates()}
    rows = []
    for name, correct in tried.correct.items():
        measured, trial, candidate = tried.measured.get(name), last[name], known[name]
        rows.append(
            Finalist(
                name=name,
                label=candidate.label,
                top1=Share.of(int(correct.sum()), len(correct)),
                latency_ms=measured.latency_ms if measured else None,
                images_per_s=measured.images_per_s if measured else None,
                peak_bytes=measured.peak_bytes if measured else None,
                memory_bytes=candidate.memory_bytes,
                params=candidate.params,
                macs=candidate.macs,
                epochs=trial.epochs,
                seconds=trial.seconds,
                model=str(trial.model),
                on_front=False,
            )
        )
    timed = _told_apart(tried, [row.name for row in rows])
    points = [(row.latency_ms if timed and row.latency_ms else float(row.macs), row.top1.percent) for row in rows]
    best = set(front(points))
    return [_marked(row, place in best) for place, row in enumerate(rows)]


def _told_apart(tried: Tried, names: Sequence[str]) -> bool:
    """Whether latencies were measured, and their ranges (10th to 90th percentile) do not overlap.

    On a busy machine they do, and the medians may then stand in any order; MACs decide instead.
    """
    ranges = sorted((m.low_ms, m.high_ms) for name in names if (m := tried.measured.get(name)) is not None)
    return len(ranges) == len(names) and all(a[1] < b[0] for a, b in pairwise(ranges))


def _marked(row: Finalist, on_front: bool) -> Finalist:
    return dataclasses.replace(row, on_front=on_front)


def _chance(tried: Tried, one: str, other: str) -> float:
    first, second = tried.correct[one], tried.correct[other]
    return paired_p(int((first & ~second).sum()), int((second & ~first).sum()))


def _compared(tried: Tried, best: Finalist, other: Finalist, chance: float) -> str:
    first, second = tried.correct[best.name], tried.correct[other.name]
    differing = int((first != second).sum())
    if best.top1.percent == other.top1.percent:
        return (
            f"{best.label} and {other.label} are equally good: {_percent(best)} on {tried.judged} images."
            f" {best.label} is the cheaper."
        )
    how = "more than chance" if chance < SURE else "within chance"
    slower = ""
    if not _told_apart(tried, [best.name, other.name]):
        slower = " Their times for an image cannot be told apart here, so MACs stand for them."
    elif best.latency_ms and other.latency_ms:
        slower = f" It takes {best.latency_ms / other.latency_ms:.2f} times as long for an image."
    return (
        f"{best.label} is the better model: {_percent(best)} against {_percent(other)} for {other.label} on"
        f" {tried.judged} images. They differ on {differing} of them (p = {chance:.2g}): {how}.{slower}"
    )


def _percent(finalist: Finalist) -> str:
    share = finalist.top1
    return f"{share.percent:.1f} % ({share.low:.1f} to {share.high:.1f})"


def _disagreements(tried: Tried, better: str, sure: bool) -> list[str]:
    """Say where the rules' order and the measured one differ, and which rules put it so."""
    known: Mapping[str, Candidate] = {candidate.name: candidate for candidate in candidates()}
    began = {trial.name for trial in tried.trials}
    first = next(name for name in tried.plan.names if name in began)
    if first == better:
        return []
    if first not in tried.correct:
        return [f"the rules put {known[first].label} first; it did not reach the last round"]
    if tried.correct[first].sum() == tried.correct[better].sum():
        return []
    situation = tried.plan.situation
    blamed = [
        f"{rule.name} ({_lead(rule.give(situation, known[first]) - rule.give(situation, known[better]))})"
        for rule in RULES
        if rule.give(situation, known[first]) > rule.give(situation, known[better])
    ]
    doubt = "" if sure else ", though within chance"
    by = f" by {', '.join(blamed)}" if blamed else ", as equals in points and cheaper,"
    return [
        f"the rules put {known[first].label} before {known[better].label}{by}; measured here {known[better].label} is"
        f" better{doubt}"
    ]


def _lead(points: float) -> str:
    return f"+{points:.1f} points"


def lost(tried: Tried) -> Sequence[str]:
    """Return, in words, which candidates left in which round, and why."""
    why: dict[str, list[str]] = {}
    for entry in tried.left_out:
        why.setdefault(entry.why, []).append(entry.name)
    said = [f"not tried, as {reason}: {', '.join(names)}" for reason, names in why.items()]
    last = tried.rungs[-1].number
    for trial in tried.trials:
        if trial.problem is not None:
            said.append(f"{trial.name}: given up in round {trial.rung}, {trial.problem}")
        elif trial.rung < last and trial.name not in tried.rungs[trial.rung].names:
            said.append(f"{trial.name}: {trial.top1:.1f} % after {trial.epochs} epochs, not among the better half")
    return said

"""What a search leaves in its folder: the winner as a spec file, every figure as JSON, and the page."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import Any

from effnet.errors import MissingDependencyError
from effnet.experiments import judges
from effnet.experiments.architecture_search import Candidate, Finalist, SearchResult
from effnet.experiments.experiment_folder import ExperimentFolder
from effnet.report.anatomy import anatomy
from effnet.report.search_study import JudgedRow, SearchReport, conclusions, render

_UNITS = {"macs": "MACs (millions)", "params": "parameters (millions)", "memory": "memory (MB)"}
_MILLIONS = ("macs", "params", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The outcome as data and as text."""

    data: dict[str, Any]
    text: str


def write_files(folder: ExperimentFolder, result: SearchResult) -> None:
    """Write winner.json, results.json, latency.json where latency counts, and report.html where it can be drawn.

    Raises:
        StorageError: the folder cannot be written.
    """
    winner = result.winner.candidate.spec
    folder.write_text("winner.json", winner.to_json() + "\n")
    if result.table is not None:
        folder.write_text("latency.json", result.table.to_json() + "\n")
    folder.write("results.json", _results(result))
    try:
        folder.write_text("report.html", render(report_of(folder, result)))
    except MissingDependencyError:
        return  # the figures are in results.json; `summary` says that there is no page


def summary(folder: ExperimentFolder, result: SearchResult) -> Summary:
    """Return what the command prints."""
    report = report_of(folder, result)
    seeds = result.winner.accuracies
    page = str(folder.report) if folder.report.exists() else None
    data = {
        "run": str(folder.path),
        "winner": str(folder.path / "winner.json"),
        "top1": statistics.mean(seeds),
        "seeds": list(seeds),
        "costs": dict(result.winner.candidate.costs),
        "latency_ms": result.winner.latency_ms,
        "conclusions": conclusions(report),
        "correlations": {name: judges.summary(value) for name, value in result.correlations.items()},
        "spent_seconds": dict(result.spent),
        "report": page,
    }
    lines = [f"winner   {folder.path / 'winner.json'}  top-1 {statistics.mean(seeds):.2f} %"]
    lines += [f"         {sentence}" for sentence in conclusions(report)]
    lines.append(f"report   {page}" if page else "report   none: pip install 'effnet[search]' draws one")
    return Summary(data=data, text="\n".join([*lines, "", report.commands]))


def report_of(folder: ExperimentFolder, result: SearchResult) -> SearchReport:
    """Return the page's content."""
    plan = result.plan
    kind = plan.objective.cost
    unit = 1e6 if kind in _MILLIONS else 1.0
    winner = result.winner
    file = folder.path / "winner.json"
    return SearchReport(
        data=plan.data,
        base=plan.space.base.name,
        cost=_UNITS.get(kind, f"{kind} (ms)"),
        target=plan.objective.target / unit,
        searcher=plan.searcher,
        evaluator=plan.evaluator,
        tried=[_row(candidate, kind, unit) for candidate in result.tried],
        control=[_row(candidate, kind, unit) for candidate in result.control],
        winner=winner.candidate.spec.name,
        winner_seeds=winner.accuracies,
        winner_cost=winner.candidate.costs[kind] / unit,
        winner_measured=winner.latency_ms if kind == "latency" else None,
        correlations={n: (c.tau, c.low, c.high, c.count) for n, c in result.correlations.items()},
        spent=result.spent,
        networks=(anatomy(plan.space.base), anatomy(winner.candidate.spec)),
        commands=f"effnet train DATA --spec {file}\neffnet scale --spec {file} --phi 0..3",
    )


def _row(candidate: Candidate, kind: str, unit: float) -> JudgedRow:
    judged = candidate.state == "complete" and candidate.accuracy
    return JudgedRow(
        name=candidate.spec.name,
        cost=candidate.costs.get(kind, 0.0) / unit,
        accuracy=candidate.accuracy if judged else None,
        reward=candidate.reward,
    )


def _results(result: SearchResult) -> dict[str, Any]:
    def candidate(each: Candidate) -> dict[str, Any]:
        return {
            "index": each.index,
            "state": each.state,
            "accuracy": each.accuracy,
            "reward": each.reward,
            "costs": dict(each.costs),
            "seconds": each.seconds,
            "scores": dict(each.scores),
            "choices": dict(each.choices),
            "spec": json.loads(each.spec.to_json()),
        }

    def finalist(each: Finalist) -> dict[str, Any]:
        return {
            "candidate": each.candidate.index,
            "accuracies": list(each.accuracies),
            "latency_ms": each.latency_ms,
            "reward": each.reward,
        }

    return {
        "plan": result.plan.to_dict(),
        "winner": finalist(result.winner),
        "finalists": [finalist(each) for each in result.finalists],
        "tried": [candidate(each) for each in result.tried],
        "control": [candidate(each) for each in result.control],
        "correlations": {name: judges.summary(value) for name, value in result.correlations.items()},
        "spent_seconds": dict(result.spent),
    }

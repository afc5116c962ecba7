"""What a trial leaves in its folder: `results.json` and `report.html`, and the lines for the terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from effnet.comparison.subject import short_label
from effnet.experiments.experiment_folder import ExperimentFolder
from effnet.experiments.network_choice import Tried
from effnet.experiments.verdict import Verdict, lost
from effnet.families.catalog import find
from effnet.report.trial import RoundRow, TrialReport, TrialRow, render


def write_trial(folder: ExperimentFolder, tried: Tried, verdict: Verdict) -> dict[str, Any]:
    """Write the figures and the page; return the figures."""
    data = _data(folder, tried, verdict)
    folder.write("results.json", data)
    folder.write_text("report.html", render(_report(tried, verdict)))
    return data


def trial_text(folder: ExperimentFolder, tried: Tried, verdict: Verdict) -> str:
    """Return the answer in lines."""
    take = next(f for f in verdict.finalists if f.name == verdict.take)
    lines = [*verdict.sentences, *verdict.disagreements, *lost(tried), ""]
    lines += [
        f"better   {verdict.better}",
        f"take     {verdict.take}",
        f"model    {take.model}",
        f"train    {verdict.train}",
        f"export   {verdict.export}",
        f"report   {folder.report}",
    ]
    return "\n".join(lines)


def _data(folder: ExperimentFolder, tried: Tried, verdict: Verdict) -> dict[str, Any]:
    return {
        "data": tried.plan.data,
        "better": verdict.better,
        "sure": verdict.sure,
        "take": verdict.take,
        "sentences": list(verdict.sentences),
        "disagreements": list(verdict.disagreements),
        "finalists": [asdict(finalist) for finalist in verdict.finalists],
        "trials": [{**asdict(trial), "model": str(trial.model)} for trial in tried.trials],
        "left_out": [asdict(entry) for entry in tried.left_out],
        "measured": {name: asdict(measured) for name, measured in tried.measured.items()},
        "images": tried.images,
        "judged": tried.judged,
        "seconds": round(tried.seconds, 1),
        "train": verdict.train,
        "export": verdict.export,
        "report": str(folder.report),
    }


def _report(tried: Tried, verdict: Verdict) -> TrialReport:
    device = next((m.device for m in tried.measured.values()), "unknown")
    return TrialReport(
        data=tried.plan.data,
        goal=tried.plan.situation.goal,
        better=short_label(verdict.better),
        take=short_label(verdict.take),
        images=tried.images,
        judged=tried.judged,
        minutes=tried.seconds / 60,
        device=device,
        rows=[
            TrialRow(
                top1=f.top1.percent,
                low=f.top1.low,
                high=f.top1.high,
                **{name: getattr(f, name) for name in _SHARED},
            )
            for f in verdict.finalists
        ],
        rounds=[
            RoundRow(
                round=t.rung,
                label=short_label(find(t.name).name),
                epochs=t.epochs,
                top1=t.top1,
                latency_ms=tried.measured[t.name].latency_ms if t.name in tried.measured else None,
                seconds=t.seconds,
                problem=t.problem,
            )
            for t in tried.trials
        ],
        sentences=verdict.sentences,
        disagreements=verdict.disagreements,
        lost=lost(tried),
        commands=(verdict.train, verdict.export),
    )


_SHARED = (
    "label",
    "latency_ms",
    "images_per_s",
    "memory_bytes",
    "peak_bytes",
    "params",
    "macs",
    "epochs",
    "seconds",
    "on_front",
)

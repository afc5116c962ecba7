"""The page of a trial: which network is better on a person's images, what each takes, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from effnet.quantities import billions, millions, size_text
from effnet.report.charts import Curve, Point, accuracy_chart
from effnet.report.html import note, page, section, table


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """A network of the last round.

    Attributes:
        top1, low, high: percent, and its 95 % interval.
        memory_bytes: by closed form; `peak_bytes` as measured.
        seconds: of its last training.
    """

    label: str
    top1: float
    low: float
    high: float
    latency_ms: float | None
    images_per_s: float | None
    memory_bytes: int
    peak_bytes: int | None
    params: int
    macs: int
    epochs: int
    seconds: float
    on_front: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRow:
    """One training of any round."""

    round: int
    label: str
    epochs: int
    top1: float | None
    latency_ms: float | None
    seconds: float
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialReport:
    """Everything that the page shows.

    Attributes:
        sentences: the verdict; `disagreements` what it says of the rules; `lost` who left, and why.
        commands: to train and export the one to take.
    """

    data: str
    goal: str
    better: str
    take: str
    images: int
    judged: int
    minutes: float
    device: str
    rows: Sequence[TrialRow]
    rounds: Sequence[RoundRow]
    sentences: Sequence[str]
    disagreements: Sequence[str]
    lost: Sequence[str]
    commands: Sequence[str]


def render(report: TrialReport) -> str:
    """Return the page, self-contained."""
    facts = [
        ["better", report.better],
        ["to take", f"{report.take}, for the goal {report.goal}"],
        ["learnt from, judged by", f"{report.images} and {report.judged} images"],
        ["spent", f"{report.minutes:.1f} minutes"],
        ["measured on", report.device],
    ]
    parts = [
        section("In short", table(["", ""], facts, text=(1,)), *(note(sentence) for sentence in report.sentences)),
        section("Where measurement and the rules differ", *(note(said) for said in _differing(report))),
        section("What each takes", _finalists(report.rows)),
    ]
    drawn = _charts(report)
    if drawn:
        parts.append(section("Charts", *drawn))
    parts += [
        section("Every training", _rounds(report.rounds), *(note(said) for said in report.lost)),
        section(
            "Commands", *(f"<div class='scroll'><pre>{_escaped(command)}</pre></div>" for command in report.commands)
        ),
    ]
    return page("Networks tried", parts, subtitle=f"on {report.data}")


def _differing(report: TrialReport) -> Sequence[str]:
    return report.disagreements or ["Nowhere: the network that the rules put first of those tried is the better one."]


def _charts(report: TrialReport) -> list[str]:
    """Return charts of the finalists over each cost, and of everyone in the first round over latency."""
    finals: list[tuple[str, str, Sequence[float | None]]] = [
        ("Accuracy against latency", "milliseconds for one image, measured here", [r.latency_ms for r in report.rows]),
        ("Accuracy against memory", "memory of predicting one image (millions of bytes)", list(map(_mb, report.rows))),
        ("Accuracy against the cost of training", "seconds of the last training", [r.seconds for r in report.rows]),
    ]
    drawn = []
    for title, x_label, costs in finals:
        points = [
            Point(label=row.label, x=x, top1=row.top1, low=row.low, high=row.high)
            for row, x in zip(report.rows, costs, strict=True)
            if x is not None and x > 0
        ]
        drawn += _chart(points, f"Finalists: {title.lower()}", x_label, _INTERVALS)
    first = [row for row in report.rounds if row.round == 1 and row.top1 is not None and row.latency_ms is not None]
    begun = [Point(label=r.label, x=r.latency_ms or 0.0, top1=r.top1 or 0.0) for r in first]
    epochs = {row.epochs for row in first}
    title = f"Everyone after {' or '.join(map(str, sorted(epochs)))} epochs: accuracy against latency"
    return drawn + _chart(begun, title, "milliseconds for one image, measured here", "The first round ranks, no more.")


_INTERVALS = "Bars are 95 % intervals (Wilson); with few images they are wide."


def _chart(points: Sequence[Point], title: str, x_label: str, note_: str) -> list[str]:
    if len(points) < 2:
        return []
    curves = [Curve(family=point.label, points=[point]) for point in points]
    y_label = "top-1 on the validation images (%)"
    best = _front([(point.x, point.top1) for point in points])
    return [accuracy_chart(curves, x_label=x_label, title=title, y_label=y_label, front=best, notes=[note_]).decode()]


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    from effnet.search.pareto import front

    return [points[place] for place in front(points)]


def _mb(row: TrialRow) -> float:
    return (row.peak_bytes or row.memory_bytes) / 1e6


def _finalists(rows: Sequence[TrialRow]) -> str:
    headers = [
        "network",
        "top-1 %",
        "95 %",
        "ms/image",
        "images/s",
        "memory",
        "params",
        "MACs",
        "epochs",
        "seconds",
    ]
    cells = [
        [
            f"{row.label} *" if row.on_front else row.label,
            f"{row.top1:.1f}",
            f"{row.low:.1f} to {row.high:.1f}",
            "-" if row.latency_ms is None else f"{row.latency_ms:.1f}",
            "-" if row.images_per_s is None else f"{row.images_per_s:.1f}",
            size_text(row.peak_bytes or row.memory_bytes),
            millions(row.params),
            billions(row.macs),
            str(row.epochs),
            f"{row.seconds:.0f}",
        ]
        for row in rows
    ]
    return table(headers, cells) + note(
        "* on the Pareto front of accuracy against latency, or against MACs where the times cannot be told apart"
    )


def _rounds(rows: Sequence[RoundRow]) -> str:
    cells = [
        [str(r.round), r.label, str(r.epochs), "given up" if r.top1 is None else f"{r.top1:.1f}", f"{r.seconds:.0f}"]
        for r in rows
    ]
    return table(["round", "network", "epochs", "top-1 %, last epoch", "seconds"], cells, text=(1,))


def _escaped(text: str) -> str:
    import html

    return html.escape(text)

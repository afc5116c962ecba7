"""A comparison as text, as charts and as one page; and the papers' figures as charts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from effnet.comparison.compare import AXES, Axis, Comparison, cost_on
from effnet.comparison.figures import Figure
from effnet.comparison.paper_tables import NOTES, V1Row, V2Row
from effnet.comparison.subject import Subject
from effnet.quantities import billions, millions, size_text
from effnet.report.charts import Curve, Kind, Point, accuracy_chart
from effnet.report.html import note, page, section, table
from effnet.report.tables import text_table

_UNITS: dict[Axis, tuple[str, float]] = {
    "params": ("parameters (millions)", 1e6),
    "macs": ("multiply-accumulates for one image (billions)", 1e9),
    "latency": ("milliseconds for one image, measured here", 1.0),
}
_NAMES: dict[Axis, str] = {"params": "parameters", "macs": "multiply-accumulates", "latency": "latency"}

_LATER_RECIPE = "IMAGENET1K_V2"
"""torchvision's recipe of 2021, which lifts a ResNet by up to five points: networks with it are a line of their own."""


def text(comparison: Comparison, width: int | None = None) -> str:
    """Return the networks as an aligned table of at most `width` columns, and what to know before comparing."""
    headers, rows = _cells(comparison)
    spare = ("activations", "file", "10-90 %", "recipe")
    lines = [text_table(headers, rows, left=2, width=width, spare=spare)]
    for axis in _axes(comparison):
        names = ", ".join(comparison.front(axis))
        if names:
            lines.append(f"most accurate for its {_NAMES[axis]} (Pareto front): {names}")
    return "\n\n".join(["\n".join(lines[:1]), "\n".join([*lines[1:], *remarks(comparison)])]).rstrip()


def remarks(comparison: Comparison) -> list[str]:
    """Return what to know before comparing, in sentences."""
    said = []
    extra = [subject for subject in comparison.subjects if subject.extra_data]
    if extra:
        named = ", ".join(f"{s.label} ({s.extra_data})" for s in extra)
        said.append(f"trained with more images than ImageNet-1k, so not on the fronts: {named}")
    recipes = {s.recipe for s in comparison.subjects if s.top1 is not None and s.kind == "published"}
    if len(recipes) > 1:
        said.append("published accuracies come from different recipes; a recipe alone can move one by 1 to 5 points")
    own = [s.label for s in comparison.subjects if s.kind in ("model", "bundle") and s.top1 is not None]
    if own:
        said.append(f"not on ImageNet, but on the images they were judged by: {', '.join(own)}")
    reckoned = any(s.file_bytes and not s.file_exact for s in comparison.subjects)
    if reckoned:
        said.append("sizes with ~ are reckoned: 4 bytes a parameter and running statistic")
    measured = next((s.measured for s in comparison.subjects if s.measured), None)
    if measured is not None:
        said.append(f"measured in turns, round by round, on {measured.device}")
    said += [f"{s.label}: {s.note}" for s in comparison.subjects if s.note]
    return said


def chart(comparison: Comparison, axis: Axis, *, kind: Kind = "svg") -> bytes:
    """Return accuracy against a cost: families as lines, the Pareto front marked.

    Raises:
        InputError: no network has both.
        MissingDependencyError: PNG is asked for, and matplotlib is not installed.
    """
    x_label, unit = _UNITS[axis]
    shown = [s for s in comparison.subjects if s.top1 is not None and cost_on(s, axis) is not None]
    front = set(comparison.front(axis))
    ends = [((cost_on(s, axis) or 0) / unit, s.top1 or 0.0) for s in shown if s.name in front]
    notes = [] if axis != "latency" else [remark for remark in remarks(comparison) if remark.startswith("measured")]
    sources = dict.fromkeys(s.source for s in shown if s.source)
    notes.append(f"Accuracies: {'; '.join(sources)}.")
    if any(s.extra_data for s in shown):
        notes.append("Hollow points were trained with more images than ImageNet-1k and are not on the front.")
    ours = any(s.kind in ("model", "bundle") for s in shown)
    return accuracy_chart(
        _curves(shown, axis, unit),
        x_label=x_label,
        title=f"Accuracy against {_NAMES[axis]}",
        y_label="top-1 (%), each on its own images" if ours else "ImageNet top-1 (%)",
        front=ends if len(ends) > 1 else (),
        notes=notes,
        kind=kind,
    )


def figure_chart(figure: Figure, *, kind: Kind = "svg") -> bytes:
    """Return a paper's figure, redrawn.

    Raises:
        MissingDependencyError: PNG is asked for, and matplotlib is not installed.
    """
    curves = [
        Curve(
            family=series.name,
            points=[
                Point(label=p.label, x=p.x, top1=p.top1, hollow=p.extra_data is not None, remark=p.source)
                for p in series.points
            ],
            thick=number == 0,
        )
        for number, series in enumerate(figure.series)
    ]
    x_label = f"{figure.x_title} ({figure.x_unit})"
    return accuracy_chart(curves, x_label=x_label, title=figure.title, notes=figure.notes, kind=kind)


def figure_text(figure: Figure) -> str:
    """Return a paper's figure as a table."""
    rows = [
        (point.label, series.name, f"{point.x:.4g}", f"{point.top1:.1f}")
        for series in figure.series
        for point in series.points
    ]
    headers = ("network", "family", f"{figure.x_title} ({figure.x_unit})", "top-1 (%)")
    return "\n\n".join([figure.title, text_table(headers, rows, left=2), "\n".join(figure.notes)])


def figure_page(figure: Figure) -> str:
    """Return a paper's figure with its numbers as one page."""
    rows = [
        [point.label, series.name, f"{point.x:.4g}", f"{point.top1:.1f}", point.source]
        for series in figure.series
        for point in series.points
    ]
    headers = ["network", "family", f"{figure.x_title} ({figure.x_unit})", "top-1 (%)", "source"]
    numbers = table(headers, rows, text=(1, 4))
    return page(figure.title, [section("Chart", figure_chart(figure).decode()), section("Numbers", numbers)])


def tables_text(first: Sequence[V1Row], second: Sequence[V2Row]) -> str:
    """Return the papers' two tables, the default weights' top-1 beside the printed one."""
    headers = ("", "phi", "px", "parameters", "paper top-1", "here top-1 @ px", "curve at phi")
    rows = [
        (
            row.label,
            str(row.phi),
            str(row.resolution),
            millions(row.params),
            f"{row.paper_top1:.1f}",
            f"{row.top1:.1f} @ {row.top1_resolution}",
            f"{row.curve_resolution} px {millions(row.curve_params):>7}",
        )
        for row in first
    ]
    later = [
        (
            row.label,
            str(row.resolution),
            millions(row.params),
            f"{row.paper_top1:.1f}",
            f"{row.top1:.1f} @ {row.top1_resolution}",
            f"{row.days:.2f}",
            f"{row.sooner:.1f}x",
        )
        for row in second
    ]
    later_headers = ("", "px", "parameters", "paper top-1", "here top-1 @ px", "days", "B7's days / these")
    tables = (
        ("EfficientNet (V1 Table 2)", text_table(headers, rows)),
        ("EfficientNetV2 (V2 Table 7)", text_table(later_headers, later)),
    )
    notes = "\n".join(textwrap.fill(line, 78, subsequent_indent="  ") for line in NOTES)
    return "\n\n".join([*(f"{title}\n\n{body}" for title, body in tables), notes])


def page_of(comparison: Comparison) -> str:
    """Return charts, table and remarks as one self-contained page."""
    drawn = [
        chart(comparison, axis).decode()
        for axis in _axes(comparison)
        if any(s.top1 is not None and cost_on(s, axis) is not None for s in comparison.subjects)
    ]
    parts = [section("Charts", *drawn)] if drawn else []
    headers, rows = _cells(comparison)
    parts.append(section("Networks", table(headers, rows, text=(1,))))
    parts.append(section("Before you compare", *(note(remark) for remark in remarks(comparison))))
    published = [
        [s.label, f"{s.top1:.2f}", "" if s.resolution is None else str(s.resolution), s.recipe or "", s.source or ""]
        for s in comparison.subjects
        if s.top1 is not None
    ]
    if published:
        cited = table(["network", "top-1 (%)", "px", "recipe", "source"], published, text=(3, 4))
        parts.append(section("Where the accuracies are from", cited))
    return page("Networks compared", parts, subtitle=", ".join(s.label for s in comparison.subjects))


def _axes(comparison: Comparison) -> list[Axis]:
    return [axis for axis in AXES if any(cost_on(s, axis) is not None for s in comparison.subjects)]


def _curves(subjects: Sequence[Subject], axis: Axis, unit: float) -> list[Curve]:
    grouped: dict[str, list[Subject]] = {}
    for subject in subjects:
        grouped.setdefault(_line(subject, subjects), []).append(subject)
    return [
        Curve(
            family=name,
            points=[
                Point(
                    label=s.label,
                    x=(cost_on(s, axis) or 0.0) / unit,
                    top1=s.top1 or 0.0,
                    hollow=s.extra_data is not None,
                    remark=f"{s.recipe or 'recipe not stated'}; {s.source}",
                )
                for s in members
            ],
        )
        for name, members in grouped.items()
    ]


def _line(subject: Subject, subjects: Sequence[Subject]) -> str:
    """Return the line a network is on: its family, apart where data or recipe make another of it."""
    if subject.extra_data:
        return f"{subject.series}, {subject.extra_data} too"
    alike = [s for s in subjects if s.series == subject.series and s.recipe == _LATER_RECIPE]
    if subject.recipe == _LATER_RECIPE and len(alike) > 1:
        return f"{subject.series}, torchvision's 2021 recipe"
    return subject.series


def _cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    subjects = comparison.subjects
    headers = ["network", "recipe", "params", "MACs", "activations", "px", "file", "top-1 (%)"]
    measured = any(s.measured for s in subjects)
    if measured:
        batch = next(s.measured.batch for s in subjects if s.measured)
        headers += ["ms/image", "10-90 %", f"images/s (batch {batch})", "peak memory"]
    rows = [_row(subject, measured) for subject in subjects]
    return headers, rows


def _row(subject: Subject, measured: bool) -> list[str]:
    about = "" if subject.file_exact else "~"
    cells = [
        subject.name,
        (subject.recipe or "-") + (f" + {subject.extra_data}" if subject.extra_data else ""),
        millions(subject.params),
        "-" if subject.macs is None else billions(subject.macs),
        "-" if subject.activations is None else millions(subject.activations),
        "-" if subject.resolution is None else str(subject.resolution),
        "-" if subject.file_bytes is None else about + size_text(subject.file_bytes),
        "-" if subject.top1 is None else f"{subject.top1:.1f}",
    ]
    if measured:
        m = subject.measured
        if m is None:
            return [*cells, "-", "-", "-", "-"]
        peak = "-" if m.peak_bytes is None else size_text(m.peak_bytes)
        cells += [f"{m.latency_ms:.1f}", f"{m.low_ms:.1f}-{m.high_ms:.1f}", f"{m.images_per_s:.1f}", peak]
    return cells

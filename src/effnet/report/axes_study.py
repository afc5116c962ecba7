"""The page of an axes study: depth, width, resolution and compound at equal MACs (V1 Figures 3, 7 and 8)."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from effnet.report.experiment_charts import AxisPoint, axes_chart
from effnet.report.html import data_uri, note, page, picture, section, table


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisRow:
    """One network: its coefficients and what its trainings gave."""

    point: AxisPoint
    depth: float
    width: float
    resolution: float
    side: int
    params: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRow:
    """One image: JPEG bytes of it and of each network's map, with the network's name and its answer."""

    truth: str
    image: bytes
    maps: Sequence[tuple[str, bytes, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AxesReport:
    """Everything that the page shows; the first row is the base, `mismatch` the worst share by which MACs differ."""

    data: str
    base: str
    rows: Sequence[AxisRow]
    maps: Sequence[MapRow]
    mismatch: float
    tolerance: float
    epochs: int
    seeds: int
    seconds: float


def render(report: AxesReport) -> str:
    """Return the page, self-contained.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    base, *rest = report.rows
    chart = axes_chart(base.point, [row.point for row in rest])
    parts = [
        section(
            "Accuracy at equal MACs",
            picture(chart, "image/svg+xml", "accuracy against MACs, a line for each axis"),
            note(
                f"Bars are 95 % confidence intervals of the mean over {report.seeds} seeds, small dots the seeds."
                f" Networks that are compared differ by at most {100 * report.mismatch:.1f} % in MACs"
                f" (allowed: {100 * report.tolerance:.0f} %); they are drawn a little apart."
            ),
        ),
        section("Every network", _table(report)),
        section("What this can say", note(verdict(report)), *map(note, _same_networks(report))),
    ]
    if report.maps:
        text = "Class activation maps of the largest four, first seed: bright is what speaks for the answer below it."
        parts.append(section("Where they look", _maps(report.maps), note(text)))
    return page("Depth, width, resolution or all three", parts, subtitle=f"{report.base} on {report.data}")


def verdict(report: AxesReport) -> str:
    """Return, in words, what the intervals allow to say of compound scaling against the best single axis."""
    most = max(row.point.macs for row in report.rows if row.point.axis == "compound")
    group = [row for row in report.rows if abs(row.point.macs / most - 1) <= report.tolerance * 1.5]
    compound = next(row for row in group if row.point.axis == "compound")
    rival = max((row for row in group if row.point.axis != "compound"), key=lambda row: row.point.mean)
    difference = compound.point.mean - rival.point.mean
    both = math.hypot(compound.point.half, rival.point.half)
    said = f"At {most / 1e6:.1f}M MACs compound scaling reaches {compound.point.mean:.2f} %, the best single axis"
    said += f" ({rival.point.axis}) {rival.point.mean:.2f} %: a difference of {difference:+.2f} points."
    if not math.isfinite(both):
        return f"{said} With one seed nothing is known of the spread."
    if abs(difference) > both:
        judged = "better" if difference > 0 else "worse"
        return f"{said} It is {judged} by more than the intervals of the two (+-{both:.2f}) allow for chance."
    return (
        f"{said} The intervals of the two (+-{both:.2f}) allow for that by chance: more seeds, images or epochs are"
        f" needed. {report.epochs} epochs favour networks that learn fast."
    )


def _same_networks(report: AxesReport) -> list[str]:
    alike: dict[tuple[float, int, int], list[AxisRow]] = {}
    for row in report.rows:
        alike.setdefault((row.point.macs, row.params, row.side), []).append(row)
    return [
        f"At {rows[0].point.macs / 1e6:.2f}M MACs {' and '.join(row.point.axis for row in rows)} are the same network:"
        " repeats and channels round to the same numbers. A larger base or multiple tells them apart."
        for rows in alike.values()
        if len(rows) > 1
    ]


def _table(report: AxesReport) -> str:
    rows = [
        [
            row.point.axis,
            f"{row.depth:.3g}",
            f"{row.width:.3g}",
            f"{row.resolution:.3g}",
            f"{row.side} px",
            f"{row.point.macs / 1e6:.2f}M",
            f"{row.params / 1e6:.2f}M",
            f"{row.point.mean:.2f}",
            f"{row.point.half:.2f}" if math.isfinite(row.point.half) else "",
            ", ".join(f"{value:.1f}" for value in row.point.accuracies),
        ]
        for row in report.rows
    ]
    return table(["scaled", "d", "w", "r", "size", "MACs", "params", "top-1 %", "+- 95 %", "seeds"], rows)


def _maps(rows: Sequence[MapRow]) -> str:
    names = [name for name, _, _ in rows[0].maps]
    cells = "".join(f"<th class='text'>{html.escape(name)}</th>" for name in ("image", *names))
    lines = [f"<tr>{cells}</tr>"]
    for row in rows:
        pictures = [(row.image, row.truth), *((picture_, answer) for _, picture_, answer in row.maps)]
        inner = "".join(
            f"<td class='text'><img src='{data_uri(data, 'image/jpeg')}' width='128' height='128' "
            f"style='image-rendering:auto' alt='{html.escape(text, quote=True)}'><br>{html.escape(text)}</td>"
            for data, text in pictures
        )
        lines.append(f"<tr>{inner}</tr>")
    return f"<div class='scroll'><table>{''.join(lines)}</table></div>"

"""Accuracy against a cost, one line a family with named points (V1 Figures 1 and 5): SVG without libraries, or PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from effnet.errors import InputError
from effnet.report.label_placement import Box, Label, place_labels
from effnet.report.scene import Dot, Line, Scene, Text, text_width, to_png, to_svg, wrapped

Kind = Literal["png", "svg"]

# Okabe-Ito first: distinguishable with every common colour vision; then Tol's muted ones, which differ from them.
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#882255", "#332288", "#999933",
    "#44aa99", "#aa4499", "#661100", "#117733",
)  # fmt: skip
_INK, _SOFT, _GRID, _FRONT = "#222222", "#666666", "#e3e6ea", "#b8860b"
_WIDTH, _PLOT_HEIGHT, _LEFT, _RIGHT = 960.0, 520.0, 66.0, 24.0
_TITLE, _SMALL, _NAME = 17.0, 12.0, 12.0
_DOT, _RING = 4.2, 7.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One network.

    Attributes:
        label: its name on the chart.
        x, top1: what it costs, and percent.
        hollow: whether it is not on equal terms with the others, such as trained with more data.
        low, high: ends of the 95 % interval of `top1`; None draws none.
        remark: what a pointer over it shows besides.
    """

    label: str
    x: float
    top1: float
    hollow: bool = False
    low: float | None = None
    high: float | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One family; `thick` marks the one that the chart is about."""

    family: str
    points: Sequence[Point]
    thick: bool = False


def accuracy_chart(
    curves: Sequence[Curve],
    *,
    x_label: str,
    title: str,
    y_label: str = "ImageNet top-1 (%)",
    front: Sequence[tuple[float, float]] = (),
    notes: Sequence[str] = (),
    kind: Kind = "svg",
) -> bytes:
    """Return top-1 accuracy against a cost on a log axis: families as lines, points named, names over nothing.

    Args:
        curves: families, in the order of the legend.
        x_label: what the cost is, and its unit.
        front: (cost, top-1) of the points on the Pareto front, which is drawn through them.
        notes: where the numbers are from, under the chart.

    Raises:
        InputError: there is nothing to draw, or a cost is not positive.
        MissingDependencyError: PNG is asked for, and matplotlib is not installed.
    """
    points = [point for curve in curves for point in curve.points]
    if not points:
        raise InputError("no network has both an accuracy and this cost", where=x_label, fix="choose another axis")
    if any(not (point.x > 0 and math.isfinite(point.x)) for point in points):
        raise InputError("a cost is not positive", where=x_label, fix="leave that network out")
    scene = Scene(width=_WIDTH, height=0.0, title=title)
    top = _heading(scene, title, curves, bool(front))
    plot = _Plot.around(points, Box(_LEFT, top, _WIDTH - _RIGHT, top + _PLOT_HEIGHT))
    _axes(scene, plot, x_label, y_label)
    _front(scene, plot, front)
    _curves(scene, plot, curves)
    missing = _names(scene, plot, curves, front)
    said = [*notes, f"No room for the names of {', '.join(missing)}."] if missing else list(notes)
    _footer(scene, plot, said)
    return to_svg(scene).encode() if kind == "svg" else to_png(scene)


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two positive ones: 1, 2, 5 times powers of ten, or others where those are few."""
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)):
        decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(found) >= 5:
            return found
    return found if len(found) >= 3 else linear_ticks(low, high) or [low]


def linear_ticks(low: float, high: float) -> list[float]:
    """Return 4 to 10 round numbers between two."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * share for share in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (power * share) <= 10)
    first = math.ceil(low / step - 1e-9)
    return [first * step + step * i for i in range(math.floor(high / step + 1e-9) - first + 1)]


def colour(number: int) -> str:
    """Return the colour of the curve with that number."""
    return _COLOURS[number % len(_COLOURS)]


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where the axes are, in pixels and in units."""

    box: Box
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    @classmethod
    def around(cls, points: Sequence[Point], box: Box) -> _Plot:
        logs = [math.log10(point.x) for point in points]
        spread = max(max(logs) - min(logs), 0.3)
        ys = [y for point in points for y in (point.low, point.top1, point.high) if y is not None]
        tall = max(max(ys) - min(ys), 1.0)
        return cls(
            box,
            10 ** (min(logs) - 0.07 * spread),
            10 ** (max(logs) + 0.09 * spread),
            max(min(ys) - 0.07 * tall, min(0.0, min(ys))),
            min(max(ys) + 0.08 * tall, max(100.5, max(ys))),  # no accuracy is above 100 %
        )

    def x(self, value: float) -> float:
        share = math.log(value / self.x_low) / math.log(self.x_high / self.x_low)
        return self.box.left + share * (self.box.right - self.box.left)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return self.box.bottom - share * (self.box.bottom - self.box.top)


def _heading(scene: Scene, title: str, curves: Sequence[Curve], has_front: bool) -> float:
    """Write the title and the legend; return where the plot begins."""
    y = 30.0
    for line in wrapped(title, _TITLE * 1.1, _WIDTH - _LEFT - _RIGHT):
        scene.shapes.append(Text(x=_LEFT, y=y, text=line, size=_TITLE, bold=True))
        y += 22
    entries = [
        (curve.family, colour(number), all(point.hollow for point in curve.points))
        for number, curve in enumerate(curves)
    ]
    if has_front:
        entries.append(("Pareto front", _FRONT, True))
    x, y = _LEFT, y + 2
    for name, ink, hollow in entries:
        wide = 30 + text_width(name, _SMALL) + 18
        if x + wide > _WIDTH - _RIGHT and x > _LEFT:
            x, y = _LEFT, y + 19
        dash = (5.0, 3.0) if ink == _FRONT else None
        scene.shapes.append(Line(points=((x, y - 4), (x + 22, y - 4)), colour=ink, width=2.0, dash=dash))
        if ink != _FRONT:
            fill = "#ffffff" if hollow else ink
            scene.shapes.append(Dot(x=x + 11, y=y - 4, radius=_DOT - 0.6, fill=fill, rim=ink, rim_width=1.6))
        scene.shapes.append(Text(x=x + 28, y=y, text=name, size=_SMALL, colour=_INK))
        x += wide
    return y + 16


def _axes(scene: Scene, plot: _Plot, x_label: str, y_label: str) -> None:
    box = plot.box
    for value in log_ticks(plot.x_low, plot.x_high):
        x = plot.x(value)
        scene.shapes.append(Line(points=((x, box.top), (x, box.bottom)), colour=_GRID))
        text = f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
        scene.shapes.append(Text(x=x, y=box.bottom + 18, text=text, size=_SMALL, colour=_INK, anchor="middle"))
    for value in linear_ticks(plot.y_low, plot.y_high):
        y = plot.y(value)
        scene.shapes.append(Line(points=((box.left, y), (box.right, y)), colour=_GRID))
        scene.shapes.append(Text(x=box.left - 8, y=y + 4, text=f"{value:.4g}", size=_SMALL, colour=_INK, anchor="end"))
    corner = ((box.left, box.top), (box.left, box.bottom), (box.right, box.bottom))
    scene.shapes.append(Line(points=corner, colour=_SOFT, width=1.2))
    middle = (box.left + box.right) / 2
    scene.shapes.append(
        Text(x=middle, y=box.bottom + 40, text=f"{x_label}, log axis", size=13, colour=_INK, anchor="middle")
    )
    scene.shapes.append(
        Text(x=20, y=(box.top + box.bottom) / 2, text=y_label, size=13, colour=_INK, anchor="middle", upward=True)
    )


def _front(scene: Scene, plot: _Plot, front: Sequence[tuple[float, float]]) -> None:
    if not front:
        return
    path = tuple(_steps(plot, front))
    scene.shapes.append(Line(points=path, colour=_FRONT, width=2.0, dash=(5.0, 3.0), opacity=0.75))
    for x, top1 in front:
        scene.shapes.append(Dot(x=plot.x(x), y=plot.y(top1), radius=_RING, fill="#ffffff", rim=_FRONT, rim_width=1.6))


def _steps(plot: _Plot, front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the front as steps: until the next network, no more accuracy is to be had."""
    path: list[tuple[float, float]] = []
    for x, top1 in sorted(front):
        if path:
            path.append((plot.x(x), path[-1][1]))
        path.append((plot.x(x), plot.y(top1)))
    return path


def _curves(scene: Scene, plot: _Plot, curves: Sequence[Curve]) -> None:
    for number, curve in enumerate(curves):
        ink = colour(number)
        ordered = sorted(curve.points, key=lambda point: point.x)
        if len(ordered) > 1:
            path = tuple((plot.x(point.x), plot.y(point.top1)) for point in ordered)
            scene.shapes.append(Line(points=path, colour=ink, width=2.6 if curve.thick else 1.6))
        for point in ordered:
            x, y = plot.x(point.x), plot.y(point.top1)
            if point.low is not None and point.high is not None:
                ends = ((x, plot.y(point.low)), (x, plot.y(point.high)))
                scene.shapes.append(Line(points=ends, colour=ink, width=1.2, opacity=0.6))
            title = f"{curve.family}, {point.label}: {point.top1:g} %, {point.x:.4g}"
            fill = "#ffffff" if point.hollow else ink
            scene.shapes.append(
                Dot(
                    x=x, y=y, radius=_DOT, fill=fill, rim=ink, rim_width=1.8 if point.hollow else 1.0,
                    title=f"{title}; {point.remark}" if point.remark else title,
                )
            )  # fmt: skip


def _names(scene: Scene, plot: _Plot, curves: Sequence[Curve], front: Sequence[tuple[float, float]]) -> list[str]:
    """Write the points' names; return those that found no place."""
    named = [(point, colour(number)) for number, curve in enumerate(curves) for point in curve.points]
    labels = [Label(plot.x(point.x), plot.y(point.top1), text_width(point.label, _NAME), _NAME) for point, _ in named]
    dots = [(label.x, label.y, _DOT + 1.0) for label in labels]
    dots += [(plot.x(x), plot.y(top1), _RING + 1.0) for x, top1 in front]
    steps = _steps(plot, front)
    lines = [(*a, *b) for a, b in pairwise(steps)]
    for curve in curves:
        ordered = sorted(curve.points, key=lambda point: point.x)
        ends = [(plot.x(point.x), plot.y(point.top1)) for point in ordered]
        lines += [(*a, *b) for a, b in pairwise(ends)]
    missing = []
    for (point, ink), place in zip(named, place_labels(labels, area=plot.box, points=dots, lines=lines), strict=True):
        if place is None:
            missing.append(point.label)
            continue
        if place.leader:
            x1, y1, x2, y2 = place.leader
            scene.shapes.append(Line(points=((x1, y1), (x2, y2)), colour=ink, width=0.7, opacity=0.7))
        baseline = place.box.bottom - 0.18 * _NAME
        scene.shapes.append(Text(x=place.box.left, y=baseline, text=point.label, size=_NAME, colour=ink, halo=True))
    return missing


def _footer(scene: Scene, plot: _Plot, notes: Sequence[str]) -> None:
    y = plot.box.bottom + 66
    for text in notes:
        for line in wrapped(text, 11, _WIDTH - _LEFT - _RIGHT):
            scene.shapes.append(Text(x=_LEFT, y=y, text=line, size=11, colour=_SOFT))
            y += 15
    scene.height = y + 4

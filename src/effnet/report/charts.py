"""Charts as PNG or SVG bytes, drawn with matplotlib (extra: demo)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from effnet.errors import MissingDependencyError

Side = Literal["above", "below"]

# Okabe-Ito: distinguishable with every common colour vision.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One network on an accuracy chart; `side` is where its name stands, if not where its curve's names do."""

    label: str
    x: float
    top1: float
    side: Side | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One family on an accuracy chart; `labels` is the side of its curve where its points are named."""

    family: str
    points: Sequence[Point]
    labels: Side = "above"


def accuracy_chart(curves: Sequence[Curve], *, x_label: str, title: str, kind: Literal["png", "svg"] = "svg") -> bytes:
    """Return top-1 accuracy against a cost on a log axis, one line a family with labelled points (V1 Figure 1).

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
    except ImportError:
        raise MissingDependencyError.for_extra("matplotlib", "demo", "drawing a chart") from None
    figure = Figure(figsize=(8.6, 5.2), layout="constrained")
    axes = figure.subplots()
    for index, curve in enumerate(curves):
        ordered = sorted(curve.points, key=lambda p: p.x)
        colour = _COLOURS[index % len(_COLOURS)]
        axes.plot(
            [p.x for p in ordered],
            [p.top1 for p in ordered],
            marker="o",
            markersize=5,
            linewidth=1.6,
            color=colour,
            label=curve.family,
        )
        for point in ordered:
            above = (point.side or curve.labels) == "above"
            axes.annotate(
                point.label,
                (point.x, point.top1),
                xytext=(-4, 5) if above else (4, -5),
                textcoords="offset points",
                ha="right" if above else "left",
                va="bottom" if above else "top",
                fontsize=8,
                color=colour,
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.09, y=0.09)
    axes.set_xlabel(x_label)
    axes.set_ylabel("ImageNet top-1 (%)")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(True, which="major", alpha=0.25)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    buffer = io.BytesIO()
    # A fixed date and salt keep the bytes the same for the same input.
    metadata = {"Date": None} if kind == "svg" else {}
    with rc_context({"svg.hashsalt": "effnet"}):
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()

"""Charts of a training run as SVG or PNG bytes, drawn with matplotlib (extra: train)."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from effnet.errors import MissingDependencyError

Kind = Literal["png", "svg"]

BLUE, RED, GREEN = "#0072b2", "#d55e00", "#009e73"  # Okabe-Ito: distinguishable with every common colour vision


def schedule_chart(stages: Sequence[Mapping[str, float]], epochs: Sequence[float], *, kind: Kind = "svg") -> bytes:
    """Return image size and the regularisers over the epochs, as steps: one small chart each.

    Args:
        stages: what each stage trains with, by name; the names of the first are charted.
        epochs: (len(stages) + 1) where each begins, and where the last ends.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    names = _changing(stages)
    picture = figure(8.6, 1.5 * -(-len(names) // 2) + 0.5)
    places = picture.subplots(-(-len(names) // 2), 2, sharex=True, squeeze=False).ravel()
    for axes, name in zip(places, names, strict=False):
        _draw_setting(axes, name, [stage[name] for stage in stages], epochs)
    for axes in places[len(names) :]:
        axes.set_axis_off()
    for axes in places[max(0, len(names) - 2) : len(names)]:
        axes.set_xlabel("epoch")
    return drawn(picture, kind)


def schedule_panels(stages: Sequence[Mapping[str, float]], epochs: Sequence[float]) -> list[tuple[str, bytes]]:
    """Return the same as (title, SVG), one for each setting, for a page that puts them where there is room."""
    panels = []
    for name in _changing(stages):
        picture = figure(4.2, 1.7)
        _draw_setting(picture.subplots(), name, [stage[name] for stage in stages], epochs)
        panels.append((_TITLES.get(name, name), drawn(picture, "svg")))
    return panels


def _changing(stages: Sequence[Mapping[str, float]]) -> list[str]:
    return [name for name in stages[0] if name == "image_size" or any(stage[name] for stage in stages)]


def _draw_setting(axes: Any, name: str, values: Sequence[float], epochs: Sequence[float]) -> None:
    axes.stairs(values, epochs, color=BLUE, linewidth=2, baseline=None)
    axes.set_title(_TITLES.get(name, name), loc="left", fontsize=9)
    low, high = min(values), max(values)
    axes.set_ylim(low - 0.2 * (high - low or high or 1), high + 0.2 * (high - low or high or 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(True, alpha=0.25)


_ON_DARK = "#fefefe"
"""Not white, which is the colour of paper and left out where a chart is part of a page."""

_TITLES = {
    "image_size": "image size (px)",
    "magnitude": "RandAugment magnitude",
    "mixup": "mixup alpha",
    "cutmix": "CutMix alpha",
    "dropout": "dropout",
    "drop_path": "drop path",
    "batch": "images in a step",
}


def curve_panels(
    steps: Sequence[tuple[float, float, float]], evaluations: Sequence[tuple[float, float, float]]
) -> list[tuple[str, bytes]]:
    """Return loss, accuracy and learning rate over the epochs as (title, SVG).

    Args:
        steps: (epoch, loss, rate) of each step.
        evaluations: (epoch, loss, top-1 in percent) of each evaluation.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    epochs, judged = [epoch for epoch, _, _ in steps], [epoch for epoch, _, _ in evaluations]
    mark = {"color": RED, "marker": "o" if len(judged) < 40 else "", "markersize": 3}

    def loss(axes: Any) -> None:
        axes.plot(epochs, [value for _, value, _ in steps], color=BLUE, alpha=0.25, linewidth=1)
        axes.plot(epochs, _smooth([value for _, value, _ in steps]), color=BLUE, label="training")
        if judged:
            axes.plot(judged, [value for _, value, _ in evaluations], label="validation", **mark)
        axes.legend(frameon=False, fontsize=8)

    def accuracy(axes: Any) -> None:
        axes.plot(judged, [top1 for _, _, top1 in evaluations], **mark)

    most = max(rate for _, _, rate in steps)
    power = math.floor(math.log10(most)) if most > 0 else 0

    def rates(axes: Any) -> None:
        axes.plot(epochs, [rate / 10**power for _, _, rate in steps], color=GREEN)

    panels = [("loss", loss), (f"learning rate (1e{power})", rates)]
    if judged:
        panels.insert(1, ("validation top-1 (%)", accuracy))
    return [(title, _panel(title, draw)) for title, draw in panels]


def _panel(title: str, draw: Callable[[Any], None]) -> bytes:
    from matplotlib.ticker import MaxNLocator

    picture = figure(4.2, 3.0)
    axes = picture.subplots()
    draw(axes)
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(True, alpha=0.25)
    return drawn(picture, "svg")


def calibration_chart(bins: Sequence[tuple[int, float, float]], *, kind: Kind = "svg") -> bytes:
    """Return accuracy against confidence, both in percent, with the number of images in each bin.

    Args:
        bins: (images, confidence, accuracy) of each bin.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    picture = figure(4.4, 4.4)
    upper, lower = picture.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 100], [0, 100], color="#888888", linestyle="--", linewidth=1, label="honest")
    confidence = [bin[1] for bin in bins]
    upper.plot(confidence, [bin[2] for bin in bins], color=BLUE, marker="o", markersize=4, label="this network")
    upper.set_ylabel("accuracy (%)")
    upper.legend(frameon=False, fontsize=8)
    lower.bar(confidence, [bin[0] for bin in bins], width=5, color=BLUE)
    lower.set_ylabel("images")
    lower.set_xlabel("confidence (%)")
    for axes in (upper, lower):
        axes.grid(True, alpha=0.25)
    upper.set_xlim(0, 102)
    return drawn(picture, kind)


def confusion_chart(confusion: Sequence[Sequence[int]], classes: Sequence[str], *, kind: Kind = "svg") -> bytes:
    """Return the share of each true class (row) that got each answer (column); numbers up to 20 classes.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    count = len(classes)
    side = min(9.0, 2.6 + 0.45 * count)
    picture = figure(side + 0.8, side)
    axes = picture.subplots()
    shares = [[cell / max(1, sum(row)) for cell in row] for row in confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    if count <= 40:
        short = [name if len(name) <= 18 else f"{name[:17]}…" for name in classes]
        axes.set_xticks(range(count), short, rotation=90 if count > 4 else 0, fontsize=8)
        axes.set_yticks(range(count), short, fontsize=8)
    if count <= 20:
        for row, cells in enumerate(confusion):
            for column, cell in enumerate(cells):
                colour = _ON_DARK if shares[row][column] > 0.5 else "#222222"
                if cell:
                    axes.text(column, row, str(cell), ha="center", va="center", fontsize=8, color=colour)
    return drawn(picture, kind)


def _smooth(values: Sequence[float]) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else 0.9 * smooth[-1] + 0.1 * value)
    return smooth


def figure(width: float, height: float) -> Any:
    """Return an empty matplotlib figure, in inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError.for_extra("matplotlib", "train", "drawing a chart") from None
    return Figure(figsize=(width, height), layout="constrained")


def drawn(picture: Any, kind: Kind) -> bytes:
    """Return the figure as a file; the same figure gives the same bytes."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # A fixed date and salt keep the bytes the same for the same input.
    with rc_context({"svg.hashsalt": "effnet"}):
        picture.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})
    return buffer.getvalue()

"""Charts of the experiments as SVG or PNG bytes, drawn with matplotlib (extra: search)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from effnet.report.training_charts import BLUE, GREEN, RED, Kind, drawn, figure

GREY, ORANGE, PINK = "#9a9a9a", "#e69f00", "#cc79a7"
_AXES = {"depth": BLUE, "width": RED, "resolution": GREEN, "compound": "#000000"}
_MARKS = {"depth": "s", "width": "^", "resolution": "D", "compound": "o"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisPoint:
    """One network: what was scaled, its MACs, and its accuracies in percent, one for each seed."""

    axis: str
    macs: float
    accuracies: Sequence[float]
    mean: float
    half: float


def pareto_chart(
    candidates: Sequence[tuple[float, float]],
    control: Sequence[tuple[float, float]],
    front: Sequence[tuple[float, float]],
    winner: tuple[float, float],
    *,
    cost: str,
    target: float,
    kind: Kind = "svg",
) -> bytes:
    """Return accuracy against cost: candidates, control, the front through both kinds, and the winner.

    Args:
        candidates, control, front: (cost, top-1 in percent).
        winner: as it was trained again.
        cost: name of the axis.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    picture = figure(8.6, 4.8)
    axes = picture.subplots()
    axes.scatter(*_columns(control), s=26, marker="x", color=ORANGE, label="random control", zorder=2)
    axes.scatter(*_columns(candidates), s=20, color=BLUE, alpha=0.55, label="proposed", zorder=3)
    if front:
        axes.step(*_columns(front), where="post", color="#444444", linewidth=1.2, label="Pareto front", zorder=1)
    axes.scatter([winner[0]], [winner[1]], s=190, marker="*", color=RED, label="winner, trained again", zorder=4)
    axes.axvline(target, color=GREY, linestyle="--", linewidth=1, label="target")
    axes.set_xlabel(cost)
    axes.set_ylabel("top-1 (%)")
    axes.grid(True, alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="best")
    return drawn(picture, kind)


def history_chart(rewards: Sequence[float], control: Sequence[float], *, kind: Kind = "svg") -> bytes:
    """Return the reward of each candidate in order, and the best so far beside the control's.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    picture = figure(8.6, 3.4)
    axes = picture.subplots()
    axes.scatter(range(1, len(rewards) + 1), rewards, s=16, color=BLUE, alpha=0.5, label="candidate")
    axes.step(range(1, len(rewards) + 1), _best(rewards), where="post", color=BLUE, linewidth=2, label="best so far")
    if control:
        places = range(1, len(control) + 1)
        axes.step(places, _best(control), where="post", color=ORANGE, linewidth=2, label="best random so far")
        middle = sorted(control)[len(control) // 2]
        axes.axhline(middle, color=ORANGE, linestyle=":", linewidth=1.2, label="median random")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("candidates trained or judged")
    axes.set_ylabel("reward")
    axes.grid(True, alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="best")
    return drawn(picture, kind)


def surface_chart(
    points: Sequence[tuple[float, float, float, float]], chosen: int, *, target: float, kind: Kind = "svg"
) -> bytes:
    """Return candidates on the constraint surface, seen from above alpha: beta across, gamma up, accuracy as colour.

    Lines of constant alpha lie on alpha * beta^2 * gamma^2 = target.

    Args:
        points: (alpha, beta, gamma, mean top-1 in percent).
        chosen: place of the best.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    picture = figure(7.2, 5.2)
    axes = picture.subplots()
    most = math.sqrt(target)
    for alpha in (1.0, 1.2, 1.4, 1.6, 1.8):
        rest = target / alpha
        if rest < 1:
            continue
        betas = [1 + (math.sqrt(rest) - 1) * i / 60 for i in range(61)]
        gammas = [math.sqrt(rest) / beta for beta in betas]
        axes.plot(betas, gammas, color=GREY, linewidth=0.9, zorder=1)
        middle = len(betas) // 2
        # The labels stand beside their lines, away from the candidates' circles.
        axes.annotate(
            f"alpha {alpha:g}", (betas[middle], gammas[middle]), fontsize=7, color="#666666",
            ha="center", va="center", rotation=-40, bbox={"fc": "white", "ec": "none", "pad": 0.8},
        )  # fmt: skip
    shown = axes.scatter(
        [p[1] for p in points], [p[2] for p in points], c=[p[3] for p in points], s=90, cmap="viridis", zorder=3,
        edgecolors="white", linewidths=0.8,
    )  # fmt: skip
    _, beta, gamma, _ = points[chosen]
    axes.scatter([beta], [gamma], s=230, facecolors="none", edgecolors=RED, linewidths=1.8, zorder=4, label="chosen")
    axes.scatter([1.1], [1.15], s=60, marker="+", color="black", zorder=4, label="the paper's")
    picture.colorbar(shown, label="mean top-1 (%)")
    axes.set_xlim(0.97, most * 1.04)
    axes.set_ylim(0.97, most * 1.04)
    axes.set_xlabel("beta (width)")
    axes.set_ylabel("gamma (resolution)")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    return drawn(picture, kind)


def axes_chart(base: AxisPoint, points: Sequence[AxisPoint], *, kind: Kind = "svg") -> bytes:
    """Return accuracy against MACs, one line an axis from the common base, with 95 % intervals (V1 Figure 8).

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    picture = figure(8.0, 4.8)
    axes = picture.subplots()
    order = [axis for axis in _AXES if any(point.axis == axis for point in points)]
    for number, axis in enumerate(order):
        line = [base, *sorted((p for p in points if p.axis == axis), key=lambda p: p.macs)]
        # Equal MACs would put the intervals on top of each other.
        shift = 1 + 0.018 * (number - (len(order) - 1) / 2)
        places = [line[0].macs / 1e6, *(p.macs / 1e6 * shift for p in line[1:])]
        bars = [point.half if math.isfinite(point.half) else 0.0 for point in line]
        axes.errorbar(
            places, [p.mean for p in line], yerr=bars, color=_AXES[axis], marker=_MARKS[axis], markersize=6,
            linewidth=1.6, capsize=3, label=axis,
        )  # fmt: skip
        for place, point in zip(places[1:], line[1:], strict=True):
            axes.scatter([place] * len(point.accuracies), point.accuracies, s=9, color=_AXES[axis], alpha=0.45)
    axes.scatter([base.macs / 1e6] * len(base.accuracies), base.accuracies, s=9, color="black", alpha=0.45)
    # Two seeds can give intervals of hundreds of points, which would flatten everything else.
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0), min(high, 100.5))
    axes.set_xscale("log")
    ticks = sorted({round(p.macs / 1e6, 1) for p in (base, *points) if p.axis in (base.axis, "depth")})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("MACs (millions)")
    axes.set_ylabel("top-1 (%)")
    axes.grid(True, alpha=0.25)
    # Above the axes: inside, there is no place that no interval can reach.
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncol=len(order))
    return drawn(picture, kind)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[Any], list[Any]]:
    return [point[0] for point in points], [point[1] for point in points]


def _best(values: Sequence[float]) -> list[float]:
    return [max(values[: place + 1]) for place in range(len(values))]

"""The papers' comparison figures, as values that a chart is drawn from.

>>> from effnet.comparison.figures import figure
>>> figure("v1-figure-5").x_unit
'billions'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from effnet.comparison.others import OtherNetwork, others, training_rows
from effnet.comparison.subject import short_label
from effnet.errors import UnknownNameError
from effnet.weights.published import published

V1_TABLE = "arXiv 1905.11946v5 Table 2"
_V2_TABLE = "arXiv 2104.00298 and google/automl efficientnetv2/README.md"
_LATER = "arXiv 2106.04803 and arXiv 2201.03545"


@dataclass(frozen=True, slots=True, kw_only=True)
class FigurePoint:
    """A network: what it costs in the figure's unit, its top-1 in percent, and who says so."""

    label: str
    x: float
    top1: float
    source: str
    extra_data: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureSeries:
    """A family."""

    name: str
    points: tuple[FigurePoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Everything a chart of it needs.

    Attributes:
        name: to ask for it.
        title: what it shows.
        x_title, x_unit: of the cost.
        series: families, ours first.
        notes: where the numbers are from, and how it differs from the printed one.
    """

    name: str
    title: str
    x_title: str
    x_unit: str
    series: tuple[FigureSeries, ...]
    notes: tuple[str, ...]


def figure(name: str) -> Figure:
    """Return the figure called `name`.

    Raises:
        UnknownNameError: there is none; the nearest are suggested.
    """
    if name not in _FIGURES:
        raise UnknownNameError.among("figure", name, _FIGURES, see=f"known: {', '.join(_FIGURES)}")
    return _FIGURES[name](name)


def figures() -> tuple[str, ...]:
    """Return the names of all figures."""
    return tuple(_FIGURES)


def _v1_figure_1(name: str) -> Figure:
    return Figure(
        name=name,
        title="V1 Figure 1: model size and ImageNet accuracy",
        x_title="parameters",
        x_unit="millions",
        series=(_v1_family("params"), *_series(_v1_others(), _params)),
        notes=(
            f"Numbers of {V1_TABLE}, single crop, single model; EfficientNets with AutoAugment, parameters counted.",
            "The printed figure has a linear axis up to 180 million, and shows more networks than the table.",
        ),
    )


def _v1_figure_5(name: str) -> Figure:
    with_macs = [row for row in _v1_others() if row.macs is not None]
    return Figure(
        name=name,
        title="V1 Figure 5: FLOPs and ImageNet accuracy",
        x_title="multiply-accumulates (the paper's FLOPs) for one image",
        x_unit="billions",
        series=(_v1_family("macs"), *_series(with_macs, _macs)),
        notes=(
            f"Numbers of {V1_TABLE}, single crop, single model; EfficientNets with AutoAugment, as printed.",
            "The printed figure has a linear axis up to 45 billion. GPipe is missing: the table gives no FLOPs of it.",
        ),
    )


def _v2_figure_1(name: str) -> Figure:
    grouped: dict[str, list[FigurePoint]] = {}
    for row in training_rows():
        source = f"days: {row.days_from}; top-1: {row.top1_from}"
        point = FigurePoint(label=row.label, x=row.days, top1=row.top1, source=source, extra_data=row.extra_data)
        grouped.setdefault(row.series, []).append(point)
    ours_first = sorted(grouped.items(), key=lambda entry: not entry[0].startswith("EfficientNetV2"))
    return Figure(
        name=name,
        title="V2 Figure 1: training time and ImageNet accuracy",
        x_title="training on 32 TPUv3 cores",
        x_unit="days",
        series=tuple(FigureSeries(name=series, points=tuple(points)) for series, points in ours_first),
        notes=(
            "Days: arXiv 2104.00298 Table 7, as others quote it; B5, B6 and the first three with ImageNet-21k are read"
            " off its Figure 1, within 0.1 days.",
            "Top-1: arXiv 2104.00298 as others quote it (V2), its predecessors' README with RandAugment (B5, B7) and"
            f" {V1_TABLE} (B4, B6).",
        ),
    )


def _later(name: str, axis: str) -> Figure:
    rows = [row for row in others() if _LATER in row.source]
    pick, what, unit = {
        "params": (_params, "parameters", "millions"),
        "macs": (_macs, "multiply-accumulates for one image", "billions"),
    }[axis]
    return Figure(
        name=name,
        title=f"Networks after V1, and EfficientNetV2: {what.partition(' for')[0]} and ImageNet accuracy",
        x_title=what,
        x_unit=unit,
        series=(*_v2_families(axis), *_series(rows, pick)),
        notes=(
            f"EfficientNetV2: {_V2_TABLE}, counted at the size evaluated. Others as listed in {_LATER}.",
            "Hollow points were trained with ImageNet-21k first. ResNet-RS: listed FLOPs halved to MACs.",
        ),
    )


_FIGURES: dict[str, Callable[[str], Figure]] = {
    "v1-figure-1": _v1_figure_1,
    "v1-figure-5": _v1_figure_5,
    "v2-figure-1": _v2_figure_1,
    "later-params": lambda name: _later(name, "params"),
    "later-macs": lambda name: _later(name, "macs"),
}


def _v1_others() -> list[OtherNetwork]:
    return [row for row in others() if row.source == V1_TABLE]


def _v1_family(axis: str) -> FigureSeries:
    points = []
    for variant in published():
        if not variant.name.startswith("efficientnet_b"):
            continue  # the table's ResNets are rows of others.json
        for row in variant.reported:
            if row.source != V1_TABLE:
                continue
            printed = float(str(variant.flops_text).removesuffix("B"))
            cost = variant.params / 1e6 if axis == "params" else printed
            points.append(FigurePoint(label=short_label(variant.name), x=cost, top1=row.top1, source=row.source))
    return FigureSeries(name="EfficientNet", points=tuple(points))


def _v2_families(axis: str) -> tuple[FigureSeries, ...]:
    plain: list[FigurePoint] = []
    more: list[FigurePoint] = []
    for row in training_rows():
        if not row.name.startswith("efficientnetv2"):
            continue
        variant = published(row.name)
        cost = variant.params / 1e6 if axis == "params" else variant.macs[variant.resolution] / 1e9
        point = FigurePoint(label=row.label, x=cost, top1=row.top1, source=row.top1_from, extra_data=row.extra_data)
        (more if row.extra_data else plain).append(point)
    return (
        FigureSeries(name="EfficientNetV2", points=tuple(plain)),
        FigureSeries(name="EfficientNetV2, ImageNet-21k first", points=tuple(more)),
    )


def _series(rows: Iterable[OtherNetwork], pick: Callable[[OtherNetwork], float]) -> tuple[FigureSeries, ...]:
    grouped: dict[str, list[FigurePoint]] = {}
    for row in rows:
        point = FigurePoint(label=row.label, x=pick(row), top1=row.top1, source=row.source, extra_data=row.extra_data)
        grouped.setdefault(row.series, []).append(point)
    return tuple(FigureSeries(name=name, points=tuple(points)) for name, points in grouped.items())


def _params(row: OtherNetwork) -> float:
    return row.params / 1e6


def _macs(row: OtherNetwork) -> float:
    assert row.macs is not None
    return row.macs / 1e9

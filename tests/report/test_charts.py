"""Charts show every point once, in both formats, with the same bytes each time."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from effnet.comparison import compare
from effnet.errors import InputError
from effnet.report.charts import Curve, Point, accuracy_chart, linear_ticks, log_ticks
from effnet.report.comparison import chart, page_of, text
from tests.report.boxes import overlapping_texts

CURVES = [
    Curve(family="one", points=[Point(label="A1", x=0.4, top1=77.0), Point(label="A2", x=4.0, top1=83.0)]),
    Curve(family="two & more", points=[Point(label="B1", x=2.0, top1=70.0, hollow=True, low=67.0, high=71.5)]),
]


def test_svg_names_families_and_points_as_text() -> None:
    drawn = accuracy_chart(CURVES, x_label="cost <ms>", title="title", notes=["a source"]).decode()
    ElementTree.fromstring(drawn)
    for words in ("one", "two &amp; more", "A1", "A2", "B1", "cost &lt;ms&gt;, log axis", "title", "a source"):
        assert f">{words}</text>" in drawn, words
    assert drawn == accuracy_chart(CURVES, x_label="cost <ms>", title="title", notes=["a source"]).decode()


def test_dearer_is_to_the_right_and_better_is_above() -> None:
    drawn = accuracy_chart(CURVES, x_label="c", title="t").decode()
    dots = {
        re.search(r", (\w+):", title)[1]: (float(x), float(y))  # type: ignore[index]
        for x, y, title in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>([^<]*)', drawn)
    }
    assert dots["A1"][0] < dots["B1"][0] < dots["A2"][0]
    assert dots["A2"][1] < dots["A1"][1] < dots["B1"][1]
    ratio = math.log(4.0 / 0.4) / math.log(2.0 / 0.4)
    assert (dots["A2"][0] - dots["A1"][0]) / (dots["B1"][0] - dots["A1"][0]) == pytest.approx(ratio, abs=0.01)


def test_the_front_is_drawn_and_named() -> None:
    drawn = accuracy_chart(CURVES, x_label="c", title="t", front=[(0.4, 77.0), (4.0, 83.0)]).decode()
    assert "Pareto front" in drawn
    assert "Pareto" not in accuracy_chart(CURVES, x_label="c", title="t").decode()


def test_png_is_a_png() -> None:
    pytest.importorskip("matplotlib")
    png = accuracy_chart(CURVES, x_label="cost", title="costs $1 & $2", front=[(0.4, 77.0), (4.0, 83.0)], kind="png")
    assert png.startswith(b"\x89PNG")


def test_nothing_to_draw_and_impossible_costs_are_refused() -> None:
    for curves in ([], [Curve(family="x", points=[Point(label="y", x=0.0, top1=1.0)])]):
        with pytest.raises(InputError):
            accuracy_chart(curves, x_label="c", title="t")


@pytest.mark.parametrize(("low", "high"), [(0.3, 600), (4, 900), (9, 11), (1e-3, 1e6), (2.0, 2.0)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    for ticks in (log_ticks(low, high), linear_ticks(low, high) if high > low and high < 1e3 else [low]):
        assert 1 <= len(ticks) <= 12
        assert ticks == sorted(ticks)
        assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


@pytest.mark.parametrize("axis", ["params", "macs"])
def test_everything_published_fits_on_a_chart_without_overlaps(axis: str) -> None:
    drawn = chart(compare(), axis).decode()  # type: ignore[arg-type]
    assert "No room" not in drawn
    assert overlapping_texts(drawn) == []
    assert "2021 recipe" in drawn, "ResNets of two recipes are two lines"


def test_the_page_is_self_contained_and_the_table_complete() -> None:
    result = compare("b0", "resnet50", "swin_t", "l2")
    page, table = page_of(result), text(result)
    assert page.count("<svg") == 2
    assert not re.search(r"(src|href)=.http", page)
    for name in ("efficientnet_b0", "resnet50", "swin_t", "efficientnet_l2"):
        assert name in page
        assert name in table
    assert "JFT-300M" in table


def test_intervals_are_drawn_and_the_axis_ends_at_100_percent() -> None:
    point = Point(label="A", x=1.0, top1=99.0, low=95.0, high=99.9)
    drawn = accuracy_chart([Curve(family="one", points=[point])], x_label="c", title="t").decode()
    ticks = [float(value) for value in re.findall(r'text-anchor="end">([\d.]+)</text>', drawn)]
    assert max(ticks) <= 100
    assert min(ticks) >= 94
    assert 'stroke-opacity="0.6"' in drawn

"""Charts show every point once, in both formats, with the same bytes each time."""

import re

import pytest

from effnet.report.charts import Curve, Point, accuracy_chart

pytest.importorskip("matplotlib")

CURVES = [
    Curve(family="one", points=[Point(label="A1", x=0.4, top1=77.0), Point(label="A2", x=4.0, top1=83.0)]),
    Curve(family="two", points=[Point(label="B1", x=2.0, top1=70.0)], labels="below"),
]


def test_svg_names_families_and_points_as_text() -> None:
    chart = accuracy_chart(CURVES, x_label="cost", title="title").decode()
    for text in ("one", "two", "A1", "A2", "B1", "cost", "title"):
        assert re.search(rf">\s*{text}\s*<|<!-- {text} -->", chart), text


def test_png_is_a_png_and_charts_repeat_exactly() -> None:
    png = accuracy_chart(CURVES, x_label="cost", title="title", kind="png")
    assert png.startswith(b"\x89PNG")
    assert accuracy_chart(CURVES, x_label="c", title="t") == accuracy_chart(CURVES, x_label="c", title="t")

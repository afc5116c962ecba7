"""The redrawn figures have the papers' numbers, and their charts name every point over nothing."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

import pytest

from effnet.comparison import figure, figures
from effnet.errors import UnknownNameError
from effnet.report.comparison import figure_chart, figure_page, figure_text
from tests.report.boxes import overlapping_texts


@pytest.mark.parametrize("name", figures())
def test_every_point_is_named_once_and_no_names_overlap(name: str) -> None:
    wanted = figure(name)
    chart = figure_chart(wanted).decode()
    assert "No room" not in chart
    for series in wanted.series:
        for point in series.points:
            assert f">{point.label}</text>" in chart
    assert overlapping_texts(chart) == []
    for words in (wanted.title, f"{wanted.x_title} ({wanted.x_unit}), log axis", "ImageNet top-1 (%)"):
        assert escape(words) in chart
    assert "arXiv" in chart


def test_figure_1_and_5_have_the_paper_s_b7_and_gpipe() -> None:
    one = {p.label: p for s in figure("v1-figure-1").series for p in s.points}
    assert (one["B7"].x, one["B7"].top1) == (66.34796, 84.3)
    assert (one["GPipe"].x, one["GPipe"].top1) == (557, 84.3)
    five = {p.label: p for s in figure("v1-figure-5").series for p in s.points}
    assert (five["B7"].x, five["SENet"].x) == (37, 42)
    assert "GPipe" not in five


def test_v2_trains_faster_and_better() -> None:
    points = {(s.name, p.label): p for s in figure("v2-figure-1").series for p in s.points}
    b7, m = points["EfficientNet (V1)", "B7"], points["EfficientNetV2", "V2-M"]
    assert b7.x / m.x == pytest.approx(139 / 13, abs=0.05)
    assert m.top1 > b7.top1


@pytest.mark.shared
def test_points_are_those_of_the_facts(shared: Path) -> None:
    models = {m["name"]: m for m in json.loads((shared / "reference" / "models.json").read_text("utf-8"))}
    for name, axis in (("v1-figure-1", "params"), ("v1-figure-5", "flops")):
        ours = figure(name).series[0]
        assert [p.label for p in ours.points] == [f"B{i}" for i in range(8)]
        for point in ours.points:
            model = models[f"efficientnet_{point.label.lower()}"]
            assert point.top1 == model["top1"]["paper_table2_autoaugment"]
            paper = model["params"]["timm"] / 1e6 if axis == "params" else model["flops"]["paper_gflops"]
            assert point.x == pytest.approx(paper)


def test_a_figure_is_also_a_table_and_a_page() -> None:
    wanted = figure("v1-figure-1")
    assert re.search(r"^GPipe +GPipe +557 +84.3$", figure_text(wanted), re.MULTILINE)
    page = figure_page(wanted)
    assert page.count("<svg") == 1
    assert not re.search(r"(src|href)=.http", page), "self-contained"


def test_an_unknown_figure_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="v1-figure-1"):
        figure("v1-figure-2")

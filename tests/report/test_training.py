"""The page of a run: what comes first, and that it can be read in the dark and on a telephone."""

from __future__ import annotations

import dataclasses
import re

import pytest

pytest.importorskip("matplotlib")

from effnet.report.training import StageReport, TrainingReport, render

STAGE = StageReport(
    settings={"image_size": 64.0, "magnitude": 5.0, "dropout": 0.1, "batch": 8.0},
    first_epoch=0.0,
    seconds=2.0,
    images=40,
)
LATER = dataclasses.replace(STAGE, settings={**STAGE.settings, "image_size": 96.0}, first_epoch=1.0)
FIGURES = {
    "images": 6, "top1": 100.0, "top1_interval": [61.0, 100.0], "top5": 100.0, "top5_interval": [61.0, 100.0],
    "loss": 0.6, "ece": 40.0, "class_accuracy": 100.0, "temperature": 1.0, "confusion": [[6, 0], [0, 0]],
    "classes": [
        {"name": name, "images": images, "precision": None, "recall": None, "f1": None}
        for name, images in (("ant", 6), ("bee", 0))
    ],
    "calibration": [{"images": 6, "confidence": 55.0, "accuracy": 100.0}],
}  # fmt: skip
REPORT = TrainingReport(
    title="run",
    model="lite0",
    data="photos: 40 images, 2 classes",
    epochs=2.0,
    seconds=75.0,
    decisions=[("batch.size", "8", "what is available")],
    steps=[(0.5, 0.7, 1e-3), (1.0, 0.6, 9e-4), (2.0, 0.5, 1e-4)],
    evaluations=[(1.0, 0.7, 50.0), (2.0, 0.6, 100.0)],
    stages=[STAGE, LATER],
    waited=0.01,
    figures=FIGURES,
    outcome=[("best", "top-1 100 % (6 of 6, 95 %: 61 to 100)"), ("warning", "never answered: <bee>")],
    remarks=["Until epoch 3 only the classifier learns."],
    command="effnet train photos --epochs 2",
    recipe="run  epochs=2",
)


@pytest.fixture(scope="module")
def page() -> str:
    return render(REPORT)


def test_what_is_known_of_the_best_network_comes_first(page: str) -> None:
    first = page.partition("Decided for you")[0]
    assert "6 of 6, 95 %: 61 to 100" in first and "never answered: &lt;bee&gt;" in first
    assert "Until epoch 3" in page


def test_charts_have_the_colours_of_the_page(page: str) -> None:
    charts = re.findall(r"<figure>(<svg.*?</svg>)</figure>", page, re.DOTALL)
    assert len(charts) == 3 + 4 + 2  # curves; a stage's settings; confusion, calibration
    assert "data:image/svg+xml" not in page
    for chart in charts:
        assert "currentColor" in chart and "<title>" in chart
        assert "fill: #ffffff" not in chart and "stroke: #000000" not in chart
    assert "prefers-color-scheme: dark" in page


def test_charts_of_one_page_do_not_share_names(page: str) -> None:
    for names in (re.findall(r'\bid="([^"]+)"', chart) for chart in re.findall(r"<svg.*?</svg>", page, re.DOTALL)):
        assert len(names) == len(set(names))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page))
    assert {a or b for a, b in used} <= set(re.findall(r'\bid="([^"]+)"', page))


def test_nothing_needs_a_wide_screen(page: str) -> None:
    assert "width=device-width" in page and "pre-wrap" in page
    assert "figure svg { display: block; width: 100%; height: auto; }" in page
    assert "minmax(min(100%, 17rem), 1fr)" in page


def test_the_rate_says_its_power_of_ten(page: str) -> None:
    assert "<title>learning rate (1e-3)</title>" in page


def test_a_run_without_judgements_has_its_page() -> None:
    bare = dataclasses.replace(REPORT, figures=None, evaluations=[], outcome=[], stages=[STAGE])
    assert "validation top-1" not in render(bare)


def test_a_class_that_is_never_answered_is_no_empty_cell(page: str) -> None:
    assert "<td>ant</td><td>6</td><td>never answered</td>" in page

"""The pages of the experiments say what the figures say."""

from __future__ import annotations

import base64
import dataclasses
import math
import re
from typing import Any

from effnet.families import find
from effnet.report import axes_study, scaling_study, search_study
from effnet.report.anatomy import anatomy
from effnet.report.axes_study import AxesReport, AxisRow, MapRow
from effnet.report.experiment_charts import AxisPoint
from effnet.report.scaling_study import CandidateRow, ScalingReport
from effnet.report.search_study import JudgedRow, SearchReport

B0 = find("b0")


def search_report(**changes: Any) -> SearchReport:
    control = [JudgedRow(name=f"c{i}", cost=20.0, accuracy=30.0 + i, reward=0.3) for i in range(5)]
    tried = [JudgedRow(name=f"t{i}", cost=15.0 + i, accuracy=35.0 + i, reward=0.35) for i in range(6)]
    given: dict[str, Any] = {
        "data": "photos",
        "base": "efficientnet_b0",
        "cost": "latency (ms)",
        "target": 20.0,
        "searcher": "evolution",
        "evaluator": "training",
        "tried": [*tried, JudgedRow(name="stopped", cost=18.0, accuracy=None, reward=0.1)],
        "control": control,
        "winner": "t5",
        "winner_seeds": [40.0, 41.0, 42.0],
        "winner_cost": 19.0,
        "winner_measured": 20.5,
        "correlations": {"zico": (0.31, 0.1, 0.5, 30), "macs": (-0.42, -0.6, -0.1, 30)},
        "spent": {"control": 120.0, "search": 300.0},
        "networks": (anatomy(B0), anatomy(B0.with_stage(3, kernel=3).replace(name="winner"))),
        "commands": "effnet train DATA --spec winner.json",
    }
    return SearchReport(**(given | changes))


def test_a_gain_beyond_the_spread_is_called_so_and_one_within_is_not() -> None:
    said = " ".join(search_study.conclusions(search_report()))
    assert "the median of 5 random candidates of about the same cost is 32.00 %" in said
    assert "+9.00 points is more than that spread" in said and "+2.5 % off the target" in said
    same = " ".join(search_study.conclusions(search_report(winner_seeds=[32.5, 32.5])))
    assert "+0.50 points is not more than that spread" in same
    alone = " ".join(search_study.conclusions(search_report(control=[], winner_measured=None)))
    assert "Without a random control" in alone and "off the target" not in alone


def test_the_search_page_has_all_its_parts() -> None:
    page = search_study.render(search_report())
    for part in (
        "t5",
        "41.00 %",
        "20.5 measured",
        "zico",
        "+0.31",
        "-0.42",
        "effnet train DATA --spec winner.json",
    ):
        assert part in page, part
    pictures = [base64.b64decode(text).decode() for text in re.findall(r"data:image/svg\+xml;base64,([^'\"]+)", page)]
    assert any("efficientnet_b0 and winner, stage by stage" in picture for picture in pictures)
    assert page.index("<td>macs</td>") < page.index("<td>zico</td>")  # the stronger relation first
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def axes_report(compound: float, half: float) -> AxesReport:
    def row(axis: str, macs: float, mean: float) -> AxisRow:
        point = AxisPoint(axis=axis, macs=macs, accuracies=(mean - 1, mean + 1), mean=mean, half=half)
        return AxisRow(point=point, depth=1, width=1, resolution=1, side=32, params=1000)

    rows = [row("base", 1e7, 40), row("depth", 2e7, 45), row("width", 2.01e7, 44), row("resolution", 2e7, 43)]
    maps = [MapRow(truth="cat", image=b"jpeg", maps=[("depth", b"jpeg", "dog 51 %")])]
    return AxesReport(
        data="photos",
        base="b0",
        rows=[*rows, row("compound", 1.99e7, compound)],
        maps=maps,
        mismatch=0.01,
        tolerance=0.03,
        epochs=8,
        seeds=2,
        seconds=60,
    )


def test_axes_are_told_apart_only_beyond_their_intervals() -> None:
    assert "better by more than the intervals" in axes_study.verdict(axes_report(52, 2.0))
    assert "worse by more than the intervals" in axes_study.verdict(axes_report(38, 2.0))
    assert "allow for that by chance" in axes_study.verdict(axes_report(46, 2.0))
    assert "nothing is known of the spread" in axes_study.verdict(axes_report(52, math.inf))
    page = axes_study.render(axes_report(52, 2.0))
    assert "dog 51 %" in page and "at most 1.0 %" in page
    assert "At 20.00M MACs depth and resolution are the same network" in page
    assert page.count("are the same network") == 1


def test_the_scaling_page_names_the_best_and_its_doubts() -> None:
    def row(alpha: float, mean: float, probability: float) -> CandidateRow:
        return CandidateRow(
            alpha=alpha,
            beta=1.1,
            gamma=1.1,
            ratio=2.0,
            params=1000,
            accuracies=(mean,),
            mean=mean,
            error=0.5,
            probability=probability,
            equal=probability > 0.1,
        )

    report = ScalingReport(
        data="photos",
        base="b0",
        rows=[row(1.2, 40, 0.1), row(1.3, 45, 0.9)],
        chosen=1,
        ranges={"alpha": (1.3, 1.3), "beta": (1.1, 1.1), "gamma": (1.1, 1.1)},
        spread={"alpha": 0.03, "beta": 0.0, "gamma": 0.0},
        deviation=0.9,
        epochs=8,
        seeds=3,
        seconds=100,
        command="effnet scale --coefficients c.json --phi 0..3",
    )
    page = scaling_study.render(report)
    assert "probability of 90 %" in page and "effnet scale --coefficients c.json" in page
    assert page.index("45.00") < page.rindex("40.00")
    assert "nothing is known of the spread" in scaling_study.render(dataclasses.replace(report, seeds=1))

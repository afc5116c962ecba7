"""`effnet compare`: networks side by side, and the papers' figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from effnet.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_the_table_has_what_each_network_costs_and_scored(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "b0", "swin_t")
    assert status == 0
    b0 = next(line for line in out.splitlines() if line.startswith("efficientnet_b0 "))
    assert b0.split() == ["efficientnet_b0", "IMAGENET1K_V1", "5.29M", "0.386G", "6.75M", "224", "~21.3", "MB", "77.7"]
    assert "Pareto front" in out


def test_json_chart_and_page_are_of_the_same_networks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    chart, page = tmp_path / "c.svg", tmp_path / "c.html"
    status, out, _ = run(capsys, "b0", "b1", "--json", "--chart", str(chart), "--html", str(page), "--x", "params")
    assert status == 0
    data = json.loads(out)
    assert [row["params"] for row in data["networks"]] == [5288548, 7794184]
    assert data["pareto"]["params"] == ["efficientnet_b0", "efficientnet_b1"]
    assert "parameters (millions)" in chart.read_text()
    assert "efficientnet_b1" in page.read_text()


def test_a_paper_s_figure_is_one_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    chart = tmp_path / "f.svg"
    status, out, _ = run(capsys, "--figure", "v2-figure-1", "--chart", str(chart))
    assert status == 0
    assert "V2-XL" in chart.read_text()
    assert "V2 Figure 1" in out
    data = json.loads(run(capsys, "--figure", "v2-figure-1", "--json")[1])
    assert data["x_unit"] == "days"


def test_the_papers_tables_are_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--tables")
    assert status == 0
    b1 = next(line for line in out.splitlines() if line.startswith("B1 "))
    assert b1.split() == ["B1", "1", "240", "7.79M", "79.1", "79.8", "@", "240", "258", "px", "9.11M"]
    v2_l = next(line for line in out.splitlines() if line.startswith("V2-L"))
    assert v2_l.split() == ["V2-L", "480", "118.52M", "85.7", "85.8", "@", "480", "1.00", "5.8x"]
    assert max(map(len, out.splitlines())) <= 80
    data = json.loads(run(capsys, "--tables", "--json")[1])
    assert [row["paper_top1"] for row in data["v1"]] == [77.1, 79.1, 80.1, 81.6, 82.9, 83.6, 84.0, 84.3]
    assert [row["params"] for row in data["v2"]] == [21458488, 54139356, 118515272]


def test_measuring_adds_latency_throughput_and_memory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ("--resolution", "32", "--rounds", "3", "--batch", "2", "--threads", "1", "--device", "cpu")
    status, out, _ = run(capsys, "lite0", "swin_t", "--measure", "--json", *options)
    assert status == 0
    lite0, swin = json.loads(out)["networks"]
    assert swin["measured"] is None
    measured = lite0["measured"]
    assert 0 < measured["low_ms"] <= measured["latency_ms"] <= measured["high_ms"]
    assert measured["images_per_s"] > 0
    assert measured["peak_bytes"] is None or measured["peak_bytes"] > lite0["params"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("b99",),
        ("--figure", "v9"),
        ("b0", "--figure", "v1-figure-1"),
        ("b0", "--tables"),
        ("--tables", "--figure", "v1-figure-1"),
        ("b0", "--chart", "x.bmp"),
        ("b0", "--x", "latency"),
        ("b0", "--x", "weight"),
        ("b0", "--resolution", "0"),
        ("b0", "--measure", "--rounds", "0"),
        ("b0", "--measure", "--device", "quux"),
    ],
)
def test_wrong_requests_end_in_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert "Fix: " in err
    assert err.count("\n") == 1

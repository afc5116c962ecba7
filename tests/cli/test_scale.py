"""`effnet scale`: the curve, one axis, budgets, files, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from effnet.cli import main
from effnet.cost import cost
from effnet.families import find
from effnet.inference import latency
from effnet.scaling import compound, scale
from effnet.spec import NetworkSpec


class Outcome:
    def __init__(self, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
        with pytest.raises(SystemExit) as stop:
            main(["scale", *arguments])
        self.status = stop.value.code
        self.out, self.err = capsys.readouterr()

    @property
    def data(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: Outcome(capsys, arguments)


def test_the_paper_s_curve(run: Any) -> None:
    data = run("--phi", "0..7", "--json").data
    assert [point["phi"] for point in data["points"]] == list(range(8))
    assert [point["resolution"] for point in data["points"]] == [224, 258, 296, 341, 392, 451, 518, 596]
    assert data["coefficients"]["product"] == pytest.approx(1.92, abs=1e-3)
    assert data["coefficients"]["warning"] is None
    first, second = data["points"][:2]
    assert first["nearest_released"]["name"] == "efficientnet_b0"
    assert set(first["nearest_released"]["differences"].values()) == {0}
    assert second["nearest_released"]["name"] == "efficientnet_b2"
    assert second["nearest_released"]["differences"]["macs"] == pytest.approx(-0.00094, abs=1e-5)


def test_the_released_coefficients_lie_beside_the_curve(run: Any) -> None:
    """The implied phi of every coefficient, as the facts of V1's table give them."""
    rows = {row["name"]: row for row in run("--json").data["released"]}
    expected = {
        "efficientnet_b1": (0.52, 0.00, 0.49, 1.26),
        "efficientnet_b2": (1.00, 1.00, 1.07, 1.96),
        "efficientnet_b3": (1.85, 1.91, 2.09, 3.62),
        "efficientnet_b4": (3.22, 3.53, 3.78, 10.15),
        "efficientnet_b5": (4.32, 4.93, 5.09, 23.34),
        "efficientnet_b6": (5.24, 6.17, 6.14, 46.80),
        "efficientnet_b7": (6.21, 7.27, 7.05, 88.97),
        "efficientnet_b8": (7.03, 8.27, 7.86, 156.82),
        "efficientnet_l2": (9.15, 15.30, 9.11, 1249.96),
    }
    for name, numbers in expected.items():
        phi = rows[name]["implied_phi"]
        found = (phi["depth"], phi["width"], phi["resolution"], rows[name]["product"])
        assert found == pytest.approx(numbers, abs=0.006), name


def test_the_table_says_why_the_release_differs(run: Any) -> None:
    done = run()
    assert done.status == 0
    for text in ("alpha * beta^2 * gamma^2 = 1.920", "efficientnet_b7", "rounded by hand", "39.664G"):
        assert text in done.out


def test_any_phi_in_any_list(run: Any) -> None:
    points = run("--phi", "0,0.5,-1", "--json").data["points"]
    assert [point["phi"] for point in points] == [0, 0.5, -1]
    assert points[2]["macs"] < points[0]["macs"] < points[1]["macs"]
    assert run("--phi=-2..0", "--json").data["points"][0]["phi"] == -2


def test_other_coefficients_and_their_warning(run: Any, tmp_path: Path) -> None:
    done = run("--alpha", "3", "--phi", "1")
    assert "warning: alpha*beta^2*gamma^2 = 4.801" in done.out
    file = tmp_path / "bases.json"
    file.write_text('{"alpha": 1.3, "beta": 1.05, "gamma": 1.2}')
    data = run("--coefficients", str(file), "--phi", "2", "--json").data
    assert data["points"][0]["macs"] == cost(compound(find("b0"), 2, 1.3, 1.05, 1.2)).macs


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"alpha": 1.2}', '{"alpha": "x", "beta": 1, "gamma": 1}'])
def test_damaged_coefficients_are_refused(run: Any, tmp_path: Path, text: str) -> None:
    file = tmp_path / "bases.json"
    file.write_text(text)
    done = run("--coefficients", str(file))
    assert (done.status, done.out) == (2, "")
    assert str(file) in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("axis", ["width", "depth", "resolution"])
def test_one_axis_alone(run: Any, axis: str) -> None:
    points = run(f"--{axis}", "1,1.4,1.8", "--json").data["points"]
    expected = [cost(scale(find("b0"), **{axis: factor})).macs for factor in (1, 1.4, 1.8)]
    assert [point["macs"] for point in points] == expected


def test_axes_together_and_both_roundings(run: Any) -> None:
    """V1 rounds B3's first stage to 24 channels, V2's rule to 16."""
    both = {
        limit: run("--width", "1.2", "--depth", "1.4", "--round-limit", limit, "--json").data["points"][0]
        for limit in ("0.9", "0")
    }
    assert (both["0.9"]["stage_channels"][0], both["0"]["stage_channels"][0]) == (24, 16)
    assert (both["0.9"]["params"], both["0"]["params"]) == (12_233_232, 12_227_212)


def test_a_budget_has_two_answers(run: Any) -> None:
    limits = ("--max-macs", "1G", "--max-params", "10M", "--max-memory", "64MB")
    data = run(*limits, "--json").data
    for answer in (data["curve"], data["published"]):
        assert answer["macs"] <= 10**9
        assert answer["params"] <= 10**7
        assert answer["memory_bytes"] <= 64 * 10**6
    assert data["curve"]["limited_by"] == ["max_macs"]
    assert data["published"]["weights"] == "tf_efficientnet_b2.ns_jft_in1k"
    text = run(*limits).out
    assert "on the compound curve: phi 1.03" in text
    assert "limited by max_macs" in text
    assert "released: tf_efficientnet_b2.ns_jft_in1k" in text


def test_a_budget_that_only_the_curve_can_keep(run: Any) -> None:
    data = run("--max-params", "2M", "--json").data
    assert data["curve"]["params"] <= 2_000_000
    assert data["published"] is None
    assert "raise max_params to 3887038" in data["published_error"]


def test_an_impossible_budget_fails(run: Any) -> None:
    done = run("--max-params", "10")
    assert (done.status, done.out) == (1, "")
    assert "741k parameters" in done.err


def test_latency_is_measured_where_asked(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def measure(spec: NetworkSpec, **options: Any) -> latency.LatencyMeasurement:
        asked.append(options)
        milliseconds = cost(spec).macs / 1e7
        return latency.LatencyMeasurement(
            median_ms=milliseconds,
            low_ms=milliseconds,
            high_ms=milliseconds,
            runs=1,
            resolution=spec.resolution,
            batch=options["batch"],
            threads=1,
            device="cpu",
            machine="test",
        )

    monkeypatch.setattr(latency, "measure_latency", measure)
    data = run("--max-latency-ms", "40", "--device", "cpu", "--threads", "1", "--batch", "2", "--json").data
    assert data["curve"]["latency_ms"] <= 40
    assert data["published"]["latency_ms"] <= 40
    assert data["curve"]["limited_by"] == ["max_latency_ms"]
    assert all(options == {"batch": 2, "threads": 1, "device": "cpu"} for options in asked)


def test_the_spec_can_be_printed_written_and_read_back(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    done = run("--phi", "1.5", "--output", str(file))
    assert done.status == 0
    assert NetworkSpec.from_json(file.read_text()) == compound(find("b0"), 1.5)
    printed = run(str(file), "--phi", "1", "--print-spec")
    assert NetworkSpec.from_json(printed.out) == compound(compound(find("b0"), 1.5), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["network.json"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--phi", "1", "--width", "2"),
        ("--phi", "1", "--max-macs", "1G"),
        ("--width", "2", "--max-macs", "1G"),
        ("--width", "2", "--alpha", "1.2"),
        ("--coefficients", "x.json", "--alpha", "1.2"),
        ("--phi", "1", "--print-spec", "--json"),
        ("--phi", "0..3", "--print-spec"),
        ("--width", "1,2", "--depth", "1,2"),
        ("--resolution", "260"),
        ("--width", "0"),
        ("--phi", "x"),
        ("--phi", "7..0"),
        ("--phi", "0..999999"),
        ("--phi", "1000"),
        ("--phi", ""),
        ("--max-params", "ten"),
        ("--max-memory", "64M"),
        ("--max-latency-ms", "-1"),
        ("--threads", "2", "--max-macs", "1G"),
        ("--max-memory", "1MB", "--dtype", "flaot16"),
        ("--coefficients", "no-such-file.json"),
        ("b3", "--round-limit", "0"),
        ("no-such-model",),
        ("no-such-file.json",),
        ("--phi", "1.5", "--output", "no/such/folder/x.json"),
    ],
)
def test_wrong_requests_end_in_one_line(run: Any, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("effnet: ")
    assert "Fix: " in done.err
    assert done.err.count("\n") == 1

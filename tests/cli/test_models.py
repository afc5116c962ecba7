"""`effnet models`: every published network, filtered, sorted, for people and for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from effnet.cli import main
from effnet.cost import cost
from effnet.families import find, names
from effnet.weights.published import published


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["models", *arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    rows: list[dict[str, Any]] = json.loads(out)
    return rows


def test_json_is_a_list_of_every_network(capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(capsys)
    assert tuple(row["name"] for row in rows) == names()
    for row in rows:
        spec = find(row["name"])
        counted = cost(spec)
        assert (row["params"], row["macs"], row["activations"]) == (counted.params, counted.macs, counted.activations)
        assert (row["train_resolution"], row["eval_resolution"]) == (spec.train_resolution, spec.resolution)
        assert row["default_weights"] in row["weights"]
        assert row["family"] == spec.family
        assert all(key == key.lower() and "-" not in key for key in row)


def test_coefficients_are_the_released_ones(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in listed(capsys)}
    assert (rows["efficientnet_b4"]["width"], rows["efficientnet_b4"]["depth"]) == (1.4, 1.8)
    assert (rows["efficientnetv2_s"]["width"], rows["efficientnetv2_s"]["depth"]) == (1, 1)


def test_top1_is_that_of_the_default_weights_with_its_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    row = listed(capsys, "efficientnet_b0")[0]
    default = published("b0").default
    assert (row["top1"], row["top5"], row["top1_resolution"]) == (77.692, 93.532, 224)
    assert row["top1_recipe"] == default.accuracy[0].recipe
    assert len(row["published"]) == len(published("b0").accuracy)
    assert {"recipe", "source", "top1", "top5", "resolution", "weights"} <= set(row["published"][0])


def test_the_table_has_every_name_and_human_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys)
    assert status == 0
    assert all(name in out for name in names())
    line = next(line for line in out.splitlines() if line.startswith("efficientnet_b0 "))
    for text in ("5.29M", "0.386G", "224 / 224", "77.7 @ 224"):
        assert text in line


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("b?", [f"efficientnet_b{i}" for i in range(9)]),
        ("v2_?", [f"efficientnetv2_{size}" for size in "sml"]),
        ("lite", [f"efficientnet_lite{i}" for i in range(5)]),
        ("ResNet-50", ["resnet50"]),
        ("tf_efficientnet_es", ["efficientnet_edgetpu_s"]),
        ("resnet*", [name for name in names() if name.startswith("resnet")]),
    ],
)
def test_patterns(capsys: pytest.CaptureFixture[str], pattern: str, found: list[str]) -> None:
    assert [row["name"] for row in listed(capsys, pattern) if "b" not in pattern or "v2_b" not in row["name"]] == found


def test_families_and_orders(capsys: pytest.CaptureFixture[str]) -> None:
    v2 = listed(capsys, "--family", "efficientnet-v2", "--sort", "params")
    assert {row["family"] for row in v2} == {"efficientnet-v2"}
    assert [row["params"] for row in v2] == sorted(row["params"] for row in v2)
    best = listed(capsys, "--sort", "top1")
    assert best[0]["name"] == "efficientnet_l2"
    assert [row["top1"] for row in best] == sorted((row["top1"] for row in best), reverse=True)
    assert listed(capsys, "--sort", "resolution")[-1]["name"] == "efficientnet_l2"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("zzzzzz",), "effnet models"),
        (("efficentnet_b3",), "efficientnet_b3"),
        (("--family", "efficientnet-v3"), "efficientnet-v2"),
        (("--sort", "param"), "params"),
        (("resnet", "--family", "mnasnet"), "--family"),
    ],
)
def test_wrong_requests_say_what_there_is(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1

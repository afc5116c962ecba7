"""The rows of the papers' comparisons are what the facts sheet copied from the papers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from effnet.comparison import others
from effnet.comparison.figures import V1_TABLE
from effnet.errors import InputError


def test_every_row_cites_its_source_and_is_found_in_any_spelling() -> None:
    rows = others.others()
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        assert row.source
        assert others.find(row.name.replace("_", "-").upper()) == row
    assert {row.label for row in rows} >= {
        "SENet",
        "NASNet-A",
        "AmoebaNet-C",
        "GPipe",
        "Swin-T",
        "ConvNeXt-L",
        "DenseNet-264",
    }


def test_an_unknown_row_is_refused() -> None:
    assert not others.has("b0")
    with pytest.raises(InputError):
        others.find("resnet-9000")


def test_flops_with_two_operations_a_mac_are_halved() -> None:
    row = others.find("resnet_rs_152")
    assert row.macs == 15_500_000_000
    assert "halved" in (row.note or "")


@pytest.mark.shared
def test_rows_are_those_of_the_facts_sheet(shared: Path) -> None:
    facts = (shared / "reference" / "efficientnet-facts.md").read_text("utf-8")
    table = facts.split("| model (V1 Table 2)")[1].split("\n\n")[0]
    cells = [c.strip() for line in table.splitlines()[2:] for c in line.strip("|").split("|")]
    printed = {name: values for name, *values in zip(*[iter(cells)] * 5, strict=True)}
    mine = {row.label: row for row in others.others() if row.source == V1_TABLE}
    assert set(printed) == set(mine)
    for name, (top1, top5, params, flops) in printed.items():
        row = mine[name]
        assert (row.top1, row.top5) == (float(top1), float(top5))
        assert row.params == int(params.removesuffix("M")) * 10**6
        assert row.macs == (None if flops == "-" else round(float(flops.removesuffix("B")) * 1e9))


@pytest.mark.shared
def test_training_rows_are_those_of_the_facts_sheet(shared: Path) -> None:
    facts = (shared / "reference" / "efficientnet-facts.md").read_text("utf-8")
    line = next(line for line in facts.splitlines() if line.startswith("V2 Table 7 values"))
    hours = {name: float(h) for name, h in re.findall(r"(B4|V2-S|B7|V2-M|V2-L) ([\d.]+) h", line)}
    assert len(hours) == 5
    rows = {row.label: row for row in others.training_rows() if row.extra_data is None}
    for name, spent in hours.items():
        assert rows[name].days == pytest.approx(spent / 24, abs=1e-3)
    models = {m["name"]: m for m in json.loads((shared / "reference" / "models.json").read_text("utf-8"))}
    for row in others.training_rows():
        known = {float(v) for v in models[row.name]["top1"].values() if v is not None}
        assert row.top1 in known, row
        assert row.params == models[row.name]["params"]["timm"]

"""The README's numbers are the catalogue's."""

import re
import tomllib
from pathlib import Path

import pytest

from effnet.cost import cost
from effnet.families import find, names
from effnet.weights.published import default

ROOT = Path(__file__).resolve().parents[2]


def rows(readme: str) -> dict[str, list[str]]:
    """Return the cells of the variants table by name."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    table = text.split("<!-- variants:begin -->")[1].split("<!-- variants:end -->")[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_the_table_is_exact(readme: str) -> None:
    table = rows(readme)
    assert list(table) == list(names())
    for name, (params, macs, sides, top1, tag) in table.items():
        spec, weights = find(name), default(name)
        counted = cost(spec)
        assert int(params.replace(",", "")) == counted.params
        assert float(macs) == pytest.approx(counted.macs / 1e9, abs=6e-4)
        assert sides == f"{spec.train_resolution} / {spec.resolution}"
        accuracy = weights.accuracy[0]
        assert top1 == f"{accuracy.top1:.1f} @ {accuracy.resolution}"
        assert tag.strip("`") == weights.tag


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_links_lead_somewhere(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (ROOT / link).exists(), link


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_every_extra_is_named(readme: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / readme).read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z]+)`", text.split("| extra |")[1].split("\n\n")[0]))
    assert set(project["optional-dependencies"]) == named

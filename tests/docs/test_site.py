"""The site builds strictly, its benchmarks are the committed ones, and every relative link leads somewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.docs.blocks import ROOT, pages

PAGES = [page for page in pages() if not page.startswith("docs/source/")]


def load(name: str) -> ModuleType:
    """Return a script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_builds(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("mkdocs")), "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert "복합 스케일링" in (site / "ko" / "index.html").read_text(encoding="utf-8")
    shown = (site / "source" / "src" / "effnet" / "scaling.py" / "index.html").read_text(encoding="utf-8")
    assert "round_channels" in shown  # links to the code lead to the code
    home = (site / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//(?!squidfunk)[^\"' >]*\.(?:css|js|woff2?)", home)


def test_benchmarks_are_the_committed_ones() -> None:
    script = load("benchmarks_page")
    current = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert current == script.page(script.read()), "run: python docs/benchmarks_page.py"


@pytest.mark.parametrize(
    ("results", "shows"),
    [
        (
            {"what": "speed of it", "machine": {"processor": "P", "cores": 2}, "ms": {"ours": 1.25}},
            "| ms / ours | 1.25 |",
        ),
        ({"rows": [{"a": 1, "b": True}, {"a": 2}]}, "| 1 | yes |"),
        ({"times": list(range(1, 101))}, "100 values, median 50.5 (1 to 100)"),
        ({"passed": False}, "| passed | no |"),
        ({"command": "effnet study axes cifar10:../somewhere/else/c.tar.gz"}, "`effnet study axes cifar10:c.tar.gz`"),
    ],
)
def test_a_results_file_becomes_a_section(results: dict[str, Any], shows: str) -> None:
    assert shows in load("benchmarks_page").section("some_file", json.loads(json.dumps(results)))


def test_every_page_is_in_the_navigation() -> None:
    """Pages at the top of docs/ come under Guides by themselves; those in folders are listed."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/-]+\.md", json.dumps(yaml.safe_load(text)["nav"], ensure_ascii=False)))
    there = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert listed <= there
    assert {page for page in there - listed if "/" in page} == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        path = link.partition("#")[0]
        if path and not link.startswith(("https://", "mailto:")):
            assert ((ROOT / page).parent / path).exists(), link


def test_tutorials_are_in_korean_too() -> None:
    english = {path.name for path in (ROOT / "docs" / "tutorials").glob("*.md")}
    korean = {path.name for path in (ROOT / "docs" / "ko" / "tutorials").glob("*.md")}
    assert english == korean


def test_the_korean_readme_is_current() -> None:
    """Every row of what can be done has its Korean one, in the same order with the same code."""

    def rows(readme: str, head: str) -> list[list[str]]:
        text = (ROOT / readme).read_text(encoding="utf-8")
        lines = text[text.index(head) :].split("\n\n")[0].splitlines()[2:]
        return [re.findall(r"`[^`]+`", line) for line in lines]

    assert rows("README.ko.md", "| 하고 싶은 일 |") == rows("README.md", "| You want to |")

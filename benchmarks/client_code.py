"""Other libraries' own tests, run on effnet with only their import changed.

    python benchmarks/client_code.py PEERS [--suite timm] [--out client_code.json]

PEERS is a folder with checkouts of the peers' repositories, each under the folder name that `SUITES` says; nothing of
theirs is kept here. A suite whose checkout is not there is told as such. The peers themselves must be importable where
their tests need them (timm's use timm's own list of untraceable modules): from the checkout, or installed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from machine import describe

NETWORK = "needs the network"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One peer's test files.

    Attributes:
        peer: whose.
        folder: of its checkout, inside PEERS.
        commit: of the repository that the figures were measured with.
        files: test files, from the checkout's root.
        imports: regular expressions over a file's text, and what stands there instead.
        only: regular expression that a test's name with its parameters must match.
        left_out: regular expressions of tests that are not run, and why.
    """

    peer: str
    folder: str
    commit: str
    files: tuple[str, ...]
    imports: Mapping[str, str]
    only: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)


SUITES = (
    Suite(
        peer="timm",
        folder="pytorch-image-models",
        commit="aa4b585",
        files=("tests/test_models.py",),
        imports={
            r"from timm import list_models, list_pretrained, create_model,": (
                "from effnet.timm import create_model, list_models\nfrom timm import list_pretrained,"
            ),
        },
        only=(
            r"-(efficientnet_b0|tf_efficientnet_b0|efficientnet_lite0|tf_efficientnetv2_b0|tf_efficientnet_es"
            r"|semnasnet_100|resnet18)(\.\w+)?\]"
        ),
        left_out={r"^test_model_(inference|load_pretrained|features_pretrained)": NETWORK},
    ),
    Suite(
        peer="geffnet",
        folder="gen-efficientnet-pytorch",
        commit="771ce08",
        files=("hubconf.py",),
        imports={
            r"(?m)^from geffnet import (\w+).*$": (
                "def test_\\1():\n    import effnet.timm\n    assert callable(effnet.timm.\\1)\n"
            ),
        },
        only=r"efficientnet|mnasnet_a1",
    ),
    Suite(
        peer="lukemelas",
        folder="EfficientNet-PyTorch",
        commit="7e8b0d3",
        files=("tests/test_model.py",),
        imports={r"from efficientnet_pytorch import EfficientNet": "from effnet import EfficientNet"},
        left_out={r"-True[-\]]": NETWORK},
    ),
)

_CONFTEST = """
import json, os, re
import pytest

PLAN = json.loads(os.environ["CLIENT_CODE_PLAN"])


def pytest_collection_modifyitems(config, items):
    chosen, dropped = [], []
    for item in items:
        kept = re.search(PLAN["only"], item.name) and not any(re.search(p, item.name) for p in PLAN["left_out"])
        (chosen if kept else dropped).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=dropped)
"""


def run(suite: Suite, checkout: Path, seconds: float) -> dict[str, object]:
    """Return counts by outcome, and the first line of each failure, of one suite."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        names = []
        for file in suite.files:
            text = (checkout / file).read_text(encoding="utf-8")
            for pattern, instead in suite.imports.items():
                text, found = re.subn(pattern, instead, text)
                if not found:
                    raise SystemExit(f"{checkout / file}: nothing matches {pattern!r}; is it commit {suite.commit}?")
            name = f"test_{Path(file).stem.removeprefix('test_')}.py"
            (place / name).write_text(text, encoding="utf-8")
            names.append(name)
        (place / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
        (place / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        plan = json.dumps({"only": suite.only, "left_out": list(suite.left_out)})
        paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"CLIENT_CODE_PLAN": plan, "PYTHONPATH": os.pathsep.join(paths)}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:xdist",
            "-p",
            "no:cacheprovider",
            "--junitxml=out.xml",
        ]
        done = subprocess.run(
            [*command, *names], cwd=place, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        if not (place / "out.xml").exists():
            raise SystemExit(f"{suite.peer}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return _counted((place / "out.xml").read_text(encoding="utf-8"))


def _counted(report: str) -> dict[str, object]:
    outcomes: Counter[str] = Counter()
    failures: dict[str, str] = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        outcome = "failed" if bad is not None else "skipped" if case.find("skipped") is not None else "passed"
        outcomes[outcome] += 1
        if bad is not None:
            failures[case.get("name", "")] = (bad.get("message") or "").partition("\n")[0][:200]
    return {
        "passed": outcomes["passed"],
        "failed": outcomes["failed"],
        "skipped": outcomes["skipped"],
        "failures": failures,
    }


def main() -> None:
    """Run the suites whose checkouts are there, print their counts and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peers", type=Path, help="folder with the peers' checkouts")
    parser.add_argument("--suite", action="append", choices=[suite.peer for suite in SUITES], help="only this peer's")
    parser.add_argument("--seconds", type=float, default=1800, help="limit for a suite")
    parser.add_argument("--out", type=Path, help="write the counts there as JSON")
    options = parser.parse_args()
    results: dict[str, object] = {}
    for suite in SUITES:
        if options.suite and suite.peer not in options.suite:
            continue
        checkout = options.peers / suite.folder
        if not checkout.is_dir():
            print(f"{suite.peer:<12} no {checkout}")
            continue
        counts = run(suite, checkout, options.seconds)
        results[suite.peer] = {**counts, "suite": asdict(suite)}
        print(f"{suite.peer:<12} {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
        for name, why in counts["failures"].items():  # type: ignore[attr-defined]
            print(f"    {name}: {why}")
        for pattern, why in suite.left_out.items():
            print(f"    left out: {pattern}: {why}")
    if options.out is not None:
        options.out.write_text(json.dumps({"machine": describe("torch"), "suites": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Runs tests/kernels/interpreted in a process whose Triton interprets: the variable must be set before its import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "interpreted"
pytest.importorskip("triton", reason="Triton has no wheel for this system")


@pytest.mark.parametrize("file", ["test_kernels.py", "test_launching.py", "test_networks.py"])
def test_interpreted(file: str) -> None:
    run(file, 280)


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
@pytest.mark.skipif("EFFNET_SLOW_KERNELS" not in os.environ, reason="an hour; asked for with EFFNET_SLOW_KERNELS=1")
def test_whole_networks_interpreted() -> None:
    run("test_whole_networks.py", 3 * 3600)


def test_no_interpreted_file_is_forgotten() -> None:
    assert {path.name for path in FOLDER.glob("test_*.py")} == {
        "test_kernels.py",
        "test_launching.py",
        "test_networks.py",
        "test_whole_networks.py",
    }


def run(file: str, seconds: int) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    # This process may be a worker of a parallel run; the inner one is a run of its own.
    for name in [name for name in environment if name.startswith(("PYTEST_", "COV_CORE_"))]:
        del environment[name]
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", str(FOLDER / file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout, done.stdout

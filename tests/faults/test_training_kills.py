from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_thirty_random_kills_change_nothing() -> None:
    command = [sys.executable, "-m", "tests.faults.kills", "--kills", "30", "--seed", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["kills"] == 30
    assert result["bit_exact_runs"] == result["runs"]
    assert len(set(result["steps_at_kill"])) > 3  # they fell into different places

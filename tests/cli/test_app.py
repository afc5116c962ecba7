"""The command as a person meets it: help, version, exit statuses, one-line errors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from effnet.cli.app import VERBS


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "effnet.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_help_lists_every_verb() -> None:
    done = run("--help")
    assert done.returncode == 0
    for verb in VERBS:
        assert verb in done.stdout


def test_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("effnet ")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["nonsense"], 2),
        (["summary"], 2),
        (["summary", "b9"], 2),
        (["summary", "b0", "--resolution", "0"], 2),
        (["summary", "b0", "--set", "stage9.kernel=5"], 2),
        (["summary", "b0", "--set", "stage1.kernel=4"], 2),
        (["models", "--nonsense"], 2),
        (["scale", "--phi", "x"], 2),
        (["scale", "--max-params", "10"], 1),
        (["weights", "info", "no-such-tag"], 2),
        (["predict", "lite0", "no-such-file.jpg"], 2),
        (["predict", "no-such-model", "x.jpg"], 2),
    ],
)
def test_wrong_requests_end_in_one_line(arguments: list[str], status: int) -> None:
    done = run(*arguments)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if arguments != ["nonsense"] and arguments[-1] != "--nonsense" and arguments != ["summary"]:
        assert done.stderr.startswith("effnet: ")
        assert done.stderr.count("\n") == 1
        assert "Fix: " in done.stderr


def test_unknown_models_suggest_the_nearest() -> None:
    assert "efficientnet_b0" in run("summary", "efficentnet-b0").stderr


def test_a_reader_that_goes_away_is_not_an_error() -> None:
    command = f"{sys.executable} -m effnet.cli models --json | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr

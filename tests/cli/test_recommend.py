"""`effnet recommend`: a ranked list with reasons, sources and commands."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from effnet.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["recommend", *arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_the_list_has_reasons_sources_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--goal", "best", "--count", "2")
    assert status == 0
    for words in (
        "1. B7",
        "2. B6",
        "the lecture's guide: B5-B7",
        "effnet train DATA --model b7",
        "native 600 px",
        "V2-M",
    ):
        assert words in out


def test_limits_and_numbers_reach_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    limits = ("--max-params", "10M", "--max-macs", "1G", "--max-memory", "64MB")
    facts = ("--images", "9000", "--classes", "10", "--image-side", "500", "--target", "gpu", "--trained-on", "gpu")
    status, out, _ = run(capsys, *limits, *facts, "--json")
    assert status == 0
    data = json.loads(out)
    assert data["situation"]["max_macs"] == 10**9
    assert data["situation"]["image_side"] == 500
    assert all(choice["params"] <= 10**7 for choice in data["choices"])


def test_the_images_answer_for_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    status, out, _ = run(capsys, "--data", "digits", "--json")
    assert status == 0
    data = json.loads(out)
    assert data["situation"]["classes"] == 10
    assert data["situation"]["image_side"] == 8
    assert "--resolution 96" in data["choices"][0]["train"]


def test_latency_is_measured_here(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--max-latency-ms", "1e6", "--count", "1", "--goal", "prototype", "--threads", "1", "--device", "cpu")
    status, out, _ = run(capsys, *options, "--json")
    assert status == 0
    assert json.loads(out)["choices"][0]["latency_ms"] > 0


def test_every_command_it_prints_is_one_that_the_command_line_takes(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from effnet.cli.app import _build

    requests = (
        ("--goal", "fast-training"),
        ("--images", "50000", "--image-side", "32"),
        ("--image-side", "32", "--target", "mobile"),
        ("--target", "cpu", "--max-train-hours", "1e9", "--images", "9", "--device", "cpu"),
    )
    for arguments in requests:
        for choice in json.loads(run(capsys, *arguments, "--json", "--count", "1")[1])["choices"]:
            for command in (choice["train"], choice["export"]):
                program, verb, *rest = shlex.split(command)
                assert program == "effnet"
                typer.main.get_command(_build([verb])).make_context(verb, rest)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--goal", "fastest"),
        ("--target", "toaster"),
        ("--max-params", "many"),
        ("--images", "0"),
        ("--data", "no-such-folder"),
        ("--data", "digits", "--images", "3"),
        ("--try",),
        ("--max-train-hours", "1"),
        ("--resume", "no-such-run"),
        ("--resume", "x", "--try"),
        ("--count", "0"),
    ],
)
def test_wrong_requests_end_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert "Fix: " in err
    assert err.count("\n") == 1

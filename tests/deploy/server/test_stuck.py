"""Models that do not come back, when they are opened and when they run: what goes on meanwhile, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from effnet.deploy.bundle import write_bundle
from effnet.deploy.server.trial import try_bundle
from effnet.errors import WeightsError
from tests.deploy.exported import tiny_bundle
from tests.deploy.server.endless import endless_bundle
from tests.deploy.server.running import ROOT, jpeg, running


def test_a_reload_that_does_not_come_back_blocks_neither_the_next_nor_the_end(tmp_path: Path) -> None:
    name = tmp_path / "name"
    name.write_text("first")
    with running("--name-file", str(name), "--set", "decoders=1", "--set", "opening_seconds=1.0") as server:
        name.write_text("endless")
        server.process.send_signal(signal.SIGHUP)
        assert "within 1 s" in server.wait_for("reload_failed")
        assert server.predict(jpeg()).json()["model"] == "first"
        name.write_text("second")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reloaded model=second")
        assert server.predict(jpeg()).json()["model"] == "second"
        assert server.metric('effnet_reloads_total{result="failed"}') == 1
        name.write_text("endless")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10


def test_a_model_that_is_never_ready_ends_the_start(tmp_path: Path) -> None:
    name = tmp_path / "name"
    name.write_text("endless")
    code = ["-m", "tests.deploy.server.tiny_server", "--name-file", str(name), "--set", "opening_seconds=0.5"]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, *code], cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, timeout=60
    )
    assert ended.returncode == 1
    assert b"within 0.5 s" in ended.stderr


def test_an_engine_that_does_not_come_back_costs_its_requests_and_the_next_model_cures_it(tmp_path: Path) -> None:
    name = tmp_path / "name"
    name.write_text("tiny")
    # Twice six batches are run to measure it: sizes 1 and 2.
    arguments = ("--stuck-after", "13", "--set", "max_batch=2", "--set", "deadline=1.0", "--set", "decoders=1")
    with running("--name-file", str(name), *arguments) as server:
        assert server.predict(jpeg()).status_code == 200
        began = time.monotonic()
        assert server.predict(jpeg()).status_code == 504
        assert time.monotonic() - began < 8
        assert server.predict(jpeg()).status_code == 503
        assert server.get("/readyz").status_code == 503
        name.write_text("second")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reloaded model=second")
        assert server.predict(jpeg()).json()["model"] == "second"
        assert server.get("/readyz").status_code == 200
        assert server.stop() == 0


def test_a_bundle_is_tried_in_a_process_of_its_own(tmp_path: Path) -> None:
    good, bad = write_bundle(tiny_bundle(), tmp_path / "good.onnx"), tmp_path / "bad.onnx"
    try_bundle(good, seconds=60, threads=1)
    bad.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"bad\.onnx"):
        try_bundle(bad, seconds=60, threads=1)
    with pytest.raises(WeightsError):
        try_bundle(tmp_path / "missing.onnx", seconds=60)


def test_a_graph_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))
    try_bundle(write_bundle(endless_bundle(3), tmp_path / "three.onnx"), seconds=60, threads=1)
    began = time.monotonic()
    with pytest.raises(WeightsError, match="within 4 s"):
        try_bundle(write_bundle(endless_bundle(), tmp_path / "endless.onnx"), seconds=4, threads=1)
    assert time.monotonic() - began < 20


def test_what_ends_its_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(WeightsError, match="SIGSEGV"):
        try_bundle(tmp_path / "any.onnx", seconds=60)

"""Predictions are written whole or not at all, and no image, however broken, ends a run."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effnet.cli import main
from effnet.inference import rendering
from effnet.inference.predictor import load
from effnet.weights import atomic
from tests.tiny import save_tiny_model, tiny_network


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "tiny.safetensors")


def photograph(format_: str = "JPEG", side: int = 64) -> bytes:
    stream = io.BytesIO()
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(colours).resize((side, side)).save(stream, format_)
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it has 10 gigapixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = (100_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_no_damage_to_an_image_ends_the_run_or_changes_its_neighbours() -> None:
    good = photograph()
    generator = np.random.default_rng(1)
    broken: list[bytes] = [b"", b"\0", bomb(), b"GIF89a", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
    broken += [good[: int(cut)] for cut in generator.integers(1, len(good), 60)]
    for format_ in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        image = bytearray(photograph(format_, side=24))
        for _ in range(30):
            flipped = bytearray(image)
            for place in generator.integers(0, len(image), 4):
                flipped[place] ^= 1 << int(generator.integers(0, 8))
            broken.append(bytes(flipped))
    model = load(tiny_network(), device="cpu", threads=1, batch=4)
    wanted = {score.index for score in model.predict(good).scores}
    sources = [image for damaged in broken for image in (damaged, good)]
    predictions = list(model.predict_iter(sources))
    assert len(predictions) == len(sources)
    for prediction in predictions[1::2]:
        assert prediction.error is None
        assert {score.index for score in prediction.scores} == wanted
    for prediction in predictions[:3]:
        assert prediction.error is None or "\n" not in str(prediction.error)
    assert predictions[4].error is not None and "pixels" in str(predictions[4].error)


def test_a_file_that_vanishes_or_is_forbidden_costs_only_itself(tmp_path: Path) -> None:
    good = tmp_path / "good.jpg"
    good.write_bytes(photograph())
    folder, gone, loop = tmp_path / "folder.jpg", tmp_path / "gone.jpg", tmp_path / "loop.jpg"
    folder.mkdir()
    loop.symlink_to(loop)
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    paths: list[str | Path] = [good, folder, gone, loop, pipe, "nul\0byte.jpg", "x" * 5000, good]
    predictions = load(tiny_network(), device="cpu", threads=1).predict(paths)
    assert [prediction.error is None for prediction in predictions] == [True, *[False] * 6, True]


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["predict", *map(str, arguments), "--device", "cpu", "--threads", "1"])
    return int(stop.value.code or 0)


def test_a_full_disk_leaves_the_old_results_and_says_so(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph())
    results = tmp_path / "results.json"
    results.write_text("the old results")

    class FullDisk(io.StringIO):
        def write(self, text: str, /) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(rendering, "open_text", lambda _: FullDisk())
    assert run(model, tmp_path / "a.jpg", "--output", results) == 1
    assert results.read_text() == "the old results"
    assert "the disk is full" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"a.jpg", "results.json", "tiny.safetensors"}


def test_weights_that_give_no_numbers_leave_no_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph())
    (tmp_path / "broken").mkdir()
    broken = save_tiny_model(tmp_path / "broken" / "model.safetensors", gain=float("nan"))
    assert run(broken, tmp_path / "a.jpg", "--output", tmp_path / "out.json") == 1
    assert "not finite" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("moment", ["replace", "fsync"])
def test_a_failure_at_the_last_moment_leaves_the_old_results(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph())
    results = tmp_path / "results.csv"
    results.write_text("the old results")

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(atomic if moment == "replace" else os, moment, fails)
    assert run(model, tmp_path / "a.jpg", "--output", results) == 1
    assert results.read_text() == "the old results"


def test_an_interrupt_leaves_no_file_and_no_traceback(model: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\n".join([b"a.jpg"] * 200_000))
    (tmp_path / "a.jpg").write_bytes(photograph())
    command = [sys.executable, "-m", "effnet.cli", "predict", model.name, "--from-file", "list", "-o", "out.json"]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300  # a busy machine takes long to start; an interrupt before is another matter
    while time.monotonic() < deadline and not any(p.stat().st_size for p in tmp_path.glob(".out.json.*")):
        time.sleep(0.05)
    assert running.poll() is None and any(p.stat().st_size for p in tmp_path.glob(".out.json.*"))
    running.send_signal(signal.SIGINT)
    _, complaint = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in complaint
    assert not list(tmp_path.glob("*out.json*"))
    assert not list(tmp_path.glob(".out.json*"))


def test_a_reader_that_goes_away_is_not_an_error(model: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\n".join([b"a.jpg"] * 3000))
    (tmp_path / "a.jpg").write_bytes(photograph())
    command = f"{sys.executable} -m effnet.cli predict {model.name} --from-file list --json | head -n 2"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout.splitlines()[1].removesuffix(","))["source"] == "a.jpg"
    assert done.stderr == ""

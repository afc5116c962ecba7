"""`effnet serve` as a person starts it: a real bundle, its answers, its heat maps, its refusals."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import effnet
from effnet.deploy.bundle import write_bundle
from effnet.deploy.export import export
from effnet.deploy.native.compiling import compiler
from effnet.weights import modelfile
from tests.deploy.exported import tiny_bundle
from tests.deploy.server.running import ROOT, Running, jpeg, running
from tests.tiny import LABELS, save_tiny_model, tiny_network


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Graphs are fitted to this processor in a folder of the tests, not of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EFFNET_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tiny_bundle(), tmp_path_factory.mktemp("bundle") / "tiny.onnx")


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = save_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")
    arguments = ("serve", str(bundle), "--port", "0", "--threads", "1", "--decoders", "1", "--explain", str(model))
    with running(*arguments, program="effnet.cli") as one:
        yield one


def photograph() -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((320, 200)).save(out, "JPEG")
    return out.getvalue()


def test_the_answers_are_those_of_predict(server: Running, bundle: Path) -> None:
    expected = effnet.load(bundle).predict(photograph(), top=3).to_dict()["predictions"]
    answer = server.predict(photograph(), params={"top": 3}).json()["predictions"]
    assert [score["label"] for score in answer] == [score["label"] for score in expected]
    for got, wanted in zip(answer, expected, strict=True):
        assert got["probability"] == pytest.approx(wanted["probability"], abs=1e-6)


def test_the_banner_tells_what_runs_and_where(server: Running) -> None:
    banner = "\n".join(server.lines)
    assert "effnet serves tiny at http://127.0.0.1:" in banner
    assert "onnxruntime" in banner
    assert "spinning False" in banner
    assert "this machine only" in server.wait_for("access")


def test_heat_maps_show_the_whole_image(server: Running) -> None:
    assert server.get("/about").json()["explains"] is True
    for query in ("", "?class=1"):
        response = server.client.post(
            f"{server.url}/explain{query}", content=photograph(), headers={"Content-Type": "image/jpeg"}
        )
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(response.content)).size == (320, 200)
    assert server.client.post(f"{server.url}/explain?class=999", content=photograph()).status_code == 400
    assert server.client.post(f"{server.url}/explain", content=b"no image").status_code == 422


def test_a_reload_reads_the_file_again_and_refuses_a_damaged_one(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "served.onnx"
    shutil.copy(bundle, path)
    with running("serve", str(path), "--port", "0", "--decoders", "1", program="effnet.cli") as server:
        other = write_bundle(tiny_bundle(name="second"), tmp_path / "other.onnx")
        other.replace(path)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reloaded model=second")
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(path.read_bytes()[:-50])
        damaged.replace(path)
        server.process.send_signal(signal.SIGHUP)
        assert "serving=second" in server.wait_for("reload_failed")
        assert server.predict(jpeg()).json()["model"] == "second"
        assert server.stop() == 0


def test_a_bundle_of_the_native_format_is_served_with_the_same_answers(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler() is None:
        pytest.skip("there is no C++ compiler")
    base = tmp_path_factory.getbasetemp()  # what the tests of the engine have compiled is not compiled again
    monkeypatch.setenv("EFFNET_HOME", str((base.parent if "popen" in base.name else base) / "native"))
    model = save_tiny_model(tmp_path / "tiny.safetensors")
    path = tmp_path / "tiny.effnet"
    export(model, "native", path)
    with running("serve", str(path), "--port", "0", "--decoders", "1", program="effnet.cli") as server:
        assert "engine native" in server.wait_for("engine native")
        expected = effnet.load(model).predict(photograph(), top=3).to_dict()["predictions"]
        answer = server.predict(photograph(), params={"top": 3}).json()["predictions"]
        assert [score["label"] for score in answer] == [score["label"] for score in expected]
        for got, wanted in zip(answer, expected, strict=True):
            assert got["probability"] == pytest.approx(wanted["probability"], abs=1e-5)
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--host", "0.0.0.0"], "without a token"),
        (["--token", "short"], "shorter than 16"),
        (["--port", "70000"], "port is 70000"),
        (["--log", "xml"], "--log"),
        (["--engine", "nonsense"], "unknown engine"),
    ],
)
def test_wrong_requests_end_in_one_line(bundle: Path, arguments: list[str], what: str) -> None:
    done = start(str(bundle), "--port", "0", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert what in done.stderr
    assert "Fix: " in done.stderr


def test_no_bundle_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    assert start(str(tmp_path / "x.onnx")).returncode == 1
    assert start(str(tmp_path / "absent.onnx")).returncode == 2


def test_a_taken_port_is_one_line(bundle: Path, server: Running) -> None:
    done = start(str(bundle), "--port", str(server.port))
    assert done.returncode == 2
    assert "cannot listen" in done.stderr


def test_another_model_cannot_explain(bundle: Path, tmp_path: Path) -> None:
    network = tiny_network()
    assert network.preprocess is not None
    model = modelfile.save(
        tmp_path / "other.safetensors",
        modelfile.ModelFile(
            spec=network.spec, state=network.state_dict(), preprocess=network.preprocess, labels=LABELS[::-1]
        ),
    )
    done = start(str(bundle), "--port", "0", "--explain", str(model))
    assert done.returncode == 2
    assert "another model" in done.stderr


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "effnet.cli", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )

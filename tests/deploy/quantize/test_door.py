"""The gate: what passes is written with its proof, what does not is refused with the reason and leaves no file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effnet.cli import main
from effnet.data.source import Dataset
from effnet.deploy.bundle import open_bundle
from effnet.deploy.quantize import climbing
from effnet.deploy.quantize.door import GateError, Outcome, choose, quantize
from effnet.deploy.quantize.judging import Gate, Judgement
from effnet.deploy.quantize.samples import open_samples
from effnet.deploy.quantize.variants import Candidate
from effnet.errors import InputError, UnknownNameError
from effnet.nn import Network
from effnet.weights import modelfile
from tests.tiny import tiny_network
from tests.tiny_data import CLASSES, Colours, colours

pytest.importorskip("onnxruntime")

DATA = colours(48, 32)


def model() -> Network:
    network = tiny_network(classes=3)
    network.labels = CLASSES
    return network


def make(path: Path | None = None, **options: Any) -> Outcome:
    return quantize(model(), options.pop("data", DATA), path, **({"max_drop": 5, "method": "ptq"} | options))


def test_what_passes_is_written_with_its_proof(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    outcome = make(path)
    assert outcome.chosen is not None and outcome.chosen in outcome.candidates
    bundle = open_bundle(path)
    assert bundle.manifest.precision == "int8" and bundle.manifest.labels == CLASSES
    assert bundle.manifest.source["quantized"]["how"] == outcome.chosen.name
    certificate = bundle.certificate
    assert certificate is not None and certificate.passed and certificate.accuracy is not None
    assert certificate.accuracy.images == 32
    assert certificate.graph.macs == certificate.expected.macs
    assert certificate.operators["QuantizeLinear"] > 10
    plain = json.loads(json.dumps(outcome.to_dict()))
    assert plain["passed"] and len(plain["candidates"]) == 2
    assert any("bits" in note for note in plain["notes"])


def test_what_loses_too_much_is_refused_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch)
    with pytest.raises(GateError, match=r"drops by .* points, 0\.1 are allowed.*layers that lose most") as caught:
        make(tmp_path / "tiny.onnx", max_drop=0.1, method="mixed")
    assert list(tmp_path.iterdir()) == []
    outcome = caught.value.outcome
    assert outcome.chosen is None and outcome.bundle is None
    assert len(outcome.candidates) > 3  # 1, 2, 4 layers in float were tried
    assert outcome.sensitivities
    assert "--max-drop" in str(caught.value)


def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every int8 graph answer with another class for some images."""

    def worse(answers: Any, reference: Any, labels: Any) -> Judgement:
        answers = np.where(np.arange(len(answers))[:, None] % 3 == 0, -reference, answers)
        return Judgement.of(answers, reference, labels)

    class Spoilt:
        of = staticmethod(worse)

    monkeypatch.setattr(climbing, "Judgement", Spoilt)


def test_a_refusal_on_the_command_line_is_one_line_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch)
    arguments = command(tmp_path)
    assert run(*arguments, "--max-drop", "0", "--method", "ptq", "--report", str(tmp_path / "page.html")) == 1
    printed = capsys.readouterr()
    assert "refused" in printed.out
    assert printed.err.count("\n") == 1 and "Fix:" in printed.err
    assert not (tmp_path / "out.onnx").exists()
    assert "Refused" in (tmp_path / "page.html").read_text()


def test_the_command_line_writes_a_bundle_that_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command(tmp_path)
    assert run(*arguments, "--max-drop", "20", "--method", "ptq", "--json", "--report", str(tmp_path / "p.html")) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["passed"] and figures["file"] == str(tmp_path / "out.onnx")
    assert "Accuracy, latency and size" in (tmp_path / "p.html").read_text()
    assert run("predict", figures["file"], str(tmp_path / "images"), "--json") == 0
    assert run(*arguments, "--method", "pqt") == 2
    assert "ptq" in capsys.readouterr().err


def command(folder: Path) -> tuple[str, ...]:
    network = tiny_network(classes=3)
    assert network.preprocess is not None
    file = modelfile.ModelFile(
        spec=network.spec, state=network.state_dict(), preprocess=network.preprocess, labels=CLASSES
    )
    modelfile.save(folder / "tiny.safetensors", file)
    source = Colours(36)
    for index in range(len(source)):
        path = folder / "images" / source.name(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read(index))
    model, data = str(folder / "tiny.safetensors"), str(folder / "images")
    return ("quantize", model, "--data", data, "-o", str(folder / "out.onnx"))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_images_without_labels_are_judged_by_agreement_and_it_says_so(tmp_path: Path) -> None:
    source = Colours(40)
    for index in range(len(source)):
        (tmp_path / f"{index:03}.png").write_bytes(source.read(index))
    outcome = make(data=tmp_path, max_drop=10)
    assert outcome.float_top1 is None
    assert any("agreement" in note for note in outcome.notes)
    assert outcome.bundle is not None and outcome.bundle.certificate is not None
    assert outcome.bundle.certificate.accuracy is None
    assert outcome.bundle.certificate.min_agreement == pytest.approx(0.9)


def test_images_that_are_calibrated_with_are_not_judged_by() -> None:
    preprocess = model().preprocess
    assert preprocess is not None
    for data in (DATA, Dataset("one part", Colours(40))):
        some = open_samples(data, preprocess, names=CLASSES, outputs=3)
        calibration, gate = ({image.tobytes() for image in part} for part in (some.calibration, some.gate))
        assert not calibration & gate
        assert some.labels is not None and len(some.labels) == len(some.gate)
        again = open_samples(data, preprocess, names=CLASSES, outputs=3)
        assert np.array_equal(again.gate, some.gate)
    few = open_samples(DATA, preprocess, names=("blue", "red", "x"), outputs=3, calibration=10, gate=9)
    assert (len(few.calibration), len(few.gate), few.labels) == (10, 9, None)


def test_wrong_requests_are_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="max_drop"):
        make(max_drop=-1)
    with pytest.raises(UnknownNameError, match="mixed"):
        make(method="mixd")
    with pytest.raises(InputError, match="max_minutes"):
        make(max_minutes=0)
    with pytest.raises(InputError, match="at least 8"):
        make(data=Dataset("few", Colours(10)))


def test_the_quickest_that_passes_is_chosen_and_a_tie_goes_to_the_most_faithful() -> None:
    def candidate(name: str, lost: int, ms: float, error: float) -> Candidate:
        judged = Judgement(
            images=100, agreement=100 - lost, reference=90, top1=90 - lost, lost=lost, won=0, error=error
        )
        parts: dict[str, Any] = {"method": "ptq", "variant": None, "model": None, "kept": (), "size": 1, "seconds": 0.0}
        return Candidate(name=name, judgement=judged, latency_ms=ms, **parts)

    some = [
        candidate("bad", 9, 1, 0.9),
        candidate("slow", 0, 9, 0.1),
        candidate("a", 1, 4, 0.3),
        candidate("b", 1, 4.1, 0.2),
    ]
    chosen = choose(some, Gate(max_drop=1))
    assert chosen is not None and chosen.name == "b"
    assert choose(some[:1], Gate(max_drop=1)) is None


@pytest.mark.slow
@pytest.mark.parametrize("method", ["surgery", "qat"])
def test_trained_candidates_are_made_and_judged(method: str) -> None:
    outcome = make(method=method, max_drop=100, max_minutes=0.5)
    assert method in {one.method for one in outcome.candidates}
    assert any("epochs" in note for note in outcome.notes)
    assert outcome.bundle is not None and outcome.bundle.certificate is not None and outcome.bundle.certificate.passed

"""The gate: what passes is written with its proof, what does not is refused with the reason and leaves no file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from effnet.cli import main
from effnet.data.preprocess import to_array
from effnet.data.source import Dataset
from effnet.data.sources import open_dataset
from effnet.deploy.bundle import open_bundle
from effnet.deploy.engines import open_engine
from effnet.deploy.quantize import climbing, door
from effnet.deploy.quantize.door import GateError, Outcome, quantize
from effnet.deploy.quantize.judging import Judgement
from effnet.deploy.quantize.samples import Files, Unlabelled, open_samples
from effnet.deploy.quantize.surgery import SURGERIES, operated
from effnet.errors import InputError, UnknownNameError
from effnet.nn import Network
from effnet.preprocessing import Preprocess
from effnet.report.quantization import render, summary
from effnet.weights import modelfile
from tests.deploy.quantize.tiny import samples
from tests.tiny import tiny_network
from tests.tiny_data import CLASSES, Colours, colours

InferenceSession = pytest.importorskip("onnxruntime").InferenceSession

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


def test_a_graph_may_take_pixels(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    outcome = make(path, preprocessing_in_graph=True)
    pixels = open_bundle(path)
    assert pixels.manifest.preprocessing_in_graph and pixels.manifest.input_shape == (None, 32, 32, 3)
    assert pixels.certificate is not None and pixels.certificate.passed
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    ours = open_engine(pixels, threads=1).run(images)
    assert outcome.chosen is not None  # the same graph: another call may choose another one, by its latency
    plain = InferenceSession(outcome.chosen.model.SerializeToString(), providers=["CPUExecutionProvider"])
    (theirs,) = plain.run(None, {plain.get_inputs()[0].name: to_array(list(images), pixels.manifest.preprocess)})
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


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


def test_files_have_the_labels_of_their_class_or_none(tmp_path: Path) -> None:
    class Labelled(Files):
        classes, labels = CLASSES, Colours(40).labels

    preprocess = model().preprocess
    assert preprocess is not None
    for index in range(40):
        (tmp_path / f"{index:02}.png").write_bytes(Colours(40).read(index))
    files = tuple(map(str, sorted(tmp_path.iterdir())))
    some = open_samples(Dataset("labelled", Labelled(files)), preprocess, names=CLASSES, outputs=3)
    assert some.labels is not None and len(some.labels) == len(some.gate)
    assert open_samples(Dataset("none", Unlabelled(files)), preprocess, names=CLASSES, outputs=3).labels is None


def test_wrong_requests_are_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="max_drop"):
        make(max_drop=-1)
    with pytest.raises(UnknownNameError, match="mixed"):
        make(method="mixd")
    with pytest.raises(InputError, match="max_minutes"):
        make(max_minutes=0)
    with pytest.raises(InputError, match="at least 8"):
        make(data=Dataset("few", Colours(10)))


def test_images_to_judge_by_that_are_calibrated_with_are_left_out() -> None:
    class Repeating(Colours):
        def read(self, index: int) -> bytes:
            return DATA.train.read(3) if index < 4 else super().read(index)  # type: ignore[return-value]

    preprocess = model().preprocess
    assert preprocess is not None
    some = open_samples(Dataset("x", DATA.train, Repeating(32, seed=1)), preprocess, names=CLASSES, outputs=3)
    assert len(some.gate) == 28 and some.labels is not None
    assert some.labels.tolist() == Colours(32).labels[4:].tolist()
    assert any("4 images to judge by are among those to calibrate with" in note for note in some.notes)


def test_a_network_trained_here_is_judged_by_what_training_kept() -> None:
    preprocess = model().preprocess
    assert preprocess is not None
    data = Dataset("one part", Colours(120))
    kept = open_dataset(data).val
    assert kept is not None
    names = {kept.read(index) for index in range(len(kept))}
    some = open_samples(data, preprocess, names=CLASSES, outputs=3, trained_here=True)
    assert len(some.gate) == len(kept) == 12
    assert not names & {some.source.read(index) for index in range(len(some.source))}
    assert any("effnet train keeps" in note for note in some.notes)


def test_the_first_images_to_calibrate_with_are_of_all_classes() -> None:
    """Ranges are chosen and layers compared on some of them, and norms see them in batches: one class would not do."""

    class Sorted(Colours):
        def __init__(self, count: int) -> None:
            super().__init__(count)
            order = np.argsort(self.labels, kind="stable")
            self.labels = self.labels[order]
            self._files = [self._files[index] for index in order]

    preprocess = model().preprocess
    assert preprocess is not None
    some = open_samples(Dataset("sorted", Sorted(96), Colours(32, seed=1)), preprocess, names=CLASSES, outputs=3)
    for batch in some.calibration_batches(48):
        strongest = batch.mean((2, 3)).argmax(1)  # (N, C, H, W) -> (N,): the colour is the class
        assert set(strongest.tolist()) == {0, 1, 2}


def test_large_images_come_in_smaller_batches_of_at_least_two() -> None:
    some = open_samples(DATA, Preprocess(size=600), names=CLASSES, outputs=3, calibration=8, gate=8)
    assert {len(batch) for batch in some.gate_batches()} == {2}


def test_a_gate_finer_than_one_image_and_the_looks_at_it_are_said() -> None:
    outcome = make(max_drop=1, data=colours(48, 32))
    assert any("one of 32 images is 3.12 points" in note for note in outcome.notes)
    assert any("2 graphs were judged by the same 32 images" in note for note in outcome.notes)
    assert outcome.optimism is not None and outcome.to_dict()["looks"] == 2
    assert outcome.bundle is not None and outcome.bundle.certificate is not None
    assert "they judged 2 graphs" in outcome.bundle.certificate.images


def test_the_graph_is_judged_beside_the_network_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judging by one reference and certifying by another could refuse at the end what the gate let through."""
    seen: list[Any] = []
    genuine = door.certify

    def certify(*arguments: Any, **options: Any) -> Any:
        seen.append(options["reference"])
        return genuine(*arguments, **options)

    monkeypatch.setattr(door, "certify", certify)
    make()
    network, (reference,) = model(), seen
    some = open_samples(DATA, network.preprocess, names=CLASSES, outputs=3)  # type: ignore[arg-type]
    with torch.no_grad():
        wanted = np.concatenate([network(torch.from_numpy(batch)).numpy() for batch in some.gate_batches()])
    np.testing.assert_allclose(reference, wanted, atol=1e-5)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    def worked(stage: str, done: int, total: int) -> None:
        raise AssertionError(f"{stage} was begun")

    with pytest.raises(InputError, match="mkdir"):
        make(tmp_path / "nowhere" / "tiny.onnx", progress=worked)
    assert run(*command(tmp_path), "--report", str(tmp_path / "nowhere" / "page.html")) == 2
    assert not (tmp_path / "out.onnx").exists()


def takes(monkeypatch: pytest.MonkeyPatch, milliseconds: Callable[[str], float]) -> None:
    """Let each graph take the time that its name stands for."""

    def latencies(models: Any, image: Any, **options: Any) -> dict[str, float]:
        return {name: milliseconds(name) for name in models}

    monkeypatch.setattr(climbing, "latencies", latencies)


def test_int8_that_is_not_faster_is_said_not_to_pay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for slower in (2.0, 0.5):
        monkeypatch.setattr(
            climbing,
            "latencies",
            lambda models, image, slower=slower, **options: {
                name: 1.0 if name == "float" else slower for name in models
            },
        )
        outcome = make()
        assert outcome.pays is (slower < 1) and outcome.speed_up == pytest.approx(1 / slower)
        page = render(outcome.to_dict(), "effnet quantize")
        assert ("does not pay" in summary(outcome.to_dict())) is (slower > 1) is ("does not pay" in page)
        assert run(*command(tmp_path), "--max-drop", "20", "--method", "ptq") == 0
        assert ("int8 does not pay here" in capsys.readouterr().out) is (slower > 1)


def test_what_passes_but_is_slow_is_not_mixed_and_a_failing_step_costs_only_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise InputError("out of order", where="surgery")

    monkeypatch.setattr(climbing, "latencies", lambda models, image, **options: dict.fromkeys(models, 1.0))
    monkeypatch.setattr(climbing, "finetuned", broken)
    outcome = make(method="auto", max_drop=50)
    assert outcome.chosen is not None and not outcome.pays
    assert {one.method for one in outcome.candidates} == {"ptq"}
    assert sum("failed: surgery: out of order" in note for note in outcome.notes) == 4  # 3 surgeries, qat
    with pytest.raises(InputError, match="out of order"):
        make(method="qat", max_drop=50)


def test_mixing_starts_from_what_is_fast_and_never_twice_from_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch)
    fast = {"float": 2.0}
    monkeypatch.setattr(
        climbing,
        "latencies",
        lambda models, image, **options: {
            name: fast.get(name, 1.0 if "gates in int8" in name else 2.0) for name in models
        },
    )
    with pytest.raises(GateError) as caught:
        make(method="mixed", max_drop=0.1)
    names = [one.name for one in caught.value.outcome.candidates]
    assert len(set(names)) == len(names)
    mixed = [name for name in names if "in float" in name]
    assert mixed[0] == "calibrated, SiLU and gates in int8, 1 layer in float"
    assert "calibrated, 1 layer in float" in mixed


def test_weights_have_as_many_bits_as_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag, reduced in (("--reduce-range", True), ("--full-range", False)):
        assert run(*command(tmp_path), "--max-drop", "20", "--method", "ptq", "--json", flag) == 0
        figures = json.loads(capsys.readouterr().out)
        assert figures["candidates"][0]["reduce_range"] is reduced is figures["reduce_range"]
        assert "as asked for" in figures["notes"][0]


def test_surgery_where_there_is_nothing_to_replace_says_so() -> None:
    network = tiny_network(classes=3)
    lite = operated(network, SURGERIES[-1], list(samples().calibration_batches(16)))
    lite.labels = CLASSES
    outcome = quantize(lite, DATA, max_drop=100, method="surgery")
    assert any("no SiLU and no SE" in note for note in outcome.notes)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["surgery", "qat"])
def test_trained_candidates_are_made_and_judged(method: str) -> None:
    outcome = make(method=method, max_drop=100, max_minutes=0.5)
    assert method in {one.method for one in outcome.candidates}
    assert any("epochs" in note for note in outcome.notes)
    assert outcome.bundle is not None and outcome.bundle.certificate is not None and outcome.bundle.certificate.passed

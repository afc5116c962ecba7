"""Exporting: every kind of model, every option, and a bundle that answers as the network does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import effnet
from effnet.deploy.bundle import digests, open_bundle
from effnet.deploy.export import default_path, export
from effnet.deploy.export.halving import diffused
from effnet.deploy.export.model import find_model, weights_digest
from effnet.deploy.manifest import Format
from effnet.deploy.parity import verify
from effnet.deploy.probes import find_probes
from effnet.errors import EffnetError, InputError, MissingDependencyError, ParityError, UnknownNameError
from effnet.nn import Network
from tests.tiny import LABELS, save_tiny_model, tiny_network


@pytest.fixture(scope="module")
def network() -> Network:
    network = tiny_network()
    network.labels, network.temperature = LABELS, 1.5
    return network


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("onnx", {}),
        ("onnx", {"batch": 4, "preprocessing_in_graph": True, "precision": "fp16"}),
        ("onnx", {"size": 40, "preprocessing_in_graph": True, "optimize": False}),
        ("torch", {"precision": "fp16"}),
        ("torch", {"batch": 2, "preprocessing_in_graph": True}),
        ("openvino", {"precision": "fp16", "preprocessing_in_graph": True}),
        ("openvino", {"batch": 2}),
    ],
    ids=str,
)
def test_a_bundle_answers_as_the_network_does(
    format: str, options: dict[str, object], network: Network, tmp_path: Path
) -> None:
    if format == "openvino":
        pytest.importorskip("openvino")
    path = tmp_path / "model"
    made = export(network, format, path, threads=1, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [path]
    manifest, certificate = open_bundle(path).manifest, open_bundle(path).certificate
    assert manifest == made.manifest and certificate == made.certificate
    assert certificate is not None and certificate.passed and certificate.graph == certificate.expected
    assert (manifest.labels, manifest.temperature) == (LABELS, 1.5)
    assert manifest.batch == options.get("batch") and manifest.preprocess.size == options.get("size", 32)
    assert [row.batch for row in certificate.parity] == ([manifest.batch] if manifest.batch else [1, 3, 8])
    assert manifest.source["weights_sha256"] == weights_digest(network.state_dict())
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    ours = effnet.load(path, threads=1).predict(pixels)
    theirs = effnet.load(network, device="cpu", size=manifest.preprocess.size).predict(pixels)
    close = 3e-2 if "precision" in options else 1e-4
    assert [s.probability for s in ours.scores] == pytest.approx([s.probability for s in theirs.scores], abs=close)
    assert ours.label == theirs.label


@pytest.mark.parametrize("format", ["onnx", "openvino", "torch"])
def test_a_network_in_channels_last_becomes_the_same_graph_and_stays_as_it_is(format: Format) -> None:
    if format == "openvino":
        pytest.importorskip("openvino")
    plain, last = tiny_network(), tiny_network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    made, wanted = export(last, format, threads=1), export(plain, format, threads=1)
    assert made.certificate is not None and wanted.certificate is not None
    assert made.certificate.operators == wanted.certificate.operators
    assert made.certificate.graph == made.certificate.expected
    stem = last.features[0][0].weight
    assert stem.is_contiguous(memory_format=torch.channels_last) and not stem.is_contiguous()


def test_the_onnx_file_tells_nothing_about_the_machine(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export(network, path=path, threads=1)
    content = path.read_bytes()
    for private in (str(Path(effnet.__file__).parents[1]), str(Path(torch.__file__).parents[1]), "network.py"):
        assert private.encode() not in content
    model = onnx.load(path)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["images", "logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)


def test_a_model_file_and_a_run_folder_are_models(tmp_path: Path) -> None:
    file = save_tiny_model(tmp_path / "best.safetensors")
    from_file, from_run = find_model(str(file)), find_model(tmp_path)
    assert from_file.name == from_run.name == "tiny"
    assert from_file.source["weights_sha256"] == from_run.source["weights_sha256"]
    assert from_file.network.labels == LABELS


def test_fresh_weights_are_the_same_every_time_and_say_so() -> None:
    spec = tiny_network().spec
    first, again = find_model(spec), find_model(spec)
    assert first.source == again.source and first.source["weights"] == "fresh weights"
    assert find_model("lite0", fresh=True).name == "efficientnet_lite0"


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ({"model": "lite9"}, UnknownNameError, "lite"),
        ({"model": "missing.safetensors"}, InputError, "no such file"),
        ({"format": "coreml"}, UnknownNameError, "unknown format"),
        ({"precision": "int8"}, InputError, "precision"),
        ({"batch": 0}, InputError, "batch is 0"),
        ({"batch": True}, InputError, "batch is True"),
        ({"tolerance": -1.0}, InputError, "tolerance"),
        ({"tolerance": float("nan")}, InputError, "tolerance"),
        ({"size": 0}, EffnetError, "size"),
        ({"format": "torch", "optimize": True}, InputError, "nothing to choose"),
        ({"format": "openvino", "optimize": False}, InputError, "nothing to choose"),
        ({"images": ["missing"]}, InputError, "no such file"),
        ({"path": "missing/folder/model.onnx"}, InputError, "folder does not exist"),
    ],
)
def test_wrong_requests_are_refused(
    arguments: dict[str, object], error: type[EffnetError], complaint: str, network: Network
) -> None:
    with pytest.raises(error, match=complaint) as caught:
        export(**{"model": network, **arguments})  # type: ignore[arg-type]
    assert "Fix:" in str(caught.value)


def test_a_plain_graph_is_another_graph_than_a_rearranged_one() -> None:
    network = tiny_network()
    usual, rearranged, plain = (export(network, threads=1, optimize=wish) for wish in (None, True, False))
    assert usual.payload == rearranged.payload != plain.payload


def test_networks_that_cannot_classify_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no classifier"):
        export(tiny_network(classes=0))
    with pytest.raises(InputError, match="holds no trained network"):
        export(tmp_path)
    (tmp_path / "spec.json").write_text(tiny_network().spec.to_json())
    with pytest.raises(InputError, match="--fresh"):
        export(tmp_path / "spec.json")


def test_images_of_a_person_are_used_and_counted(network: Network, tmp_path: Path) -> None:
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (40, 50), (80 * number, 20, 200)).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    assert network.preprocess is not None
    probes = find_probes(tmp_path, network.preprocess)
    assert len(probes.pixels) == 3 and probes.origin == "3 images given by the user (1 could not be read)"
    with pytest.raises(InputError, match="none of 1 images"):
        find_probes([tmp_path / "broken.jpg"], network.preprocess)


def test_grey_and_many_channelled_networks_are_proved_too() -> None:
    for channels in (1, 5):
        bundle = export(tiny_network(in_channels=channels), threads=1)
        assert bundle.manifest.input_shape == (None, channels, 32, 32)
        assert bundle.certificate is not None and bundle.certificate.passed


def test_diffused_rounding_is_exact_in_half_precision_and_keeps_the_sums() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(32, 24, 3, 3, generator=generator)
    rounded, plain = diffused(weight), weight.half().float()
    assert torch.equal(rounded, rounded.half().float())
    assert (rounded - weight).abs().max() < 2e-3
    drift = (rounded - weight).flatten(1).sum(1).abs().max()
    assert drift < 0.1 * (plain - weight).flatten(1).sum(1).abs().max()


def test_default_names_tell_format_and_precision() -> None:
    assert str(default_path("b0", "onnx", "fp32")) == "b0.onnx"
    assert str(default_path("b0", "litert", "fp16")) == "b0.fp16.litert.effnet"


def test_a_bundle_can_be_proved_again_without_the_network(network: Network) -> None:
    bundle = export(network, threads=1)
    seen = verify(bundle, threads=1)
    assert seen.passed and [row.batch for row in seen.parity] == [1, 3]
    assert seen.sha256 == bundle.certificate.sha256  # type: ignore[union-attr]
    other = tiny_network()
    with torch.no_grad():
        other.classifier[1].weight[2] += 0.01
    forged = dataclasses.replace(bundle, certificate=None, payload=export(other, threads=1).payload)
    # Whoever exchanges the graph can write its digest into the certificate, but not what the network said.
    signed = dataclasses.replace(bundle.certificate, sha256=digests(forged.manifest, forged.payload))  # type: ignore[type-var]
    with pytest.raises(ParityError, match="logits differ"):
        verify(dataclasses.replace(forged, certificate=signed), threads=1)


def test_one_output_is_exported_as_two_classes() -> None:
    network = tiny_network(classes=1)
    network.labels, network.temperature = ("wasp",), 1.5
    found = find_model(network).network
    assert (found.spec.classes, found.labels, found.temperature) == (2, ("not wasp", "wasp"), 1.5)
    images = torch.randn(3, 3, 32, 32)
    positive = torch.sigmoid(network(images)[:, 0])
    torch.testing.assert_close(found(images).softmax(1)[:, 1], positive)


def test_a_first_layer_of_other_channels_is_exported_as_it_is() -> None:
    for changed in (effnet.models.efficientnet_b0(weights=None), effnet.models.resnet18(weights=None)):
        stem = changed.features[0][0]
        kernel, padding = stem.kernel_size, stem.padding
        changed.features[0][0] = torch.nn.Conv2d(1, stem.out_channels, kernel, 2, padding, bias=False)  # type: ignore[index]
        changed.features[0][0].weight.data.mul_(0.3)  # type: ignore[index]
        bundle = export(changed.eval(), size=32)
        assert bundle.manifest.spec.in_channels == 1
        assert bundle.certificate is not None and bundle.certificate.passed


def deep(network: Network) -> None:
    network.classifier = torch.nn.Sequential(
        torch.nn.Dropout(0.2), torch.nn.Linear(1280, 64), torch.nn.ReLU(), torch.nn.Linear(64, 5)
    )


def dilated(network: Network) -> None:
    network.features[-1][0].dilation = (2, 2)  # type: ignore[index]


def inner(network: Network) -> None:
    network.features[2][0].block[1][0] = torch.nn.Conv2d(96, 96, 3, 1, 1, bias=False)  # type: ignore[index]


def test_a_classifier_put_in_bare_is_exported() -> None:
    network = tiny_network()
    network.classifier = nn.Linear(network.classifier[1].in_features, 5)  # type: ignore[assignment,index]
    assert export(network.eval()).manifest.spec.classes == 5


def test_the_native_format_refuses_another_activation_however_little_it_changes() -> None:
    network = tiny_network()
    network.features[0][2] = nn.Hardswish()  # type: ignore[index]
    with pytest.raises(ParityError, match=r"features\.0\.2 is Hardswish"):
        export(network.eval(), "native", tolerance=10.0)


@pytest.mark.parametrize("change", [deep, dilated, inner])
def test_other_layers_than_the_specs_are_refused_by_name_before_the_work(change: Callable[[Network], None]) -> None:
    network = effnet.build(effnet.find("b0"))
    change(network)
    with pytest.raises(InputError, match="changed by hand") as caught:
        export(network, size=32)
    assert "report" not in str(caught.value)


@pytest.mark.parametrize(("opset", "ir"), [(None, 8), (18, 8), (20, 9)])
def test_a_graph_is_for_the_oldest_runtime_that_has_its_operators(network: Network, opset: int | None, ir: int) -> None:
    bundle = export(network, opset=opset)
    model = onnx.load_model_from_string(bundle.payload["model.onnx"])
    assert model.ir_version == ir
    assert [entry.version for entry in model.opset_import if not entry.domain] == [opset or 18]


def test_impossible_opsets_are_refused(network: Network) -> None:
    for opset in (9, 99):
        with pytest.raises(InputError, match="opset"):
            export(network, opset=opset)
    with pytest.raises(InputError, match="no opset"):
        export(network, "torch", opset=18)


@pytest.mark.parametrize("format", ["litert", "executorch", "onnx"])
def test_missing_packages_are_named_before_the_work(format: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=rf"effnet\[{format}\]"):
        export("no such model", format)

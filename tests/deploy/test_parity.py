"""The proof: a graph passes for what it computes and for the work it does, and a damaged one is refused."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, numpy_helper

from effnet.deploy.bundle import Bundle
from effnet.deploy.certificate import Work
from effnet.deploy.export import convert, describe, export, onnx_format
from effnet.deploy.export.model import find_model
from effnet.deploy.parity import Terms, certify, difference
from effnet.deploy.probes import find_probes, made
from effnet.deploy.work import count, expected_work
from effnet.errors import ParityError
from effnet.nn import Network
from tests.tiny import LABELS, tiny_network

TERMS = Terms(tolerance=1e-4)


@pytest.fixture(scope="module")
def network() -> Network:
    network = tiny_network()
    network.labels = LABELS
    return network


@pytest.fixture(scope="module")
def bundle(network: Network) -> Bundle:
    """The tiny network as ONNX, not yet certified."""
    manifest = describe(find_model(network), "onnx", "fp32")
    return Bundle(manifest=manifest, certificate=None, payload=convert(network, manifest, optimize=False))


def certified(bundle: Bundle, network: Network) -> Bundle:
    probes = find_probes(None, bundle.manifest.preprocess)
    return certify(bundle, network, probes, TERMS, threads=1)


def test_a_good_graph_passes_with_figures_for_every_claim(bundle: Bundle, network: Network) -> None:
    certificate = certified(bundle, network).certificate
    assert certificate is not None and certificate.passed
    assert [row.batch for row in certificate.parity] == [1, 3, 8]
    assert 0 < certificate.parity[-1].max_delta < 1e-3
    assert certificate.parity[-1].images == len(find_probes(None, bundle.manifest.preprocess).pixels)
    assert certificate.graph == certificate.expected == expected_work(bundle.manifest)
    assert certificate.operators["Conv"] + certificate.operators["Gemm"] == certificate.graph.products
    assert {row.engine for row in certificate.latency} == {"onnxruntime", "torch network"}
    assert "torch" in certificate.versions and certificate.sizes["model.onnx"] == len(bundle.payload["model.onnx"])


def conv(model: ModelProto, wanted: Callable[[onnx.NodeProto], bool]) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == "Conv" and wanted(node))


def weight(model: ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def change(model: ModelProto, name: str, changed: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = weight(model, name)
    values = changed(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def bypass(model: ModelProto, node: onnx.NodeProto) -> None:
    """Remove a node that keeps its input's shape: what it gave is taken from before it."""
    for other in model.graph.node:
        other.input[:] = [node.input[0] if name == node.output[0] else name for name in other.input]
    model.graph.node.remove(node)


def is_depthwise(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)


def without_a_convolution(model: ModelProto) -> None:
    bypass(model, conv(model, is_depthwise))


def with_a_zeroed_branch(model: ModelProto) -> None:
    change(model, "network.features.1.1.block.3.0.weight", np.zeros_like)
    change(model, "network.features.1.1.block.3.0.bias", np.zeros_like)


def with_one_weight_changed(model: ModelProto) -> None:
    def nudged(values: np.ndarray) -> np.ndarray:
        values.flat[5] += 0.02
        return values

    change(model, "network.features.0.0.weight", nudged)


def with_classes_swapped(model: ModelProto) -> None:
    # The biases of a fresh classifier are all zero.
    change(model, "network.classifier.1.weight", lambda values: np.concatenate([values[1::-1], values[2:]]))


def with_a_weight_that_is_no_number(model: ModelProto) -> None:
    change(model, "network.classifier.1.weight", lambda values: values * np.nan)


DAMAGES = [
    without_a_convolution,
    with_a_zeroed_branch,
    with_one_weight_changed,
    with_classes_swapped,
    with_a_weight_that_is_no_number,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_graph_is_refused(bundle: Bundle, network: Network, damage: Callable[[ModelProto], None]) -> None:
    model = onnx.load_model_from_string(bundle.payload["model.onnx"])
    damage(model)
    onnx.checker.check_model(model)
    with pytest.raises(ParityError, match=r"differ|not finite"):
        certified(dataclasses.replace(bundle, payload={"model.onnx": model.SerializeToString()}), network)


def test_a_dead_branch_that_was_pruned_answers_the_same_and_is_refused(bundle: Bundle) -> None:
    dead = tiny_network()
    with torch.no_grad():
        norm = dead.features[1][1].block[3][1]
        norm.weight.zero_()
        norm.bias.zero_()
    manifest = describe(find_model(dead), "onnx", "fp32")
    whole = Bundle(manifest=manifest, certificate=None, payload=convert(dead, manifest, optimize=False))
    certified(whole, dead)
    model = onnx.load_model_from_string(whole.payload["model.onnx"])
    project = next(n for n in model.graph.node if "network.features.1.1.block.3.0.weight" in n.input)
    total = next(n for n in model.graph.node if n.op_type == "Add" and project.output[0] in n.input)
    shortcut = next(name for name in total.input if name != project.output[0])
    for node in model.graph.node:
        node.input[:] = [shortcut if name == total.output[0] else name for name in node.input]
    needed = {model.graph.output[0].name}
    for node in reversed(copy.deepcopy(list(model.graph.node))):
        if needed.intersection(node.output):
            needed.update(node.input)
        else:
            model.graph.node.remove(node)
    pruned = dataclasses.replace(whole, payload={"model.onnx": model.SerializeToString()})
    with pytest.raises(ParityError, match="convolutions and matrix products") as caught:
        certified(pruned, dead)
    assert "differ" not in caught.value.what  # its answers are right, its work is not


def test_export_writes_nothing_beyond_the_tolerance(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = onnx_format.onnx_model

    def damaged(program: object, opset: int | None) -> ModelProto:
        model = honest(program, opset)  # type: ignore[arg-type]
        with_one_weight_changed(model)
        return model

    monkeypatch.setattr(onnx_format, "onnx_model", damaged)
    with pytest.raises(ParityError) as caught:
        export(network, path=tmp_path / "model.onnx", threads=1)
    assert caught.value.exit_code == 1 and "Fix: " in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_tie_is_not_a_disagreement() -> None:
    reference = np.array([[5.0, 5.00001, 0.0], [1.0, 2.0, 0.0]], np.float32)
    logits = np.array([[5.00002, 5.0, 0.0], [2.0, 1.0, 0.0]], np.float32)
    row = difference(logits, reference, 1, TERMS)
    assert row.disagreements == 1 and row.max_delta == 1.0 and row.max_relative == 0.5


def test_the_work_of_a_graph_is_counted_from_the_graph(bundle: Bundle) -> None:
    operators, work = count("onnx", bundle.payload)
    model = onnx.load_model_from_string(bundle.payload["model.onnx"])
    assert sum(operators.values()) == len(model.graph.node)
    without_a_convolution(model)
    _, less = count("onnx", {"model.onnx": model.SerializeToString()})
    # The removed depthwise convolution: 16 channels of 3 x 3 kernels on a map of 16 x 16.
    assert less == Work(products=work.products - 1, macs=work.macs - 16 * 9 * 16 * 16)


def test_made_pictures_are_the_same_everywhere_and_differ_from_each_other() -> None:
    first, again = made(3, 16, 3), made(5, 16, 3)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=False))
    assert len({picture.tobytes() for picture in again}) == 5
    # Whole-number arithmetic: these bytes may never change, because certificates keep what networks said of them.
    assert first[1][3, 5].tolist() == made(2, 16, 3)[1][3, 5].tolist()

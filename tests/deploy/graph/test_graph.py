"""Passes over graphs: the same numbers afterwards, whatever the network, and what they are for is gone."""

from __future__ import annotations

import base64
import io
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from onnx import helper

from effnet.deploy.engines import open_engine, tuned
from effnet.deploy.graph import optimize_graph
from effnet.deploy.graph.blocked import blocked_graph
from effnet.deploy.graph.passes import pool_means, pool_windows
from effnet.inference.latency import settled
from effnet.nn import build, fold_norms
from effnet.spec import BlockSpec, HeadSpec, NetworkSpec, StageSpec, StemSpec
from tests.deploy.exported import onnx_graph, tiny_bundle
from tests.strategies import specs


def exported(spec: NetworkSpec, side: int) -> bytes:
    """Return the graph of a network of `spec`, with lively statistics."""
    torch.manual_seed(0)
    network = fold_norms(settled(build(spec), side))
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = torch.zeros(2, spec.in_channels, side, side)
        names = {"input_names": ["images"], "output_names": ["logits"]}
        torch.onnx.export(network, (images,), stream, dynamo=False, dynamic_axes={"images": {0: "n"}}, **names)
    return stream.getvalue()


def run(graph: bytes, images: np.ndarray, *, level: str = "ORT_ENABLE_ALL") -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def operators(graph: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(graph).graph.node)


def random_images(spec: NetworkSpec, side: int, count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, spec.in_channels, side, side)).astype(np.float32)


def assert_close(one: np.ndarray, other: np.ndarray) -> None:
    assert np.isfinite(other).all()
    np.testing.assert_allclose(one, other, atol=2e-5 * max(1.0, float(np.abs(other).max())))


@given(spec=specs().filter(lambda spec: spec.classes > 0))
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
def test_passes_change_no_number_of_random_networks(spec: NetworkSpec) -> None:
    side = 24
    graph, images = exported(spec, side), random_images(spec, side, 2)
    optimised = optimize_graph(onnx.load_from_string(graph)).SerializeToString()
    assert_close(run(optimised, images), run(graph, images))
    blocked = blocked_graph(graph)
    if blocked is not None:
        assert_close(run(blocked, images[:1], level="ORT_DISABLE_ALL"), run(graph, images[:1]))


def gated(*, channels: int = 16, kind: str = "mbconv") -> NetworkSpec:
    block = BlockSpec(kind=kind, expand_ratio=2.0, se_ratio=0.25)  # type: ignore[arg-type]
    stages = (StageSpec(block=block, channels=channels, repeats=2, stride=2),)
    return NetworkSpec(name="gated", stem=StemSpec(channels=16), stages=stages, head=HeadSpec(channels=32), classes=5)


@pytest.mark.parametrize("channels", [8, 12, 16, 40])
@pytest.mark.parametrize("kind", ["mbconv", "fused_mbconv"])
def test_gates_become_convolutions_and_maps_stay_in_blocks(channels: int, kind: str) -> None:
    spec = gated(channels=channels, kind=kind)
    graph, images = exported(spec, 32), random_images(spec, 32, 1)
    blocked = blocked_graph(graph)
    if blocked is None:
        pytest.skip("ONNX Runtime has no blocked layout on this processor")
    counted = operators(blocked)
    if channels % 16 == 0:  # else a map is not whole blocks, and some products stay
        assert counted["Upsample"] == counted["Mul"] == counted["ReorderInput"] == 0
        assert counted["Conv"] == operators(graph)["Conv"] + 2, "one more for each of the two units"
    assert_close(run(blocked, images, level="ORT_DISABLE_ALL"), run(graph, images))


def test_a_network_without_gates_is_left_alone() -> None:
    spec = gated().replace(stages=(StageSpec(block=BlockSpec(se_ratio=0), channels=16, repeats=1),))
    assert blocked_graph(exported(spec, 32)) is None


@pytest.mark.parametrize("batch", [1, 3])
def test_stretched_gates_stay_in_blocks_at_any_batch(batch: int, tmp_path: Path) -> None:
    graph = exported(gated(), 32)
    model = optimize_graph(onnx.load_from_string(graph))
    onnx.checker.check_model(model)
    assert sum(node.op_type == "Resize" for node in model.graph.node) == 2
    images = random_images(gated(), 32, batch)
    assert_close(run(model.SerializeToString(), images), run(graph, images))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "laid_out.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    laid_out = operators((tmp_path / "laid_out.onnx").read_bytes())
    if laid_out["ReorderOutput"] == 0:
        pytest.skip("ONNX Runtime has no blocked layout on this processor")
    assert laid_out["Upsample"] == 2 and laid_out["ReorderInput"] == 0


def test_a_graph_is_not_changed_by_its_optimised_copy_and_twice_is_once() -> None:
    model = onnx.load_from_string(exported(gated(), 32))
    before = model.SerializeToString(deterministic=True)
    once = optimize_graph(model)
    assert model.SerializeToString(deterministic=True) == before
    twice = optimize_graph(once)
    assert twice.SerializeToString(deterministic=True) == once.SerializeToString(deterministic=True)


def test_exporting_leaves_nothing_to_fold() -> None:
    kinds = set(operators(onnx_graph()))
    assert kinds <= {"Conv", "Sigmoid", "Mul", "Add", "ReduceMean", "Reshape", "Flatten", "Gemm"}


@pytest.mark.parametrize("axes", [[2, 3], [-1, -2], [3, -2], [1], [1, 2]], ids=str)
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [13, 18])
def test_only_means_over_height_and_width_are_pools(axes: list[int], keepdims: int, opset: int) -> None:
    pooled = keepdims == 1 and len(axes) == 2 and 1 not in axes
    given_axes = {"axes": axes} if opset < 18 else {}
    inputs = ["x"] if opset < 18 else ["x", "axes"]
    constants = [] if opset < 18 else [onnx.numpy_helper.from_array(np.array(axes, np.int64), "axes")]
    node = helper.make_node("ReduceMean", inputs, ["y"], keepdims=keepdims, **given_axes)
    image = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3, 4, 5])
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "mean", [image], [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    images = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    before = run(model.SerializeToString(), images)
    pool_means(model)
    assert (model.graph.node[0].op_type == "GlobalAveragePool") == pooled
    np.testing.assert_allclose(run(model.SerializeToString(), images), before, atol=1e-6)


def averaging(side: int) -> onnx.ModelProto:
    """Return a graph that averages a map of 8 channels."""
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1)
    image = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 8, side, side])
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 8, 1, 1])
    axes = onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    graph = helper.make_graph([node], "mean", [image], [result], [axes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("side", [28, 56, 112, 190])
def test_means_over_large_maps_lose_no_digits(side: int) -> None:
    model = averaging(side)
    assert pool_means(model) == 1
    assert pool_windows(model) == (side > 32)
    assert pool_windows(model) == 0, "they are small now"
    onnx.checker.check_model(model)
    assert sum(node.op_type == "AveragePool" for node in model.graph.node) == (side > 32)
    # An even map: a sum of one pixel after the other is rounded the same way again and again, by 1e-5 at 112 x 112.
    images = np.random.default_rng(0).uniform(0.3333, 0.3334, (2, 8, side, side)).astype(np.float32)
    exact = images.mean((2, 3), keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(run(model.SerializeToString(), images), exact, rtol=5e-7)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path))
    return tmp_path / "tuned"


def images(count: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((count, 3, 32, 32)).astype(np.float32)


def test_tuning_is_asked_for_once_and_answers_the_same(house: Path) -> None:
    plain = open_engine(tiny_bundle(), "onnxruntime", 1)
    assert plain.settings["graph"] == "as exported"
    assert not house.exists(), "nothing is kept unless asked for"
    tuned_now = open_engine(tiny_bundle(), "onnxruntime", 1, tune=True)
    if tuned_now.settings["graph"] == "as exported":
        pytest.skip("ONNX Runtime has no blocked layout on this processor")
    later = open_engine(tiny_bundle(), "onnxruntime", 1)
    for engine in (tuned_now, later):
        assert "tuned" in str(engine.settings["graph"])
        for count in (1, 3, 1):
            np.testing.assert_allclose(engine.run(images(count)), plain.run(images(count)), atol=1e-4)


@pytest.mark.parametrize("damage", ["cut", "other answer", "nonsense"])
def test_a_tuned_graph_that_does_not_answer_as_its_original_is_not_used(house: Path, damage: str) -> None:
    if open_engine(tiny_bundle(), "onnxruntime", 1, tune=True).settings["graph"] == "as exported":
        pytest.skip("ONNX Runtime has no blocked layout on this processor")
    (file,) = house.iterdir()
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "nonsense":
        file.write_bytes(b"nonsense")
    else:
        model = onnx.load_from_string(content)
        wrong = base64.b64encode(np.ones(7, "<f4").tobytes()).decode()
        del model.metadata_props[:]
        model.metadata_props.add(key="effnet.answer", value=wrong)
        file.write_bytes(model.SerializeToString())
    engine = open_engine(tiny_bundle(), "onnxruntime", 1)
    assert engine.settings["graph"] == "as exported"
    plain = onnxruntime.InferenceSession(onnx_graph(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(engine.run(images(1)), plain.run(None, {"images": images(1)})[0], atol=1e-4)


def test_other_processors_and_other_runtimes_have_their_own_tuned_graphs(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if open_engine(tiny_bundle(), "onnxruntime", 1, tune=True).settings["graph"] == "as exported":
        pytest.skip("ONNX Runtime has no blocked layout on this processor")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(tuned, "instruction_set", lambda: b"another")
        assert open_engine(tiny_bundle(), "onnxruntime", 1).settings["graph"] == "as exported"
    with monkeypatch.context() as later:
        later.setattr(onnxruntime, "__version__", "0.0")
        assert open_engine(tiny_bundle(), "onnxruntime", 1).settings["graph"] == "as exported"
    assert "tuned" in str(open_engine(tiny_bundle(), "onnxruntime", 1).settings["graph"])


def test_tuning_gives_way_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    monkeypatch.setenv("EFFNET_HOME", str(occupied))
    engine = open_engine(tiny_bundle(), "onnxruntime", 1, tune=True)
    assert engine.settings["graph"] == "as exported"
    assert engine.run(images(1)).shape == (1, 7)

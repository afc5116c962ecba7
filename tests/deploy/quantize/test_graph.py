"""int8 graphs of a tiny network: their bits, what stays in float, and what correction is worth."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from effnet.deploy.quantize.graph import Plan, layers, steps_of
from effnet.deploy.quantize.ranges import Range
from effnet.deploy.quantize.running import latencies, logits
from effnet.deploy.quantize.sensitivity import sensitivities
from effnet.deploy.quantize.variants import Variant, calibrated
from tests.deploy.quantize.tiny import graph_of, samples
from tests.tiny import tiny_network

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@cache
def variant(reduce_range: bool = False, pointwise: bool = False, corrected: bool = False) -> Variant:
    plan = Plan(reduce_range=reduce_range, pointwise=pointwise, corrected=corrected)
    return calibrated("", tiny_network(classes=3), graph_of(tiny_network(classes=3)), samples(), plan)


def weights(model: object) -> dict[str, np.ndarray]:
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}  # type: ignore[attr-defined]
    return {name: value for name, value in tensors.items() if value.dtype == np.int8 and value.ndim > 1}


@pytest.mark.parametrize("pointwise", [False, True])
def test_answers_stay_close_and_every_layer_is_int8(pointwise: bool) -> None:
    made = variant(pointwise=pointwise)
    batches = list(samples().gate_batches())
    reference, answers = logits(made.model, batches), logits(made.quantized(), batches)
    assert np.abs(answers - reference).std() < 0.05 * reference.std()
    assert len(weights(made.quantized())) == len(layers(made.model)) == 15
    onnx.checker.check_model(made.quantized(), full_check=True)


def test_reduced_weights_have_7_bits_except_where_nothing_is_added_in_pairs() -> None:
    made = variant(reduce_range=True)
    depthwise = {layer.weight for layer in layers(made.model) if layer.depthwise}
    assert len(depthwise) == 2
    for name, values in weights(made.quantized()).items():
        full = any(name.startswith(weight) for weight in depthwise)
        assert np.abs(values.astype(int)).max() == (127 if full else 64), name
    assert {np.abs(values.astype(int)).max() for values in weights(variant().quantized()).values()} == {127}


def test_the_steps_that_training_and_correction_count_with_are_the_graphs() -> None:
    made = variant(reduce_range=True)
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.model.graph.initializer}
    graph = made.quantized()
    inside = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    for layer in layers(made.model):
        original = tensors[layer.weight]
        rounded = inside[f"{layer.weight}_quantized"].astype(np.float32)
        scale = inside[f"{layer.weight}_scale"].reshape(-1, *[1] * (original.ndim - 1))
        expected = steps_of(original, 0, 8 if layer.depthwise else 7)
        np.testing.assert_allclose(rounded * scale, expected, atol=1e-6, err_msg=layer.title)


def test_layers_that_are_kept_stay_in_float() -> None:
    made = variant()
    keep = {layer.node for layer in layers(made.model)[:3]}
    mixed = made.quantized(frozenset(keep))
    assert len(weights(mixed)) == 12
    batches = list(samples().gate_batches())
    reference = logits(made.model, batches)
    moved = [np.abs(logits(model, batches) - reference).std() for model in (made.quantized(), mixed)]
    assert moved[1] < moved[0]


def test_correction_moves_the_answers_towards_the_float_ones() -> None:
    batches = list(samples().gate_batches())
    reference = logits(variant().model, batches)
    errors = [
        np.sqrt(
            np.mean((logits(variant(reduce_range=True, corrected=corrected).quantized(), batches) - reference) ** 2)
        )
        for corrected in (False, True)
    ]
    assert errors[1] < errors[0]


def test_the_layer_whose_range_was_spoilt_is_the_most_sensitive() -> None:
    made = variant()
    victim = layers(made.model)[6]
    (output,) = (node.output[0] for node in made.model.graph.node if node.name == victim.node)
    whole = made.ranges[output]
    spoilt = {**made.ranges, output: Range(low=60 * whole.low, high=60 * whole.high)}
    batches = list(samples().calibration_batches(16))
    order = sensitivities(made.model, spoilt, made.plan, batches)
    assert len(order) == 15 and order[0].layer == victim.node
    assert order[0].error > 3 * order[1].error
    assert [one.error for one in order] == sorted((one.error for one in order), reverse=True)
    assert sensitivities(made.model, spoilt, made.plan, batches, stop=lambda: True) == ()


def test_latencies_of_all_graphs_are_measured() -> None:
    made = variant()
    taken = latencies({"float": made.model, "int8": made.quantized()}, next(samples().gate_batches())[:1], rounds=1)
    assert taken.keys() == {"float", "int8"} and all(value > 0 for value in taken.values())

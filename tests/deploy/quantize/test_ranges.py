from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.deploy.quantize import ranges, running
from effnet.deploy.quantize.graph import prepared
from effnet.deploy.quantize.ranges import CHOICES, WATCHED, Seen, observe
from tests.deploy.quantize.tiny import graph_of, samples
from tests.tiny import tiny_network

onnx = pytest.importorskip("onnx")


def seen(values: np.ndarray) -> Seen:
    low, high = float(values.min()), float(values.max())
    counts = np.histogram(values, 2048, (low, max(high, low + 1e-6 * max(1, abs(low)))))[0].astype(float)
    return Seen(low=low, high=high, counts=counts, means=np.zeros(1))


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    return float(np.mean((np.clip(np.round((values - low) / step), 0, 255) * step + low - values) ** 2))


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=50))
def test_every_range_holds_zero_and_lies_within_what_was_seen(values: list[float]) -> None:
    tensor = seen(np.array(values))
    whole = tensor.extremes()
    for choice in CHOICES:
        chosen = tensor.covered(choice)
        assert whole.low - 1e-3 <= chosen.low <= 0 <= chosen.high <= whole.high + 1e-3


def test_an_outlier_widens_the_extremes_alone() -> None:
    values = np.append(np.random.default_rng(0).normal(size=100_000), [80.0])
    tensor = seen(values)
    assert tensor.extremes().high == 80
    assert tensor.percentile().high < 10
    chosen, whole = tensor.least_error(), tensor.extremes()
    assert chosen.high < 75  # cutting it off wholly would cost more than the wider steps do
    assert squared_error(values, chosen.low, chosen.high) < squared_error(values, whole.low, whole.high)


def test_evenly_spread_values_need_all_of_their_range() -> None:
    assert seen(np.linspace(-3, 5, 100_000)).least_error() == seen(np.linspace(-3, 5, 100_000)).extremes()


def test_what_a_graph_holds_is_observed_exactly() -> None:
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("Relu", ["images"], ["positive"]), helper.make_node("Neg", ["positive"], ["logits"])]
    ends = [helper.make_tensor_value_info(name, floats, ["n", 2, 3, 3]) for name in ("images", "logits")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 20)]
    )
    model.ir_version = 9
    batches = [np.random.default_rng(seed).normal(size=(4, 2, 3, 3)).astype(np.float32) for seed in range(3)]
    found = observe(prepared(model), lambda: iter(batches))
    every = np.concatenate(batches)
    assert set(found) == {"images" + WATCHED, "positive", "logits"}
    for name, values in (
        ("images" + WATCHED, every),
        ("positive", np.maximum(every, 0)),
        ("logits", -np.maximum(every, 0)),
    ):
        assert (found[name].low, found[name].high) == (values.min(), values.max())
        np.testing.assert_allclose(found[name].means, values.mean((0, 2, 3)), atol=1e-6)
        assert found[name].counts.sum() == every.size


def test_large_images_are_observed_in_smaller_batches_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph_of(tiny_network(classes=3))
    batches = list(samples().calibration_batches(20))
    sizes: list[int] = []

    class Recorded:
        def __init__(self, graph: Any) -> None:
            self._running = running.session(graph)

        def run(self, names: Any, inputs: dict[str, np.ndarray]) -> Any:
            sizes.extend(map(len, inputs.values()))
            return self._running.run(names, inputs)

    monkeypatch.setattr(ranges, "session", Recorded)
    whole = observe(model, lambda: iter(batches))
    assert max(sizes) == 16
    monkeypatch.setattr(ranges, "_HELD_BYTES", 3 * ranges._image_bytes(ranges._watched(model)))
    sizes.clear()
    parts = observe(model, lambda: iter(batches))
    assert set(sizes) <= {1, 2, 3}
    for name, tensor in whole.items():
        assert (parts[name].low, parts[name].high) == pytest.approx((tensor.low, tensor.high), rel=1e-5)
        np.testing.assert_allclose(parts[name].means, tensor.means, rtol=1e-4, atol=1e-6)
        assert parts[name].counts.sum() == tensor.counts.sum()

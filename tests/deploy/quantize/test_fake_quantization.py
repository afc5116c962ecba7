"""Training with rounding: that the forward pass is the graph's, and that the graph gets the ranges that were learnt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effnet.deploy.quantize.fake_quantization import (
    RoundedActivation,
    RoundedWeight,
    matched,
    plain,
    settle,
    traced,
    with_rounding,
)
from effnet.deploy.quantize.graph import Plan, steps_of
from effnet.deploy.quantize.ranges import WATCHED, Range, values_of
from effnet.deploy.quantize.running import logits
from effnet.deploy.quantize.surgery import SURGERIES, operated
from effnet.deploy.quantize.variants import calibrated
from effnet.nn import Network
from tests.deploy.quantize.tiny import graph_of, samples
from tests.tiny import tiny_network

pytest.importorskip("onnxruntime")


def lite() -> Network:
    return operated(tiny_network(classes=3), SURGERIES[-1], list(samples().calibration_batches(32)))


@pytest.mark.parametrize("bits", [7, 8])
def test_weights_are_rounded_as_the_graphs_are_and_gradients_pass(bits: int) -> None:
    weight = torch.randn(5, 4, 3, 3, requires_grad=True)
    rounded = RoundedWeight(bits)(weight)
    np.testing.assert_allclose(rounded.detach().numpy(), steps_of(weight.detach().numpy(), 0, bits), atol=1e-6)
    (gradient,) = torch.autograd.grad(rounded.sum(), weight)
    assert (gradient == 1).all()


def test_ranges_follow_training_batches_only_and_clipped_values_have_no_gradient() -> None:
    rounding = RoundedActivation()
    rounding.low.fill_(-1)
    rounding.high.fill_(2)
    values = torch.tensor([-3.0, -0.5, 0.0, 1.0, 5.0], requires_grad=True)
    rounded = rounding.eval()(values)
    (gradient,) = torch.autograd.grad(rounded.sum(), values)
    assert gradient.tolist() == [0, 1, 1, 1, 0]
    assert rounded[2] == 0  # zero is a step: padding must stay what it is
    assert (rounding.low, rounding.high) == (-1, 2)
    for _ in range(200):
        rounding.train()(values.detach())
    assert rounding.low.item() == pytest.approx(-3, abs=0.01)
    assert rounding.high.item() == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize("reduce_range", [False, True])
@pytest.mark.parametrize("make", [lite, lambda: tiny_network(classes=3)], ids=["relu6", "silu"])
def test_the_graph_computes_what_was_trained(make: object, reduce_range: bool) -> None:
    network: Network = make()  # type: ignore[operator]
    some = samples()
    batches = list(some.calibration_batches(32))
    rounded = with_rounding(network, reduce_range=reduce_range)
    settle(rounded, [torch.from_numpy(batch) for batch in batches])
    for parameter in rounded.parameters():
        parameter.data.mul_(1 + 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    bare, ranges = plain(rounded, network)
    model = graph_of(bare)
    images = batches[0]
    held = {name.removesuffix(WATCHED): value for name, value in values_of(model, images).items()}
    learnt, missing = matched(ranges, traced(bare, torch.from_numpy(images)), held)
    assert len(missing) <= 1
    variant = calibrated("", bare, model, some, Plan(reduce_range=reduce_range), overrides=learnt)
    answers, reference = logits(variant.quantized(), batches), logits(model, batches)
    with torch.no_grad():
        simulated = np.concatenate([rounded.eval()(torch.from_numpy(batch)).numpy() for batch in batches])
    apart, moved = np.abs(answers - simulated).mean(), np.abs(answers - reference).mean()
    assert apart < 0.5 * moved, "the simulation is no nearer to the graph than the float network is"


def test_ranges_are_matched_by_what_tensors_hold() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 2, 4, 3, 3)).astype(np.float32)
    ranges = {"a": Range(low=-1, high=1), "b": Range(low=-2, high=2)}
    found, missing = matched(ranges, {"a": one, "b": other}, {"x": other + 1e-6, "y": one, "z": one + 1, "w": one[:1]})
    assert found == {"x": ranges["b"], "y": ranges["a"]} and missing == ()
    assert matched(ranges, {"a": one, "b": other}, {"y": one}) == ({"y": ranges["a"]}, ("b",))


@given(st.floats(-20, 0), st.floats(0, 20), st.integers(0, 2**31))
def test_activations_are_rounded_as_torch_rounds_them(low: float, high: float, seed: int) -> None:
    rounding = RoundedActivation().eval()
    rounding.low.fill_(low)
    rounding.high.fill_(high)
    values = 8 * torch.randn(500, generator=torch.Generator().manual_seed(seed))
    step = max((float(rounding.high) - float(rounding.low)) / 255, 1e-8)
    zero = min(max(round(-float(rounding.low) / step), 0), 255)
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    rounded, wanted = rounding(ours), torch.fake_quantize_per_tensor_affine(theirs, step, zero, 0, 255)
    torch.testing.assert_close(rounded, wanted, atol=1.01 * step, rtol=0)  # x * (1 / step) may round to a neighbour
    assert ((rounded - wanted).abs() > 0.01 * step).sum() <= 1
    weights = torch.randn(500)
    for result in ((rounded * weights).sum(), (wanted * weights).sum()):
        torch.autograd.backward(result)
    assert (ours.grad != theirs.grad).sum() <= 1

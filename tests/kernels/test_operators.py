"""Every operator: registered as torch wants it, and differentiated rightly. In plain torch, so on any machine."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from effnet import kernels
from effnet.kernels import operators


def drawn(*shape: int, low: float | None = None) -> Tensor:
    values = torch.randn(*shape) if low is None else torch.rand(*shape) + low
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


def arguments(name: str) -> list[tuple[Any, ...]]:
    """Several calls of the operator `name`."""
    torch.manual_seed(0)
    c, s = 8, 3
    x, g, small = drawn(2, c, 6, 5), drawn(2, c, 6, 5), drawn(2, c, 3, 3)
    mean, rstd, weight, bias = drawn(c), drawn(c, low=0.5), drawn(c, low=0.5), drawn(c)
    norm, taps, gate = [mean, rstd, weight, bias], drawn(9, c), drawn(2, c, low=0.2)
    wide, other = drawn(2, 12, 6, 5), drawn(2, 12, 6, 5)
    after = [drawn(12), drawn(12, low=0.5), drawn(12, low=0.5), drawn(12)]
    squeeze = [drawn(s, c), drawn(s), drawn(c, s), drawn(c)]
    calls: dict[str, list[tuple[Any, ...]]] = {
        "norm_statistics": [(x, mean)],
        "norm_finish": [(drawn(2, c, low=10.0), mean, rstd, 60, 0.1, 1e-3)],
        "norm_act_sums": [(g, x, norm, True, gate, None), (g, x, norm, False, None, gate)],
        "norm_act_grad": [(g, x, norm, True, gate, gate, drawn(2, c)), (g, x, norm, False, None, None, None)],
        "norm_act_pool": [(x, norm, True, None), (x, norm, True, g)],
        "norm_act": [(x, norm, True, gate, g, True), (x, norm, False, None, None, False)],
        "depthwise": [(x, taps, 1, 1, 1, mean), (x, drawn(25, c), 2, 1, 2, mean)],
        "norm_depthwise": [(x, norm, taps, 2, 1, 0, mean, True)],
        "depthwise_grad": [(g, x, taps, norm, 1, 1, 1), (small, x, taps, [], 2, 1, 1)],
        "norm_gate": [(x, norm, squeeze, True), (x, norm, squeeze, False)],
        "squeeze_excite": [(drawn(2, 3, c), 0.1, squeeze)],
        "depthwise_act_pool": [(x, taps, bias, True, 2, 0, 1)],
        "pointwise": [
            (x, drawn(12, c), drawn(12), True, gate, drawn(2, 12, 6, 5)),
            (x, drawn(4, c), drawn(4), False, None, None),
        ],
        "product": [(x, norm, gate, drawn(12, c), drawn(12)), (x, [], None, drawn(4, c), drawn(4))],
        "product_grad": [
            (g, x, norm, True, gate, drawn(2, c), wide, after, drawn(2, 12, low=0.2), drawn(c, 12)),
            (g, x, norm, False, None, None, wide, [], None, drawn(c, 12)),
        ],
        "expanded_depthwise": [(x, drawn(12, c), wide, after, drawn(9, 12), 2, 1, 0, drawn(12), True)],
        "product_norm_act": [
            (x, norm, squeeze, [drawn(2, c), gate], drawn(12, c), wide, after, True, drawn(2, 12), other, True),
            (x, [], [], [], drawn(12, c), wide, after, False, None, None, False),
        ],
    }
    return calls[name]


DIFFERENTIABLE = ("norm_act", "depthwise", "norm_depthwise", "norm_gate", "expanded_depthwise", "product_norm_act")
NAMES = (
    *DIFFERENTIABLE,
    *("norm_statistics", "norm_finish", "norm_act_sums", "norm_act_grad", "norm_act_pool"),
    *("depthwise_grad", "squeeze_excite", "depthwise_act_pool", "pointwise"),
    *("product", "product_grad"),
)


def trainable(value: Any) -> Any:
    if isinstance(value, list):
        return [trainable(v) for v in value]
    if isinstance(value, Tensor):
        return value.clone().requires_grad_(value.dim() != 2 or value.shape[0] != 2)  # all but the (N, C) scales
    return value


@pytest.mark.parametrize("name", NAMES)
def test_opcheck(name: str) -> None:
    operator = getattr(torch.ops.effnet, name).default
    for call in arguments(name):
        given = tuple(trainable(v) for v in call) if name in DIFFERENTIABLE else call
        torch.library.opcheck(operator, given)


def test_every_operator_is_checked() -> None:
    names = torch._C._dispatch_get_all_op_names()
    registered = {name.removeprefix("effnet::").partition(".")[0] for name in names if name.startswith("effnet::")}
    assert registered == set(NAMES)


def statistics(x: Tensor, eps: float = 1e-3) -> tuple[Tensor, Tensor]:
    c = x.shape[1]
    running = torch.zeros(c, dtype=x.dtype), torch.ones(c, dtype=x.dtype)
    with torch.no_grad():
        return kernels.norm_finish(kernels.norm_statistics(x, running[0]), *running, x.numel() // c, 0.1, eps)


def doubles(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def test_gradients_of_norm_act() -> None:
    x, weight, bias, residual = doubles((3, 4, 3, 2), (4,), (4,), (3, 4, 3, 2))
    keep = torch.tensor([0.0, 1.25, 1.25], dtype=torch.float64)[:, None].expand(3, 4)
    assert torch.autograd.gradcheck(
        lambda x, w, b, r: kernels.norm_act(x, [*statistics(x), w, b], True, keep, r, True), (x, weight, bias, residual)
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "top"), [(3, 1, 1), (3, 2, 1), (3, 2, 0), (5, 1, 2), (5, 2, 1), (5, 2, 2)]
)
def test_gradients_of_norm_depthwise(kernel: int, stride: int, top: int) -> None:
    x, weight, bias, taps = doubles((2, 3, 5, 6), (3,), (3,), (kernel * kernel, 3))
    pivot = torch.zeros(3, dtype=torch.float64)

    def convolved(x: Tensor, w: Tensor, b: Tensor, taps: Tensor) -> Tensor:
        return kernels.norm_depthwise(x, [*statistics(x), w, b], taps, stride, top, top, pivot, True)[0]

    assert torch.autograd.gradcheck(convolved, (x, weight, bias, taps))
    assert torch.autograd.gradcheck(lambda x, t: kernels.depthwise(x, t, stride, top, top, pivot)[0], (x, taps))


@pytest.mark.parametrize("batch", [True, False])
def test_gradients_of_norm_gate(batch: bool) -> None:
    x, weight, bias, *squeeze = doubles((2, 4, 3, 2), (4,), (4,), (2, 4), (2,), (4, 2), (4,))
    frozen = statistics(x)

    def gated(x: Tensor, w: Tensor, b: Tensor, *squeeze: Tensor) -> Tensor:
        return kernels.norm_gate(x, [*(statistics(x) if batch else frozen), w, b], list(squeeze), batch)[0]

    assert torch.autograd.gradcheck(gated, (x, weight, bias, *squeeze))


@pytest.mark.parametrize("batch", [True, False])
def test_gradients_of_expanded_depthwise(batch: bool) -> None:
    x, wide, weight, bias, taps = doubles((2, 2, 4, 3), (5, 2), (5,), (5,), (9, 5))
    frozen, pivot = statistics(doubles((2, 5, 4, 3))[0]), torch.zeros(5, dtype=torch.float64)

    def convolved(x: Tensor, wide: Tensor, w: Tensor, b: Tensor, taps: Tensor) -> Tensor:
        with torch.no_grad():
            e, _ = kernels.product(x, [], None, wide, pivot)
        vectors = [*(statistics(e) if batch else frozen), w, b]
        return kernels.expanded_depthwise(x, wide, e, vectors, taps, 1, 1, 1, pivot, batch)[0]

    assert torch.autograd.gradcheck(convolved, (x, wide, weight, bias, taps))


@pytest.mark.parametrize("before", ["gated", "normed", "plain"])
@pytest.mark.parametrize("batch", [True, False])
def test_gradients_of_product_norm_act(batch: bool, before: str) -> None:
    shapes = (3, 4, 2, 2), (4,), (4,), (5, 4), (5,), (5,), (3, 5, 2, 2), (2, 4), (2,), (4, 2), (4,)
    x, w1, b1, wide, w2, b2, residual, *squeeze = doubles(*shapes)
    inner, outer = statistics(doubles(shapes[0])[0]), statistics(doubles(shapes[6])[0])
    keep = torch.tensor([0.0, 1.25, 1.25], dtype=torch.float64)[:, None].expand(3, 5)
    squeeze = squeeze if before == "gated" else []

    def mapped(x: Tensor, wide: Tensor, w2: Tensor, b2: Tensor, residual: Tensor, *vectors: Tensor) -> Tensor:
        norm = [*(statistics(x) if batch else inner), *vectors[:2]] if before != "plain" else []
        squeezed = list(vectors[2:])
        with torch.no_grad():
            pooled = [kernels.norm_act_pool(x, norm, True, None)] if squeezed else []
            pooled += [kernels.squeeze_excite(pooled[0].unsqueeze(1), 0.25, squeezed)] if squeezed else []
            y, _ = kernels.product(x, norm, pooled[1] if squeezed else None, wide, torch.zeros_like(w2))
        after = [*(statistics(y) if batch else outer), w2, b2]
        silu = before == "plain"
        return kernels.product_norm_act(x, norm, squeezed, pooled, wide, y, after, silu, keep, residual, batch)

    vectors = () if before == "plain" else (w1, b1, *squeeze)
    assert torch.autograd.gradcheck(mapped, (x, wide, w2, b2, residual, *vectors))


def test_statistics_are_those_of_torch() -> None:
    torch.manual_seed(0)
    x = drawn(4, 6, 5, 5) * 2 + 3
    norm = torch.nn.BatchNorm2d(6, eps=1e-3, momentum=0.2)
    norm.running_mean += 1.5
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    expected = norm(x)
    got = kernels.norm_finish(kernels.norm_statistics(x, mean), mean, var, 100, 0.2, 1e-3)
    assert torch.allclose(mean, norm.running_mean, atol=1e-6) and torch.allclose(var, norm.running_var, atol=1e-5)
    result = kernels.norm_act(x, [*got, norm.weight, norm.bias], False, None, None, True)
    assert torch.allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(5, 6), (6, 5)])
@pytest.mark.parametrize("same", [True, False])
def test_depthwise_is_torchs(size: tuple[int, int], same: bool) -> None:
    from effnet.nn import SamePadConv2d

    for kernel in (3, 5):
        conv = (
            SamePadConv2d(4, 4, kernel, 2, groups=4, bias=False)
            if same
            else torch.nn.Conv2d(4, 4, kernel, 2, kernel // 2, groups=4, bias=False)
        )
        x = drawn(2, 4, *size)
        top, left = (conv.sides(size[0], 0)[0], conv.sides(size[1], 1)[0]) if same else (kernel // 2, kernel // 2)
        y, sums = kernels.depthwise(x, conv.weight.flatten(1).t(), 2, top, left, torch.zeros(4))
        assert torch.allclose(y, conv(x), atol=1e-5)
        assert torch.allclose(sums[1], y.square().sum((0, 2, 3)), rtol=1e-4)


def test_squeeze_is_torchs() -> None:
    torch.manual_seed(0)
    pooled, w1, b1, w2, b2 = drawn(2, 1, 8), drawn(3, 8), drawn(3), drawn(8, 3), drawn(8)
    expected = torch.sigmoid(F.linear(F.silu(F.linear(pooled[:, 0] / 7, w1, b1)), w2, b2))
    assert torch.allclose(kernels.squeeze_excite(pooled, 1 / 7, [w1, b1, w2, b2]), expected, atol=1e-6)


def test_operators_trace_into_one_graph() -> None:
    x, weight, bias, running = drawn(2, 4, 5, 5), torch.ones(4), torch.zeros(4), (torch.zeros(4), torch.ones(4))

    def step(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        sums = operators.norm_statistics(x, running[0])
        mean, rstd = operators.norm_finish(sums, running[0], running[1], 50, 0.1, 1e-3)
        return operators.norm_act(x, [mean, rstd, weight, bias], True, None, None, True).sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    a, b = (weight.clone().requires_grad_() for _ in range(2))
    step(x, a, bias).backward()
    compiled(x, b, bias).backward()
    assert torch.allclose(a.grad, b.grad, atol=1e-5)

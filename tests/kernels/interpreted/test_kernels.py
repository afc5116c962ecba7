"""Every Triton kernel, in the interpreter, against its reference in float64 on random shapes.

What is read stands between NaNs in memory and what is written starts as NaN: a wrong mask on either side shows.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from effnet.kernels import reference
from effnet.kernels.programs import depthwise, norm, pointwise, product, squeeze

DTYPES = st.sampled_from([torch.float32, torch.bfloat16])
CHANNELS = st.sampled_from([1, 3, 16, 24, 40])
SIDES = st.sampled_from([1, 2, 5, 8, 9, 17])  # one column or band of tiles, exactly full, and two
ROUNDING = {torch.float32: 2e-6, torch.bfloat16: 5e-3}
FEW = settings(max_examples=8)


def guarded(x: Tensor) -> Tensor:
    """Copy a map into memory that is NaN before and after it, channels last."""
    n, c, h, w = x.shape
    memory = torch.full((x.numel() + 4096,), float("nan"), dtype=x.dtype)
    view = memory[2048:-2048].view(n, h, w, c).permute(0, 3, 1, 2)
    return view.copy_(x)


class Drawn:
    """Random maps and vectors of one shape."""

    def __init__(self, dtype: torch.dtype, c: int, h: int, w: int, n: int = 2) -> None:
        torch.manual_seed(c * 1000 + h * 17 + w)
        self.shape, self.dtype = (n, c, h, w), dtype
        self.norm = [torch.randn(c), torch.rand(c) + 0.5, torch.rand(c) + 0.5, torch.randn(c) * 0.5]
        self.gate, self.shift = torch.rand(n, c), torch.randn(n, c)
        self.pivot = torch.randn(c) * 0.1

    def map(self, *shape: int) -> Tensor:
        return guarded(torch.randn(*(shape or self.shape)).to(self.dtype))

    def agree(self, got: Tensor, expected: Tensor, within: float | None = None) -> None:
        assert got.shape == expected.shape and got.isfinite().all()
        bound = ROUNDING[self.dtype] if within is None else within
        error = (got.double() - expected).norm() / expected.norm().clamp_min(1e-6)
        assert error <= bound, f"{error:.2e}"


@FEW
@given(DTYPES, CHANNELS, SIDES, SIDES, st.booleans())
def test_norm_forward(dtype: torch.dtype, c: int, h: int, w: int, silu: bool) -> None:
    d = Drawn(dtype, c, h, w)
    x, residual = d.map(), d.map()
    wide = x.double()
    d.agree(norm.norm_statistics(x, d.pivot), reference.norm_statistics(wide, d.pivot), 2e-6)
    keep = d.gate[:, :1].expand(-1, c)
    for scale, shortcut in ((None, None), (d.gate, residual), (keep, None)):
        expected = reference.norm_act(wide, d.norm, silu, scale, None if shortcut is None else shortcut.double())
        d.agree(norm.norm_act(x, d.norm, silu, scale, shortcut), expected)
    for g in (None, residual):
        expected = reference.norm_act_pool(wide, d.norm, silu, None if g is None else g.double())
        d.agree(norm.norm_act_pool(x, d.norm, silu, g), expected, 1e-5)


@FEW
@given(DTYPES, CHANNELS, SIDES, SIDES, st.booleans(), st.booleans())
def test_norm_backward(dtype: torch.dtype, c: int, h: int, w: int, silu: bool, gated: bool) -> None:
    d = Drawn(dtype, c, h, w)
    x, g = d.map(), d.map()
    scale, shift = (d.gate, d.shift) if gated else (None, None)
    expected = reference.norm_act_sums(g.double(), x.double(), d.norm, silu, scale, shift)
    sums = norm.norm_act_sums(g, x, d.norm, silu, scale, shift)
    d.agree(sums, expected, 1e-5)
    for given_sums in (None, sums):
        wide = None if given_sums is None else given_sums.double()
        exact = reference.norm_act_grad(g.double(), x.double(), d.norm, silu, scale, shift, wide)
        d.agree(norm.norm_act_grad(g, x, d.norm, silu, scale, shift, given_sums), exact, max(1e-5, ROUNDING[dtype]))


def test_statistics_of_a_map_far_from_zero() -> None:
    """Sums about a pivot lose nothing where the mean is a thousand deviations."""
    d = Drawn(torch.float32, 8, 9, 9)
    x = guarded(d.map() + 1000)
    running = torch.full((8,), 999.0), torch.ones(8)
    sums = norm.norm_statistics(x, running[0])
    mean, rstd = norm.norm_finish(sums, *running, 162, 0.1, 1e-3)
    wide = x.double()
    expected = torch.rsqrt(wide.var((0, 2, 3), correction=0) + 1e-3)
    assert torch.allclose(rstd.double(), expected, rtol=1e-4)
    assert torch.allclose(mean.double(), wide.mean((0, 2, 3)), rtol=1e-6)
    assert torch.allclose(running[0].double(), 999 + 0.1 * (wide.mean((0, 2, 3)) - 999), rtol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@settings(max_examples=2)
@given(DTYPES, CHANNELS, SIDES, SIDES, st.booleans(), st.booleans())
def test_depthwise(
    kernel: int, stride: int, dtype: torch.dtype, c: int, h: int, w: int, same: bool, normed: bool
) -> None:
    d = Drawn(dtype, c, h, w, n=1 if h * w > 150 else 2)
    x, taps = d.map(), torch.randn(kernel * kernel, c)
    chain = d.norm if normed else []
    top, left = (_leading(size, kernel, stride, same) for size in (h, w))
    y, sums = depthwise.depthwise(x, taps, chain, stride, top, left, d.pivot)
    expected, _ = reference.depthwise(x.double(), taps.double(), chain, stride, top, left, d.pivot)
    d.agree(y, expected)
    d.agree(sums, reference.norm_statistics(y.double(), d.pivot), 2e-6)  # of the result as it is stored
    g = d.map(*y.shape)
    dz, d_taps, totals = depthwise.depthwise_grad(g, x, taps, chain, stride, top, left)
    exact = reference.depthwise_grad(g.double(), x.double(), taps.double(), chain, stride, top, left)
    d.agree(dz, exact[0])
    d.agree(d_taps, exact[1], 1e-5)
    if normed:
        unit = (x.double() - d.norm[0].view(1, -1, 1, 1)) * d.norm[1].view(1, -1, 1, 1)
        stored = torch.stack([dz.double().sum((0, 2, 3)), (dz.double() * unit).sum((0, 2, 3))])
        d.agree(totals, stored, 1e-5)


@FEW
@given(DTYPES, CHANNELS, SIDES, SIDES, st.sampled_from([3, 5]), st.sampled_from([1, 2]), st.booleans())
def test_depthwise_of_inference(
    dtype: torch.dtype, c: int, h: int, w: int, kernel: int, stride: int, silu: bool
) -> None:
    d = Drawn(dtype, c, h, w)
    x, taps, pad = d.map(), torch.randn(kernel * kernel, c), kernel // 2
    y, pooled = depthwise.depthwise_act_pool(x, taps.t().contiguous().t(), d.pivot, silu, stride, pad, pad)
    expected, _ = reference.depthwise_act_pool(x.double(), taps.double(), d.pivot, silu, stride, pad, pad)
    d.agree(y, expected)
    d.agree(pooled.sum(1), y.double().sum((2, 3)), 1e-5)


@FEW
@given(DTYPES, st.sampled_from([8, 24, 70]), st.sampled_from([5, 16, 40]), SIDES, st.booleans(), st.booleans())
def test_pointwise(dtype: torch.dtype, c: int, outputs: int, side: int, silu: bool, around: bool) -> None:
    d = Drawn(dtype, c, side, side)
    x, weight, bias = d.map(), torch.randn(outputs, c) / 5, torch.randn(outputs)
    weight = weight.to(dtype)
    gate, residual = (d.gate, d.map(2, outputs, side, side)) if around else (None, None)
    wide = None if residual is None else residual.double()
    if gate is not None and dtype is torch.bfloat16:  # the kernel rounds the product before the tensor cores take it
        expected = reference.pointwise((x * gate[:, :, None, None]).to(dtype).double(), weight, bias, silu, None, wide)
    else:
        expected = reference.pointwise(x.double(), weight, bias, silu, gate, wide)
    d.agree(pointwise.pointwise(x, weight, bias, silu, gate, residual), expected)


@FEW
@given(st.integers(1, 3), st.integers(1, 5), st.sampled_from([8, 48, 100, 300]), st.sampled_from([1, 4, 20]))
def test_squeeze_excite(n: int, parts: int, c: int, s: int) -> None:
    torch.manual_seed(n * 100 + c + s)
    pooled = torch.randn(n, parts, c)
    weights = (torch.randn(s, c), torch.randn(s), torch.randn(c, s), torch.randn(c))
    expected = reference.squeeze_excite(pooled.double(), 0.1, weights)
    assert torch.allclose(squeeze.squeeze_excite(pooled, 0.1, weights).double(), expected, atol=1e-5)


def vectors(c: int) -> list[Tensor]:
    return [torch.randn(c), torch.rand(c) + 0.5, torch.rand(c) + 0.5, torch.randn(c) * 0.5]


WIDTHS = st.sampled_from([5, 16, 40, 130])
BEFORE = st.sampled_from(["nothing", "norm", "gate"])


@FEW
@given(DTYPES, st.sampled_from([8, 24, 70]), WIDTHS, SIDES, BEFORE)
def test_product(dtype: torch.dtype, c: int, outputs: int, side: int, before: str) -> None:
    d = Drawn(dtype, c, side, side)
    x, weight, pivot = d.map(), torch.randn(outputs, c) / 5, torch.randn(outputs) / 5
    chain, gate = ([] if before == "nothing" else d.norm), (d.gate if before == "gate" else None)
    y, sums = product.product(x, chain, gate, weight, pivot)
    expected, _ = reference.product(x.double(), chain, gate, weight.to(dtype).double(), pivot)
    d.agree(y, expected, 3 * ROUNDING[dtype])  # in 16 bits what enters the product is rounded, and its result
    d.agree(sums, reference.norm_statistics(y.double(), pivot), 2e-6)  # of the result as it is stored


@settings(max_examples=12)
@given(DTYPES, st.sampled_from([8, 24, 70]), WIDTHS, SIDES, BEFORE, st.booleans(), st.booleans())
@example(torch.bfloat16, 24, 264, 9, "gate", True, True)  # too wide for one pass: each gradient takes its own
@example(torch.float32, 24, 264, 9, "norm", False, True)
@example(torch.float32, 24, 264, 9, "nothing", False, False)
def test_gradients_of_product(
    dtype: torch.dtype, c: int, outputs: int, side: int, before: str, dropped: bool, batch: bool
) -> None:
    d = Drawn(dtype, c, side, side)
    x, y, g = d.map(), d.map(2, outputs, side, side), d.map(2, outputs, side, side)
    weight, after = (torch.randn(outputs, c) / 5).to(dtype).float(), vectors(outputs)
    chain, gate = ([] if before == "nothing" else d.norm), (d.gate if before == "gate" else None)
    scale = torch.tensor([[0.0], [1.25]]).expand(2, outputs) if dropped else None
    sums = norm.norm_act_sums(g, y, after, not dropped, scale, None) if batch else None
    wide = None if sums is None else sums.double()
    given = (g, y, after, not dropped, scale, sums, x, chain, gate, weight)
    exact = (g.double(), y.double(), after, not dropped, scale, wide, x.double(), chain, gate, weight.double())
    dx, d_weight, rest = product.product_grad(*given)
    expected = reference.product_grad(*exact)
    d.agree(dx, expected[0], 3 * ROUNDING[dtype])  # in 16 bits the gradient is rounded before the product, and after
    d.agree(d_weight, expected[1], 3 * ROUNDING[dtype])
    stored = dx.double()
    if before == "nothing":
        assert not rest.any()
    elif before == "gate":
        d.agree(rest, reference.norm_act_pool(x.double(), chain, True, stored), 1e-5)
    else:
        unit = (x.double() - chain[0].view(1, -1, 1, 1)) * chain[1].view(1, -1, 1, 1)
        d.agree(rest, torch.stack([stored.sum((0, 2, 3)), (stored * unit).sum((0, 2, 3))]), 1e-5)


def _leading(size: int, kernel: int, stride: int, same: bool) -> int:
    if not same:
        return kernel // 2
    return max((-(-size // stride) - 1) * stride + kernel - size, 0) // 2

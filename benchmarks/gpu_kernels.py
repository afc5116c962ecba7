"""Each kernel on one block's shape: right first (against float64, from NaN), then timed against torch's operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from gpu_shapes import Shape
from gpu_timing import Bench, Work, worked
from torch import Tensor

from effnet import kernels
from effnet.kernels import operators, reference
from effnet.kernels import products as kernels_products

EPS = 1e-3


@dataclass(frozen=True)
class Case:
    """One operator on one shape.

    Attributes:
        passes: elements of (input, output, ...) maps read and written, which is what GB/s are counted from.
        exact: the float64 result, for a batch of one.
    """

    name: str
    elements: int
    ours: Callable[[Tensor], Tensor]
    theirs: Callable[[Tensor], Tensor]
    x: Tensor
    exact: Callable[[Tensor], Tensor]


def cases(shape: Shape, device: torch.device) -> list[Case]:
    c, n, h, o, k, s = (
        shape.mid_channels, shape.batch, shape.in_size, shape.out_size, shape.kernel, shape.stride,
    )  # fmt: skip
    dtype = torch.bfloat16

    def drawn(channels: int, side: int) -> Tensor:
        x = torch.randn(n, channels, side, side, device=device, dtype=dtype)
        return x.contiguous(memory_format=torch.channels_last)

    vector = lambda size: torch.rand(size, device=device) + 0.5  # noqa: E731
    norm = [vector(c) - 1, vector(c), vector(c), vector(c) - 1]
    mean, rstd, weight, bias = norm
    var = rstd.pow(-2) - EPS
    zero, x, d = torch.zeros(c, device=device), drawn(c, h), drawn(c, o)
    g = drawn(c, o)
    e, out = n * c * h * h, n * c * o * o
    found = [
        Case("norm_statistics", e, lambda x: operators.norm_statistics(x, zero),
             lambda x: torch.stack(torch.var_mean(x.float(), (0, 2, 3))), x,
             lambda x: reference.norm_statistics(x, zero)),
        Case("norm_act", 2 * out, lambda x: kernels.norm_act(x, norm, True, None, None, False),
             lambda x: F.silu(F.batch_norm(x, mean, var, weight, bias, eps=EPS)), d,
             lambda x: reference.norm_act(x, norm, True, None, None)),
        Case("norm_act_sums", 2 * out, lambda x: operators.norm_act_sums(x, x, norm, True, None, None),
             lambda x: torch.stack([x.float().sum((0, 2, 3)), (x.float() * x).sum((0, 2, 3))]), d,
             lambda x: reference.norm_act_sums(x, x, norm, True, None, None)),
    ]  # fmt: skip
    if shape.kind == "mbconv":
        taps, pad = torch.randn(k * k, c, device=device), k // 2
        conv_weight = taps.t().reshape(c, 1, k, k).to(dtype)

        def conv(x: Tensor) -> Tensor:
            return F.conv2d(x, conv_weight, stride=s, padding=pad, groups=c)

        def normed(x: Tensor) -> Tensor:
            return F.silu(F.batch_norm(x, mean, var, weight, bias, eps=EPS))

        def their_grad(x: Tensor) -> Tensor:
            activated = normed(x)
            dx, _, _ = torch.ops.aten.convolution_backward(
                g, activated, conv_weight, None, [s, s], [pad, pad], [1, 1], False, [0, 0], c, [True, True, False]
            )
            return dx

        found += [
            Case("norm_depthwise", e + out,
                 lambda x: kernels.norm_depthwise(x, norm, taps, s, pad, pad, zero, False)[0],
                 lambda x: conv(normed(x)), x,
                 lambda x: reference.depthwise(x, taps.double(), norm, s, pad, pad, zero)[0]),
            Case("depthwise_grad", 2 * e + out,
                 lambda x: operators.depthwise_grad(g[: x.shape[0]], x, taps, norm, s, pad, pad)[0], their_grad, x,
                 lambda x: reference.depthwise_grad(
                     g[: x.shape[0]].double(), x, taps.double(), norm, s, pad, pad)[0]),
            Case("depthwise_act_pool", e + out,
                 lambda x: kernels.depthwise_act_pool(x, taps, bias, True, s, pad, pad)[0],
                 lambda x: F.silu(conv(x) + bias.to(dtype).view(1, -1, 1, 1)), x,
                 lambda x: reference.depthwise_act_pool(x, taps.double(), bias, True, s, pad, pad)[0]),
        ]  # fmt: skip
    project = torch.randn(shape.out_channels, c, device=device, dtype=dtype) / c**0.5
    add = vector(shape.out_channels).to(dtype)
    gate = torch.rand(n, c, device=device)
    found.append(
        Case("pointwise", out + n * shape.out_channels * o * o,
             lambda x: kernels.pointwise(x, project, add, False, gate[: x.shape[0]], None),
             lambda x: F.conv2d(x * gate[: x.shape[0], :, None, None].to(dtype), project[:, :, None, None], add), d,
             lambda x: reference.pointwise(
                 (x.to(dtype) * gate[: x.shape[0], :, None, None]).to(dtype).double(), project, add, False, None, None))
    )  # fmt: skip
    return found + products(shape, norm, gate, d)


def products(shape: Shape, norm: list[Tensor], gate: Tensor, d: Tensor) -> list[Case]:
    """The projection in training: norm, SiLU and gate before it, statistics and norm after it."""
    n, o, c, out = shape.batch, shape.out_size, shape.mid_channels, shape.out_channels
    vector = lambda: torch.rand(out, device=d.device) + 0.5  # noqa: E731
    weight = torch.randn(out, c, device=d.device) / c**0.5
    after, pivot, kernel = [vector() - 1, vector(), vector(), vector() - 1], vector() - 1, weight[:, :, None, None]
    mean, rstd, gamma, beta = norm
    var = rstd.pow(-2) - EPS
    y = torch.randn(n, out, o, o, device=d.device, dtype=d.dtype).contiguous(memory_format=torch.channels_last)
    dy = torch.randn_like(y)
    sums = operators.norm_act_sums(dy, y, after, False, None, None)
    gated = gate if shape.squeeze_channels else None
    wide = weight.to(d.dtype).double()

    def first(v: Tensor | None, x: Tensor) -> Tensor | None:
        return None if v is None else v[: x.shape[0]]

    def source(x: Tensor) -> Tensor:
        u = F.silu(F.batch_norm(x, mean, var, gamma, beta, eps=EPS))
        return u if gated is None else u * gated[: x.shape[0], :, None, None].to(x.dtype)

    def their_result(x: Tensor) -> Tensor:
        result = F.conv2d(source(x), kernel.to(x.dtype))
        torch.var_mean(result.float(), (0, 2, 3))
        return result

    def their_gradients(x: Tensor) -> Tensor:
        arrived = operators.norm_act_grad(dy, y, after, False, None, None, sums)  # ours: torch's would be slower
        dx, _, _ = torch.ops.aten.convolution_backward(
            arrived, source(x), kernel.to(x.dtype), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, False]
        )
        return dx

    def exact(x: Tensor) -> Tensor:
        parts = (dy[: x.shape[0]].double(), y[: x.shape[0]].double(), after, False, None, sums.double(), x, norm)
        return reference.product_grad(*parts, first(gated, x), wide)[0]

    def ours(x: Tensor) -> Tensor:
        parts = (dy[: x.shape[0]], y[: x.shape[0]], after, False, None, sums, x, norm)
        return kernels_products.product_grad(*parts, first(gated, x), weight)[0]

    results, sources = n * out * o * o, n * c * o * o
    return [
        Case("product", sources + results,
             lambda x: kernels_products.product(x, norm, first(gated, x), weight, pivot)[0], their_result, d,
             lambda x: reference.product(x, norm, first(gated, x), wide, pivot)[0]),
        Case("product_grad", 2 * sources + 2 * results, ours, their_gradients, d, exact),
    ]  # fmt: skip


def measured(shape: Shape, bench: Bench, bandwidth: float | None) -> list[dict[str, object]]:
    """Check and time every kernel on `shape`; `bandwidth` is the measured copy's, in GB/s."""
    rows = []
    for case in cases(shape, bench.device):
        error = wrongness(case)
        candidates: dict[str, Work] = {
            "ours": lambda case=case: case.ours(case.x),
            "cudnn": lambda case=case: case.theirs(case.x),
        }
        if not bench.dry:
            compiled = torch.compile(case.theirs, dynamic=False)
            candidates["inductor"] = lambda case=case, compiled=compiled: compiled(case.x)
        good, failures = worked(candidates)
        with torch.no_grad():
            medians = bench.medians(good)
        row: dict[str, object] = {
            "shape": shape.name,
            "kernel": case.name,
            "relative_error": error,
            "right": error < 1e-2,
        }
        row["microseconds"] = {name: round(value * 1e6, 2) for name, value in medians.items()}
        rate = case.elements * 2 / 1e9
        row["gb_per_second"] = {name: round(rate / value, 1) for name, value in medians.items()}
        if bandwidth and "ours" in medians:
            row["share_of_copy"] = round(rate / medians["ours"] / bandwidth, 3)
        rows.append(row | ({"failed": failures} if failures else {}))
        torch._dynamo.reset()
    return rows


@torch.no_grad()
def wrongness(case: Case) -> float:
    """Relative error on the first sample, with memory that starts as NaN; NaN where a value was left out."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        x = case.x[:1]
        got, exact = case.ours(x), case.exact(x.double())
    finally:
        torch.use_deterministic_algorithms(False)
    return float((got.double() - exact).norm() / exact.norm().clamp_min(1e-12))

"""The operators around squeeze-and-excitation, and those of inference on networks whose norms are folded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from effnet.kernels import reference
from effnet.kernels.availability import launches
from effnet.kernels.operators import like, norm_act_grad, norm_act_pool, norm_act_sums, programs, same, strided


@torch.library.custom_op("effnet::squeeze_excite", mutates_args=())
def squeeze_excite(pooled: Tensor, share: float, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """Gates (N, C) from pooled sums (N, T, C), as `reference.squeeze_excite`."""
    result: Tensor = programs(pooled, "squeeze").squeeze_excite(pooled, share, w1, b1, w2, b2)
    return result


@squeeze_excite.register_fake
def _(pooled: Tensor, share: float, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return pooled.new_empty((pooled.shape[0], pooled.shape[2]))


@torch.library.custom_op("effnet::norm_gate", mutates_args=())
def norm_gate(
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor,
    bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    batch: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """y * gate with y = silu(norm(x)) and gate = squeeze_excite(mean of y over H, W); y is never stored.

    Args:
        w1: (S, C); `w2` is (C, S).

    Returns:
        The gated map; and, not differentiable, the sums over H, W that the gate saw (N, C), and the gate (N, C).
    """
    norm = programs(x, "norm")
    pooled = norm.norm_act_pool(x, mean, rstd, weight, bias, True, None)
    share = 1.0 / (x.shape[2] * x.shape[3])
    gate = programs(pooled, "squeeze").squeeze_excite(pooled.unsqueeze(1), share, w1, b1, w2, b2)
    return norm.norm_act(x, mean, rstd, weight, bias, True, gate, None), pooled, gate


@norm_gate.register_fake
def _(
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor,
    bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    batch: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    shape = (x.shape[0], x.shape[1])
    kind = reference.precise(x)
    return same(x), x.new_empty(shape, dtype=kind), x.new_empty(shape, dtype=kind)


def _norm_gate_saves(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.batch = inputs
    _, pooled, gate = output
    ctx.mark_non_differentiable(pooled, gate)
    ctx.save_for_backward(*tensors, pooled, gate)


def _norm_gate_backward(ctx: Any, g: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    x, mean, rstd, weight, bias, w1, b1, w2, b2, pooled, gate = ctx.saved_tensors
    norm = [mean, rstd, weight, bias]
    share = 1.0 / (x.shape[2] * x.shape[3])
    kind = pooled.dtype
    # The squeeze again, from its saved input, and its derivative: a few (N, C) by (C, S) products.
    p, wide1, wide2 = pooled * share, w1.to(kind), w2.to(kind)
    before = torch.addmm(b1.to(kind), p, wide1.t())  # (N, S)
    sig = torch.sigmoid(before)
    hidden = before * sig
    d_gate = norm_act_pool(x, norm, True, g) * gate * (1 - gate)  # (N, C), before the last sigmoid
    d_before = (d_gate @ wide2) * (sig * (1 + before * (1 - sig)))
    shift = (d_before @ wide1) * share  # what each pixel receives through the mean
    sums = norm_act_sums(g, x, norm, True, gate, shift)
    dx = norm_act_grad(g, x, norm, True, gate, shift, sums if ctx.batch else None)
    gradients = ((d_before.t() @ p, w1), (d_before.sum(0), b1), (d_gate.t() @ hidden, w2), (d_gate.sum(0), b2))
    squeeze = tuple(value.to(parameter.dtype) for value, parameter in gradients)
    return dx, None, None, sums[1].to(weight.dtype), sums[0].to(bias.dtype), *squeeze, None


norm_gate.register_autograd(_norm_gate_backward, setup_context=_norm_gate_saves)


@torch.library.custom_op("effnet::depthwise_act_pool", mutates_args=())
def depthwise_act_pool(
    x: Tensor, taps: Tensor, bias: Tensor, silu: bool, stride: int, top: int, left: int
) -> tuple[Tensor, Tensor]:
    """Inference: as `reference.depthwise_act_pool`; how many parts the sums (N, T, C) have depends on the device."""
    y, pooled = programs(x, "depthwise").depthwise_act_pool(x, taps, bias, silu, stride, top, left)
    return y, pooled


@depthwise_act_pool.register_fake
def _(x: Tensor, taps: Tensor, bias: Tensor, silu: bool, stride: int, top: int, left: int) -> tuple[Tensor, Tensor]:
    y = like(x, x.shape[1], strided(x.shape[2], stride), strided(x.shape[3], stride))
    return y, x.new_empty((x.shape[0], _parts(x, taps, stride), x.shape[1]), dtype=reference.precise(x))


def _parts(x: Tensor, taps: Tensor, stride: int) -> int:
    if not launches(x):
        return 1
    from effnet.kernels.tiles import pool_parts

    return pool_parts(taps.shape[0], stride, x.shape[2], x.shape[3], x.shape[1])


@torch.library.custom_op("effnet::pointwise", mutates_args=())
def pointwise(
    x: Tensor, weight: Tensor, bias: Tensor, silu: bool, gate: Tensor | None, residual: Tensor | None
) -> Tensor:
    """Inference: 1x1 convolution with everything around it, as `reference.pointwise`."""
    result: Tensor = programs(x, "pointwise").pointwise(x, weight, bias, silu, gate, residual)
    return result


@pointwise.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, silu: bool, gate: Tensor | None, residual: Tensor | None) -> Tensor:
    return like(x, weight.shape[0], x.shape[2], x.shape[3])

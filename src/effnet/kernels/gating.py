"""The operators around squeeze-and-excitation, and those of inference on networks whose norms are folded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from effnet.kernels import reference
from effnet.kernels.availability import launches
from effnet.kernels.operators import (
    like,
    norm_act_grad,
    norm_act_pool,
    norm_act_sums,
    norm_gradients,
    programs,
    same,
    strided,
)


@torch.library.custom_op("effnet::squeeze_excite", mutates_args=())
def squeeze_excite(pooled: Tensor, share: float, squeeze: list[Tensor]) -> Tensor:
    """Gates (N, C) from pooled sums (N, T, C), as `reference.squeeze_excite`."""
    result: Tensor = programs(pooled, "squeeze").squeeze_excite(pooled, share, squeeze)
    return result


@squeeze_excite.register_fake
def _(pooled: Tensor, share: float, squeeze: list[Tensor]) -> Tensor:
    return pooled.new_empty((pooled.shape[0], pooled.shape[2]))


def squeeze_gradients(
    squeeze: list[Tensor], pooled: Tensor, gate: Tensor, share: float, d_gate: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Derivative of `squeeze_excite` from its saved input and result: a few (N, C) by (C, S) products.

    Args:
        pooled: sums over H, W (N, C); the squeeze saw `pooled * share`.
        d_gate: gradient of `gate` (N, C).

    Returns:
        What each pixel of the pooled map receives (N, C), and the gradients of `squeeze`.
    """
    w1, b1, w2, _ = (value.to(pooled.dtype) for value in squeeze)
    p = pooled * share
    before = torch.addmm(b1, p, w1.t())  # (N, S)
    sig = torch.sigmoid(before)
    hidden = before * sig
    d_logit = d_gate * gate * (1 - gate)  # (N, C), before the last sigmoid
    d_before = (d_logit @ w2) * (sig * (1 + before * (1 - sig)))
    gradients = (d_before.t() @ p, d_before.sum(0), d_logit.t() @ hidden, d_logit.sum(0))
    return (d_before @ w1) * share, [v.to(w.dtype) for v, w in zip(gradients, squeeze, strict=True)]


@torch.library.custom_op("effnet::norm_gate", mutates_args=())
def norm_gate(x: Tensor, norm: list[Tensor], squeeze: list[Tensor], batch: bool) -> tuple[Tensor, Tensor, Tensor]:
    """y * gate with y = silu(norm(x)) and gate = squeeze_excite(mean of y over H, W); y is never stored.

    Args:
        norm: as `reference.Norm`; `squeeze` as `reference.Squeeze`.
        batch: mean and rstd are of this very `x`, which the derivative then takes into account.

    Returns:
        The gated map; and, not differentiable, the sums over H, W that the gate saw (N, C), and the gate (N, C).
    """
    maps = programs(x, "norm")
    pooled = maps.norm_act_pool(x, norm, True, None)
    share = 1.0 / (x.shape[2] * x.shape[3])
    gate = programs(pooled, "squeeze").squeeze_excite(pooled.unsqueeze(1), share, squeeze)
    return maps.norm_act(x, norm, True, gate, None), pooled, gate


@norm_gate.register_fake
def _(x: Tensor, norm: list[Tensor], squeeze: list[Tensor], batch: bool) -> tuple[Tensor, Tensor, Tensor]:
    shape = (x.shape[0], x.shape[1])
    kind = reference.precise(x)
    return same(x), x.new_empty(shape, dtype=kind), x.new_empty(shape, dtype=kind)


def _norm_gate_saves(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, norm, squeeze, ctx.batch = inputs
    _, pooled, gate = output
    ctx.mark_non_differentiable(pooled, gate)
    ctx.save_for_backward(x, *norm, *squeeze, pooled, gate)


def _norm_gate_backward(ctx: Any, g: Tensor, *_: Tensor) -> tuple[Any, ...]:
    x, *vectors, pooled, gate = ctx.saved_tensors
    norm, squeeze = vectors[:4], vectors[4:]
    share = 1.0 / (x.shape[2] * x.shape[3])
    shift, d_squeeze = squeeze_gradients(squeeze, pooled, gate, share, norm_act_pool(x, norm, True, g))
    sums = norm_act_sums(g, x, norm, True, gate, shift)
    dx = norm_act_grad(g, x, norm, True, gate, shift, sums if ctx.batch else None)
    return dx, norm_gradients(norm, sums), d_squeeze, None


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

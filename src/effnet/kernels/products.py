"""Training: 1x1 convolutions with the norms on both their sides ("Plan B" of docs/kernels.md).

A convolution's prologue applies the norm before it (with SiLU and gate), its epilogue sums what the norm after it
needs; backward, the gradient of the norm after is taken on the way in. A norm's statistics stand between two
convolutions, so a derivative spans both: `expanded_depthwise` and `product_norm_act` are given the raw results that
`product` computed before them, and pass the gradient beyond those.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from effnet.kernels import reference
from effnet.kernels.gating import squeeze_gradients
from effnet.kernels.operators import (
    depthwise_grad,
    like,
    norm_act_grad,
    norm_act_sums,
    norm_gradients,
    programs,
    same,
    strided,
)


@torch.library.custom_op("effnet::product", mutates_args=())
def product(x: Tensor, norm: list[Tensor], gate: Tensor | None, weight: Tensor, pivot: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.product`; not differentiable by itself."""
    y, sums = programs(x, "product").product(x, norm, gate, weight, pivot)
    return y, sums


@product.register_fake
def _(x: Tensor, norm: list[Tensor], gate: Tensor | None, weight: Tensor, pivot: Tensor) -> tuple[Tensor, Tensor]:
    y = like(x, weight.shape[0], x.shape[2], x.shape[3])
    return y, x.new_empty((2, weight.shape[0]), dtype=reference.precise(x))


@torch.library.custom_op("effnet::product_grad", mutates_args=())
def product_grad(
    g: Tensor,
    y: Tensor,
    after: list[Tensor],
    silu: bool,
    scale: Tensor | None,
    sums: Tensor | None,
    x: Tensor,
    before: list[Tensor],
    gate: Tensor | None,
    weight: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.product_grad`."""
    computes = programs(x, "product")
    dx, d_weight, rest = computes.product_grad(g, y, after, silu, scale, sums, x, before, gate, weight)
    return dx, d_weight, rest


@product_grad.register_fake
def _(
    g: Tensor,
    y: Tensor,
    after: list[Tensor],
    silu: bool,
    scale: Tensor | None,
    sums: Tensor | None,
    x: Tensor,
    before: list[Tensor],
    gate: Tensor | None,
    weight: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    kind = reference.precise(x)
    rest = (2 if gate is None else x.shape[0], x.shape[1])
    return same(x), x.new_empty(tuple(weight.shape), dtype=kind), x.new_empty(rest, dtype=kind)


@torch.library.custom_op("effnet::expanded_depthwise", mutates_args=())
def expanded_depthwise(
    x: Tensor,
    weight: Tensor,
    e: Tensor,
    norm: list[Tensor],
    taps: Tensor,
    stride: int,
    top: int,
    left: int,
    pivot: Tensor,
    batch: bool,
) -> tuple[Tensor, Tensor]:
    """Depthwise convolution of silu(norm(e)) with e = weight @ x, as `reference.depthwise`; differentiable in x.

    Args:
        e: what `product` made of x and weight; the derivative passes it by.
        batch: mean and rstd of `norm` are of this very `e`, which the derivative then takes into account.
    """
    y, sums = programs(e, "depthwise").depthwise(e, taps, norm, stride, top, left, pivot)
    return y, sums


@expanded_depthwise.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    e: Tensor,
    norm: list[Tensor],
    taps: Tensor,
    stride: int,
    top: int,
    left: int,
    pivot: Tensor,
    batch: bool,
) -> tuple[Tensor, Tensor]:
    y = like(e, e.shape[1], strided(e.shape[2], stride), strided(e.shape[3], stride))
    return y, e.new_empty((2, e.shape[1]), dtype=reference.precise(e))


def _expanded_saves(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, weight, e, norm, taps, ctx.stride, ctx.top, ctx.left, _, ctx.batch = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(x, weight, e, *norm, taps)


def _expanded_backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Any, ...]:
    x, weight, e, *norm, taps = ctx.saved_tensors
    dz, d_taps, sums = depthwise_grad(g, e, taps, norm, ctx.stride, ctx.top, ctx.left)
    moved = sums if ctx.batch else None
    dx, d_weight, _rest = product_grad(dz, e, norm, False, None, moved, x, [], None, weight)
    gradients = (dx, d_weight.to(weight.dtype), None, norm_gradients(norm, sums), d_taps.to(taps.dtype))
    return *gradients, None, None, None, None, None


expanded_depthwise.register_autograd(_expanded_backward, setup_context=_expanded_saves)


@torch.library.custom_op("effnet::product_norm_act", mutates_args=())
def product_norm_act(
    x: Tensor,
    before: list[Tensor],
    squeeze: list[Tensor],
    pooled: list[Tensor],
    weight: Tensor,
    y: Tensor,
    after: list[Tensor],
    silu: bool,
    scale: Tensor | None,
    residual: Tensor | None,
    batch: bool,
) -> Tensor:
    """act(after(y)) * scale + residual with y = weight @ u, as `reference.norm_act`; differentiable in x.

    Args:
        before: norm of u = silu(before(x)) * gate, empty where u is x itself.
        squeeze: the weights that made the gate, empty without one.
        pooled: the sums over H, W that the gate saw (N, C), and the gate (N, C); empty without one.
        y: what `product` made of u and weight; the derivative passes it by.
        batch: both norms' statistics are of these very maps, which the derivative then takes into account.
    """
    result: Tensor = programs(y, "norm").norm_act(y, after, silu, scale, residual)
    return result


@product_norm_act.register_fake
def _(
    x: Tensor,
    before: list[Tensor],
    squeeze: list[Tensor],
    pooled: list[Tensor],
    weight: Tensor,
    y: Tensor,
    after: list[Tensor],
    silu: bool,
    scale: Tensor | None,
    residual: Tensor | None,
    batch: bool,
) -> Tensor:
    return same(y)


def _product_saves(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, before, squeeze, pooled, weight, y, after, ctx.silu, scale, residual, ctx.batch = inputs
    ctx.normed, ctx.gated, ctx.has_residual = bool(before), bool(squeeze), residual is not None
    ctx.save_for_backward(x, weight, y, scale, *after, *before, *squeeze, *pooled)


def _product_backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    x, weight, y, scale, *vectors = ctx.saved_tensors
    after, rest = vectors[:4], vectors[4:]
    before, squeeze, seen = rest[:4], rest[4:8], rest[8:]  # seen: pooled sums and gate
    sums = norm_act_sums(g, y, after, ctx.silu, scale, None)
    moved = sums if ctx.batch else None
    gate = seen[1] if ctx.gated else None
    dx, d_weight, inner = product_grad(g, y, after, ctx.silu, scale, moved, x, before, gate, weight)
    d_before: list[Tensor | None] = []
    d_squeeze: list[Tensor] = []
    if ctx.gated:
        share = 1.0 / (x.shape[2] * x.shape[3])
        shift, d_squeeze = squeeze_gradients(squeeze, seen[0], seen[1], share, inner)
        inner = norm_act_sums(dx, x, before, True, gate, shift)
        dx = norm_act_grad(dx, x, before, True, gate, shift, inner if ctx.batch else None)
    elif ctx.normed:
        dx = norm_act_grad(dx, x, before, False, None, None, inner if ctx.batch else None)
    if ctx.normed:
        d_before = norm_gradients(before, inner)
    gradients = (dx, d_before, d_squeeze, [None] * len(seen), d_weight.to(weight.dtype), None)
    return *gradients, norm_gradients(after, sums), None, None, g if ctx.has_residual else None, None


product_norm_act.register_autograd(_product_backward, setup_context=_product_saves)

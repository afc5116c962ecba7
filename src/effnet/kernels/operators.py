"""The operators of batch norm and depthwise convolution, registered with `torch.library` as `effnet::...`.

Each launches Triton on a GPU and computes its torch reference elsewhere, has a fake for tracing and a derivative made
of other operators. Statistics travel beside a map and are not differentiated: the derivative of what *uses* them
(`norm_act`, `norm_depthwise`, `norm_gate`) includes their dependence on the map where `batch` says that they are its.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from effnet.kernels import reference
from effnet.kernels.availability import launches


def programs(x: Tensor, module: str) -> Any:
    """Return the module that computes on `x`: Triton launchers (imported now) or the reference."""
    return importlib.import_module(f"effnet.kernels.programs.{module}") if launches(x) else reference


def like(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Return an empty map of this shape, with the batch, dtype and device of `x`, channels last."""
    shape = (x.shape[0], channels, height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def same(x: Tensor) -> Tensor:
    """Return an empty map like `x`, channels last."""
    return torch.empty_like(x, memory_format=torch.channels_last)


def norm_gradients(norm: list[Tensor], sums: Tensor) -> list[Tensor | None]:
    """Return the gradients of a norm's four vectors from the sums of dz and dz * x_hat; the first two have none."""
    return [None, None, sums[1].to(norm[2].dtype), sums[0].to(norm[3].dtype)]


def strided(size: int, stride: int) -> int:
    """Return ceil(size / stride)."""
    return (size + stride - 1) // stride


@torch.library.custom_op("effnet::norm_statistics", mutates_args=())
def norm_statistics(x: Tensor, pivot: Tensor) -> Tensor:
    """As `reference.norm_statistics`."""
    result: Tensor = programs(x, "norm").norm_statistics(x, pivot)
    return result


@norm_statistics.register_fake
def _(x: Tensor, pivot: Tensor) -> Tensor:
    return x.new_empty((2, x.shape[1]), dtype=reference.precise(x))


@torch.library.custom_op("effnet::norm_finish", mutates_args=("running_mean", "running_var"))
def norm_finish(
    sums: Tensor, running_mean: Tensor, running_var: Tensor, count: int, momentum: float, eps: float
) -> tuple[Tensor, Tensor]:
    """As `reference.norm_finish`."""
    mean, rstd = programs(sums, "norm").norm_finish(sums, running_mean, running_var, count, momentum, eps)
    return mean, rstd


@norm_finish.register_fake
def _(
    sums: Tensor, running_mean: Tensor, running_var: Tensor, count: int, momentum: float, eps: float
) -> tuple[Tensor, Tensor]:
    return sums.new_empty(sums.shape[1]), sums.new_empty(sums.shape[1])


@torch.library.custom_op("effnet::norm_act_sums", mutates_args=())
def norm_act_sums(
    g: Tensor, x: Tensor, norm: list[Tensor], silu: bool, scale: Tensor | None, shift: Tensor | None
) -> Tensor:
    """As `reference.norm_act_sums`."""
    result: Tensor = programs(x, "norm").norm_act_sums(g, x, norm, silu, scale, shift)
    return result


@norm_act_sums.register_fake
def _(g: Tensor, x: Tensor, norm: list[Tensor], silu: bool, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    return x.new_empty((2, x.shape[1]), dtype=reference.precise(x))


@torch.library.custom_op("effnet::norm_act_grad", mutates_args=())
def norm_act_grad(
    g: Tensor,
    x: Tensor,
    norm: list[Tensor],
    silu: bool,
    scale: Tensor | None,
    shift: Tensor | None,
    sums: Tensor | None,
) -> Tensor:
    """As `reference.norm_act_grad`."""
    result: Tensor = programs(x, "norm").norm_act_grad(g, x, norm, silu, scale, shift, sums)
    return result


@norm_act_grad.register_fake
def _(
    g: Tensor,
    x: Tensor,
    norm: list[Tensor],
    silu: bool,
    scale: Tensor | None,
    shift: Tensor | None,
    sums: Tensor | None,
) -> Tensor:
    return same(x)


@torch.library.custom_op("effnet::norm_act_pool", mutates_args=())
def norm_act_pool(x: Tensor, norm: list[Tensor], silu: bool, g: Tensor | None) -> Tensor:
    """As `reference.norm_act_pool`."""
    result: Tensor = programs(x, "norm").norm_act_pool(x, norm, silu, g)
    return result


@norm_act_pool.register_fake
def _(x: Tensor, norm: list[Tensor], silu: bool, g: Tensor | None) -> Tensor:
    return x.new_empty((x.shape[0], x.shape[1]), dtype=reference.precise(x))


@torch.library.custom_op("effnet::norm_act", mutates_args=())
def norm_act(
    x: Tensor,
    norm: list[Tensor],
    silu: bool,
    scale: Tensor | None,
    residual: Tensor | None,
    batch: bool,
) -> Tensor:
    """act(norm(x)) * scale + residual, as `reference.norm_act`; `scale` (drop path) is not differentiated.

    Args:
        batch: mean and rstd are of this very `x`, which the derivative then takes into account.
    """
    result: Tensor = programs(x, "norm").norm_act(x, norm, silu, scale, residual)
    return result


@norm_act.register_fake
def _(
    x: Tensor,
    norm: list[Tensor],
    silu: bool,
    scale: Tensor | None,
    residual: Tensor | None,
    batch: bool,
) -> Tensor:
    return same(x)


def _norm_act_saves(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, norm, ctx.silu, scale, residual, ctx.batch = inputs
    ctx.has_residual = residual is not None
    ctx.save_for_backward(x, *norm, scale)


def _norm_act_backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    x, *norm, scale = ctx.saved_tensors
    sums = norm_act_sums(g, x, norm, ctx.silu, scale, None)
    dx = norm_act_grad(g, x, norm, ctx.silu, scale, None, sums if ctx.batch else None)
    residual = g if ctx.has_residual else None
    return dx, norm_gradients(norm, sums), None, None, residual, None


norm_act.register_autograd(_norm_act_backward, setup_context=_norm_act_saves)


@torch.library.custom_op("effnet::depthwise_grad", mutates_args=())
def depthwise_grad(
    g: Tensor, x: Tensor, taps: Tensor, norm: list[Tensor], stride: int, top: int, left: int
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.depthwise_grad`."""
    dz, d_taps, sums = programs(x, "depthwise").depthwise_grad(g, x, taps, norm, stride, top, left)
    return dz, d_taps, sums


@depthwise_grad.register_fake
def _(
    g: Tensor, x: Tensor, taps: Tensor, norm: list[Tensor], stride: int, top: int, left: int
) -> tuple[Tensor, Tensor, Tensor]:
    kind = reference.precise(x)
    return same(x), x.new_empty(tuple(taps.shape), dtype=kind), x.new_empty((2, x.shape[1]), dtype=kind)


@torch.library.custom_op("effnet::depthwise", mutates_args=())
def depthwise(x: Tensor, taps: Tensor, stride: int, top: int, left: int, pivot: Tensor) -> tuple[Tensor, Tensor]:
    """Depthwise convolution of `x` and the sums of its result about `pivot`, as `reference.depthwise`."""
    y, sums = programs(x, "depthwise").depthwise(x, taps, [], stride, top, left, pivot)
    return y, sums


@depthwise.register_fake
def _(x: Tensor, taps: Tensor, stride: int, top: int, left: int, pivot: Tensor) -> tuple[Tensor, Tensor]:
    y = like(x, x.shape[1], strided(x.shape[2], stride), strided(x.shape[3], stride))
    return y, x.new_empty((2, x.shape[1]), dtype=reference.precise(x))


def _depthwise_saves(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, taps, ctx.stride, ctx.top, ctx.left, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(x, taps)


def _depthwise_backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    x, taps = ctx.saved_tensors
    dx, d_taps, _sums = depthwise_grad(g, x, taps, [], ctx.stride, ctx.top, ctx.left)
    return dx, d_taps.to(taps.dtype), None, None, None, None


depthwise.register_autograd(_depthwise_backward, setup_context=_depthwise_saves)


@torch.library.custom_op("effnet::norm_depthwise", mutates_args=())
def norm_depthwise(
    x: Tensor,
    norm: list[Tensor],
    taps: Tensor,
    stride: int,
    top: int,
    left: int,
    pivot: Tensor,
    batch: bool,
) -> tuple[Tensor, Tensor]:
    """Depthwise convolution of silu(norm(x)), which is never stored, and the sums of its result about `pivot`."""
    y, sums = programs(x, "depthwise").depthwise(x, taps, norm, stride, top, left, pivot)
    return y, sums


@norm_depthwise.register_fake
def _(
    x: Tensor,
    norm: list[Tensor],
    taps: Tensor,
    stride: int,
    top: int,
    left: int,
    pivot: Tensor,
    batch: bool,
) -> tuple[Tensor, Tensor]:
    y = like(x, x.shape[1], strided(x.shape[2], stride), strided(x.shape[3], stride))
    return y, x.new_empty((2, x.shape[1]), dtype=reference.precise(x))


def _norm_depthwise_saves(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, norm, taps, ctx.stride, ctx.top, ctx.left, _, ctx.batch = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(x, *norm, taps)


def _norm_depthwise_backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Any, ...]:
    x, *norm, taps = ctx.saved_tensors
    dz, d_taps, sums = depthwise_grad(g, x, taps, norm, ctx.stride, ctx.top, ctx.left)
    dx = norm_act_grad(dz, x, norm, False, None, None, sums if ctx.batch else None)
    return dx, norm_gradients(norm, sums), d_taps.to(taps.dtype), None, None, None, None, None


norm_depthwise.register_autograd(_norm_depthwise_backward, setup_context=_norm_depthwise_saves)

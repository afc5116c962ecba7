"""Batch norm over channels-last maps: statistics, apply with SiLU, gate, drop path and residual, and the backward pass.

A map is (M, C) with M = N * H * W. Each kernel reads what it needs once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from effnet.kernels import reference
from effnet.kernels.availability import interpreting
from effnet.kernels.programs.launching import launcher
from effnet.kernels.reference import Norm
from effnet.kernels.tiles import cdiv, row_tile

_PROGRAMS = 1024
"""Parts that a sum over pixels is taken in: enough to fill a large GPU, few enough that adding them costs nothing."""


@triton.jit
def sigmoid(z, FAST: tl.constexpr):
    """One special-function instruction (tanh.approx, 11 bits) where 16-bit results round it away, else two."""
    if FAST:
        t = tl.inline_asm_elementwise(
            "tanh.approx.f32 $0, $1;", "=f,f", [z * 0.5], dtype=tl.float32, is_pure=True, pack=1
        )
        s = t * 0.5 + 0.5
    else:
        s = 1.0 / (1.0 + tl.exp(-z))
    return s


@triton.jit
def eights(C, EIGHT: tl.constexpr):
    """Return C in a form that shows the compiler that 8 divides it, so that loads are 16 bytes wide."""
    if EIGHT:
        C = C // 8 * 8
    return C


@triton.jit
def statistics_kernel(x, pivot, partial, M, C, STEPS, EIGHT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr):
    C = eights(C, EIGHT)
    p = tl.program_id(0)
    programs = tl.num_programs(0)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    cm = c < C
    pv = tl.load(pivot + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    s = tl.zeros((BM, BC), tl.float32)
    q = tl.zeros((BM, BC), tl.float32)
    for i in range(0, STEPS):
        rows = (i * programs + p).to(tl.int64) * BM + tl.arange(0, BM)
        mask = (rows < M)[:, None] & cm[None, :]
        v = tl.load(x + rows[:, None] * C + c[None, :], mask=mask, other=0.0).to(tl.float32)
        d = tl.where(mask, v - pv, 0.0)
        s += d
        q += d * d
    tl.store(partial + (p * 2) * C + c, tl.sum(s, 0), mask=cm)
    tl.store(partial + (p * 2 + 1) * C + c, tl.sum(q, 0), mask=cm)


@triton.jit
def finish_kernel(sums, running_mean, running_var, mean, rstd, C, count, momentum, eps, unbiased, BC: tl.constexpr):
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    cm = c < C
    pivot = tl.load(running_mean + c, mask=cm, other=0.0).to(tl.float32)
    before = tl.load(running_var + c, mask=cm, other=0.0).to(tl.float32)
    shift = tl.load(sums + c, mask=cm, other=0.0) / count
    square = tl.load(sums + C + c, mask=cm, other=0.0) / count
    var = tl.maximum(square - shift * shift, 0.0)
    tl.store(mean + c, pivot + shift, mask=cm)
    tl.store(rstd + c, 1.0 / tl.sqrt(var + eps), mask=cm)
    tl.store(running_mean + c, pivot + momentum * shift, mask=cm)
    tl.store(running_var + c, before + momentum * (var * unbiased - before), mask=cm)


@triton.jit
def norm_act_kernel(
    x, mean, rstd, weight, bias, scale, residual, y, M, C, HW, scale_n, scale_c,
    SILU: tl.constexpr, SCALE: tl.constexpr, RESIDUAL: tl.constexpr, FAST: tl.constexpr,
    EIGHT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    C = eights(C, EIGHT)
    rows = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    cm = c < C
    mask = (rows < M)[:, None] & cm[None, :]
    at = rows[:, None] * C + c[None, :]
    mu = tl.load(mean + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    rs = tl.load(rstd + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    w = tl.load(weight + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    b = tl.load(bias + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    v = (tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - mu) * rs * w + b
    if SILU:
        v = v * sigmoid(v, FAST)
    if SCALE:
        n = rows // HW
        v = v * tl.load(scale + n[:, None] * scale_n + c[None, :] * scale_c, mask=mask, other=0.0).to(tl.float32)
    if RESIDUAL:
        v += tl.load(residual + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + at, v.to(y.dtype.element_ty), mask=mask)


@triton.jit
def grad_z(
    g, x, mean, rstd, weight, bias, scale, shift, rows, c, mask, cm, C, HW, scale_n, scale_c, shift_n, shift_c,
    SILU: tl.constexpr, SCALE: tl.constexpr, SHIFT: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Return (g * scale + shift) * act'(z), and x_hat."""
    at = rows[:, None] * C + c[None, :]
    mu = tl.load(mean + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    rs = tl.load(rstd + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    unit = (tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - mu) * rs
    d = tl.load(g + at, mask=mask, other=0.0).to(tl.float32)
    if SCALE or SHIFT:
        n = rows // HW
        if SCALE:
            d = d * tl.load(scale + n[:, None] * scale_n + c[None, :] * scale_c, mask=mask, other=0.0).to(tl.float32)
        if SHIFT:
            d += tl.load(shift + n[:, None] * shift_n + c[None, :] * shift_c, mask=mask, other=0.0).to(tl.float32)
    if SILU:
        w = tl.load(weight + c, mask=cm, other=0.0).to(tl.float32)[None, :]
        b = tl.load(bias + c, mask=cm, other=0.0).to(tl.float32)[None, :]
        z = unit * w + b
        s = sigmoid(z, FAST)
        d = d * (s * (1.0 + z * (1.0 - s)))
    return tl.where(mask, d, 0.0), unit


@triton.jit
def sums_kernel(
    g, x, mean, rstd, weight, bias, scale, shift, partial, M, C, HW, scale_n, scale_c, shift_n, shift_c, STEPS,
    SILU: tl.constexpr, SCALE: tl.constexpr, SHIFT: tl.constexpr, FAST: tl.constexpr,
    EIGHT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    C = eights(C, EIGHT)
    p = tl.program_id(0)
    programs = tl.num_programs(0)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    cm = c < C
    s = tl.zeros((BM, BC), tl.float32)
    q = tl.zeros((BM, BC), tl.float32)
    for i in range(0, STEPS):
        rows = (i * programs + p).to(tl.int64) * BM + tl.arange(0, BM)
        mask = (rows < M)[:, None] & cm[None, :]
        dz, unit = grad_z(
            g, x, mean, rstd, weight, bias, scale, shift, rows, c, mask, cm, C, HW, scale_n, scale_c, shift_n, shift_c,
            SILU, SCALE, SHIFT, FAST,
        )  # fmt: skip
        s += dz
        q += dz * unit
    tl.store(partial + (p * 2) * C + c, tl.sum(s, 0), mask=cm)
    tl.store(partial + (p * 2 + 1) * C + c, tl.sum(q, 0), mask=cm)


@triton.jit
def grad_kernel(
    g, x, mean, rstd, weight, bias, scale, shift, sums, dx, M, C, HW, scale_n, scale_c, shift_n, shift_c,
    SILU: tl.constexpr, SCALE: tl.constexpr, SHIFT: tl.constexpr, BATCH: tl.constexpr, FAST: tl.constexpr,
    EIGHT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    C = eights(C, EIGHT)
    rows = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    cm = c < C
    mask = (rows < M)[:, None] & cm[None, :]
    dz, unit = grad_z(
        g, x, mean, rstd, weight, bias, scale, shift, rows, c, mask, cm, C, HW, scale_n, scale_c, shift_n, shift_c,
        SILU, SCALE, SHIFT, FAST,
    )  # fmt: skip
    if BATCH:
        dz -= (tl.load(sums + c, mask=cm, other=0.0) / M)[None, :]
        dz -= unit * (tl.load(sums + C + c, mask=cm, other=0.0) / M)[None, :]
    rs = tl.load(rstd + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    w = tl.load(weight + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    tl.store(dx + rows[:, None] * C + c[None, :], (dz * w * rs).to(dx.dtype.element_ty), mask=mask)


@triton.jit
def pool_kernel(
    x, mean, rstd, weight, bias, g, out, C, HW, STEPS,
    SILU: tl.constexpr, TIMES: tl.constexpr, FAST: tl.constexpr,
    EIGHT: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    C = eights(C, EIGHT)
    n = tl.program_id(0)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    cm = c < C
    base = n.to(tl.int64) * HW * C
    mu = tl.load(mean + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    rs = tl.load(rstd + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    w = tl.load(weight + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    b = tl.load(bias + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    s = tl.zeros((BM, BC), tl.float32)
    for i in range(0, STEPS):
        rows = i * BM + tl.arange(0, BM)
        mask = (rows < HW)[:, None] & cm[None, :]
        at = base + rows[:, None].to(tl.int64) * C + c[None, :]
        v = (tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - mu) * rs * w + b
        if SILU:
            v = v * sigmoid(v, FAST)
        if TIMES:
            v = v * tl.load(g + at, mask=mask, other=0.0).to(tl.float32)
        s += tl.where(mask, v, 0.0)
    tl.store(out + n * C + c, tl.sum(s, 0), mask=cm)


def fast(x: Tensor) -> bool:
    """Whether the approximate sigmoid's 11 bits are enough for results of this dtype; the interpreter has no PTX."""
    return x.dtype != torch.float32 and not interpreting()


def last(x: Tensor) -> Tensor:
    """Return `x` with channels last in memory, itself where it is so already."""
    return x.contiguous(memory_format=torch.channels_last)


def _pixels(x: Tensor) -> int:
    return x.numel() // x.shape[1]


@launcher
def norm_statistics(x: Tensor, pivot: Tensor) -> Tensor:
    """As `reference.norm_statistics`."""
    x, tile, channels, pixels = last(x), row_tile(x.shape[1]), x.shape[1], _pixels(x)
    programs = min(_PROGRAMS, cdiv(pixels, tile.rows))
    partial = x.new_empty((programs, 2, channels), dtype=torch.float32)
    grid = (programs, cdiv(channels, tile.channels))
    steps = cdiv(cdiv(pixels, tile.rows), programs)
    statistics_kernel[grid](
        x,
        pivot,
        partial,
        pixels,
        channels,
        steps,
        EIGHT=channels % 8 == 0,
        BM=tile.rows,
        BC=tile.channels,
        num_warps=tile.warps,
    )
    return partial.sum(0)


def norm_finish(
    sums: Tensor, running_mean: Tensor, running_var: Tensor, count: int, momentum: float, eps: float
) -> tuple[Tensor, Tensor]:
    """As `reference.norm_finish`."""
    if not (running_mean.is_contiguous() and running_var.is_contiguous()):  # written in place, so not to be copied
        return reference.norm_finish(sums, running_mean, running_var, count, momentum, eps)
    return _norm_finish(sums.contiguous(), running_mean, running_var, count, momentum, eps)


@launcher
def _norm_finish(
    sums: Tensor, running_mean: Tensor, running_var: Tensor, count: int, momentum: float, eps: float
) -> tuple[Tensor, Tensor]:
    channels = sums.shape[1]
    mean, rstd = sums.new_empty(channels), sums.new_empty(channels)
    finish_kernel[(cdiv(channels, 256),)](
        sums, running_mean, running_var, mean, rstd, channels,
        float(count), momentum, eps, count / max(count - 1, 1), BC=256, num_warps=4,
    )  # fmt: skip
    return mean, rstd


@launcher
def norm_act(
    x: Tensor,
    norm: Norm,
    silu: bool,
    scale: Tensor | None,
    residual: Tensor | None,
) -> Tensor:
    """As `reference.norm_act`."""
    x, tile, channels, pixels = last(x), row_tile(x.shape[1]), x.shape[1], _pixels(x)
    y = torch.empty_like(x, memory_format=torch.channels_last)
    grid = (cdiv(pixels, tile.rows), cdiv(channels, tile.channels))
    norm_act_kernel[grid](
        x, *norm,
        x if scale is None else scale, x if residual is None else last(residual), y,
        pixels, channels, x.shape[2] * x.shape[3], *_strides(scale),
        SILU=silu, SCALE=scale is not None, RESIDUAL=residual is not None, FAST=fast(x),
        EIGHT=channels % 8 == 0, BM=tile.rows, BC=tile.channels, num_warps=tile.warps,
    )  # fmt: skip
    return y


@launcher
def norm_act_sums(
    g: Tensor,
    x: Tensor,
    norm: Norm,
    silu: bool,
    scale: Tensor | None,
    shift: Tensor | None,
) -> Tensor:
    """As `reference.norm_act_sums`."""
    x, g, tile, channels, pixels = last(x), last(g), row_tile(x.shape[1]), x.shape[1], _pixels(x)
    programs = min(_PROGRAMS, cdiv(pixels, tile.rows))
    partial = x.new_empty((programs, 2, channels), dtype=torch.float32)
    grid = (programs, cdiv(channels, tile.channels))
    sums_kernel[grid](
        g, x, *norm, x if scale is None else scale, x if shift is None else shift, partial,
        pixels, channels, x.shape[2] * x.shape[3], *_strides(scale), *_strides(shift),
        cdiv(cdiv(pixels, tile.rows), programs),
        SILU=silu, SCALE=scale is not None, SHIFT=shift is not None, FAST=fast(x),
        EIGHT=channels % 8 == 0, BM=tile.rows, BC=tile.channels, num_warps=tile.warps,
    )  # fmt: skip
    return partial.sum(0)


@launcher
def norm_act_grad(
    g: Tensor,
    x: Tensor,
    norm: Norm,
    silu: bool,
    scale: Tensor | None,
    shift: Tensor | None,
    sums: Tensor | None,
) -> Tensor:
    """As `reference.norm_act_grad`."""
    x, g, tile, channels, pixels = last(x), last(g), row_tile(x.shape[1]), x.shape[1], _pixels(x)
    dx = torch.empty_like(x, memory_format=torch.channels_last)
    grid = (cdiv(pixels, tile.rows), cdiv(channels, tile.channels))
    grad_kernel[grid](
        g, x, *norm, x if scale is None else scale, x if shift is None else shift,
        x if sums is None else sums.contiguous(), dx,
        pixels, channels, x.shape[2] * x.shape[3], *_strides(scale), *_strides(shift),
        SILU=silu, SCALE=scale is not None, SHIFT=shift is not None, BATCH=sums is not None, FAST=fast(x),
        EIGHT=channels % 8 == 0, BM=tile.rows, BC=tile.channels, num_warps=tile.warps,
    )  # fmt: skip
    return dx


@launcher
def norm_act_pool(x: Tensor, norm: Norm, silu: bool, g: Tensor | None) -> Tensor:
    """As `reference.norm_act_pool`."""
    x, tile, samples, channels = last(x), row_tile(x.shape[1]), x.shape[0], x.shape[1]
    area = x.shape[2] * x.shape[3]
    out = x.new_empty((samples, channels), dtype=torch.float32)
    pool_kernel[(samples, cdiv(channels, tile.channels))](
        x, *norm, x if g is None else last(g), out, channels, area, cdiv(area, tile.rows),
        SILU=silu, TIMES=g is not None, FAST=fast(x),
        EIGHT=channels % 8 == 0, BM=tile.rows, BC=tile.channels, num_warps=tile.warps,
    )  # fmt: skip
    return out


def _strides(v: Tensor | None) -> tuple[int, int]:
    return (0, 0) if v is None else (v.stride(0), v.stride(1))

"""Depthwise convolution over channels-last maps, kernels 3 and 5, strides 1 and 2, any padding.

Forward: a program owns some columns and channels of a sample and walks down the rows. Each input row is read and
activated once a column tap (k times, not k * k), and added to the output rows it belongs to: those not yet finished
live in registers, the oldest is written when its last row has passed.

Backward: a program owns columns of the *input*. For each pixel it gathers the k * k gradients around it (one pass over
DRAM; neighbours hit the cache), which give both the input's gradient and, times the activated input, the weight's.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from effnet.kernels.programs.launching import launcher
from effnet.kernels.programs.norm import eights, fast, last, sigmoid
from effnet.kernels.reference import Norm
from effnet.kernels.tiles import backward_tile, cdiv, forward_tile, pool_parts

_BACKWARD_PROGRAMS = 4096
"""Programs worth having in a backward launch; beyond them a program takes several samples and keeps its sums."""


@triton.jit
def added(values, i: tl.constexpr, v):
    """Return the tuple with `v` added to its entry `i`; it stays in registers."""
    return values[:i] + (values[i] + v,) + values[i + 1 :]


@triton.jit
def forward_kernel(
    x, taps, mean, rstd, gamma, beta, pivot, bias, y, partial, pooled,
    H, W, OH, OW, C, TOP, LEFT, tap_t, tap_c,
    K: tl.constexpr, S: tl.constexpr, NORM: tl.constexpr, STATS: tl.constexpr, BIAS: tl.constexpr,
    SILU: tl.constexpr, POOL: tl.constexpr, FAST: tl.constexpr,
    EIGHT: tl.constexpr, BW: tl.constexpr, BC: tl.constexpr, RH: tl.constexpr,
):  # fmt: skip
    C = eights(C, EIGHT)
    AGE: tl.constexpr = (K - 1) // S  # steps between an output row's first input row and its last
    pid = tl.program_id(0)
    columns = tl.cdiv(OW, BW)
    bands = tl.cdiv(OH, RH)
    band = (pid // columns) % bands
    n = pid // columns // bands
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    cm = c < C
    wo = (pid % columns) * BW + tl.arange(0, BW)
    inside = (wo < OW)[:, None] & cm[None, :]
    if NORM:
        mu = tl.load(mean + c, mask=cm, other=0.0).to(tl.float32)[None, :]
        gain = tl.load(rstd + c, mask=cm, other=0.0).to(tl.float32)[None, :]
        gain = gain * tl.load(gamma + c, mask=cm, other=0.0).to(tl.float32)[None, :]
        offset = tl.load(beta + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    if BIAS:
        add = tl.load(bias + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    if STATS:
        pv = tl.load(pivot + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    base = x + n.to(tl.int64) * H * W * C
    out = y + n.to(tl.int64) * OH * OW * C
    lane = tl.zeros((BW,), tl.int32)  # a row number joins a mask as a vector: the interpreter widens scalar booleans
    zero = tl.zeros((BW, BC), tl.float32)
    acc = (zero,) * (AGE + 1)  # acc[m]: output row t - m
    s = zero
    q = zero
    for i in range(0, RH + AGE):
        t = band * RH + i
        for j in tl.static_range(S):
            r = t * S + j - TOP
            for kw in tl.range(0, K, loop_unroll_factor=1):  # unrolled, it spills: k * k weights at once
                wi = wo * S + kw - LEFT
                rv = lane + r
                mask = ((rv >= 0) & (rv < H) & (wi >= 0) & (wi < W))[:, None] & cm[None, :]
                v = tl.load(base + (r * W + wi)[:, None] * C + c[None, :], mask=mask, other=0.0).to(tl.float32)
                if NORM:
                    v = (v - mu) * gain + offset
                    v = tl.where(mask, v * sigmoid(v, FAST), 0.0)
                for m in tl.static_range((K - 1 - j) // S + 1):
                    tap = ((S * m + j) * K + kw) * tap_t
                    w = tl.load(taps + tap + c * tap_c, mask=cm, other=0.0).to(tl.float32)[None, :]
                    acc = added(acc, m, v * w)
        o = t - AGE
        done = acc[AGE]
        if BIAS:
            done += add
        if SILU:
            done = done * sigmoid(done, FAST)
        ov = lane + o
        mask = ((ov >= band * RH) & (ov < band * RH + RH) & (ov < OH))[:, None] & inside
        rounded = done.to(y.dtype.element_ty)
        tl.store(out + (o * OW + wo)[:, None] * C + c[None, :], rounded, mask=mask)
        if STATS:
            d = tl.where(mask, rounded.to(tl.float32) - pv, 0.0)
            s += d
            q += d * d
        if POOL:
            s += tl.where(mask, rounded.to(tl.float32), 0.0)
        acc = (zero,) + acc[:AGE]
    row = pid.to(tl.int64)
    if STATS:
        tl.store(partial + (row * 2) * C + c, tl.sum(s, 0), mask=cm)
        tl.store(partial + (row * 2 + 1) * C + c, tl.sum(q, 0), mask=cm)
    if POOL:
        tl.store(pooled + row * C + c, tl.sum(s, 0), mask=cm)


@triton.jit
def backward_kernel(
    g, x, taps, mean, rstd, gamma, beta, dx, partial,
    N, H, W, OH, OW, C, TOP, LEFT, FIRST_ROW, FIRST_COLUMN, rows, bands, columns, SAMPLES, tap_t, tap_c,
    K: tl.constexpr, S: tl.constexpr, NORM: tl.constexpr, FAST: tl.constexpr,
    EIGHT: tl.constexpr, BW: tl.constexpr, BC: tl.constexpr, RH: tl.constexpr,
):  # fmt: skip
    C = eights(C, EIGHT)
    pid = tl.program_id(0)
    band = (pid // columns) % bands
    group = pid // columns // bands
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    cm = c < C
    # Pixel (t * S + j - TOP, u * S + jj - LEFT) meets gradient (t - m, u - mm) under tap (S * m + j, S * mm + jj).
    u = FIRST_COLUMN + (pid % columns) * BW + tl.arange(0, BW)
    lane = tl.zeros((BW,), tl.int32)
    zero = tl.zeros((BW, BC), tl.float32)
    weights = (zero,) * (K * K)
    s = zero
    q = zero
    if NORM:
        mu = tl.load(mean + c, mask=cm, other=0.0).to(tl.float32)[None, :]
        rs = tl.load(rstd + c, mask=cm, other=0.0).to(tl.float32)[None, :]
        ga = tl.load(gamma + c, mask=cm, other=0.0).to(tl.float32)[None, :]
        be = tl.load(beta + c, mask=cm, other=0.0).to(tl.float32)[None, :]
    for i in range(0, SAMPLES * RH):
        n = group * SAMPLES + i // RH
        step = band * RH + i % RH
        t = FIRST_ROW + step
        live = (lane + n < N) & (lane + step < rows)
        xs = x + n.to(tl.int64) * H * W * C
        gs = g + n.to(tl.int64) * OH * OW * C
        for j in tl.static_range(S):
            h = t * S + j - TOP
            for jj in tl.static_range(S):
                w = u * S + jj - LEFT
                hv = lane + h
                mask = (live & (hv >= 0) & (hv < H) & (w >= 0) & (w < W))[:, None] & cm[None, :]
                at = (h * W + w)[:, None] * C + c[None, :]
                v = tl.load(xs + at, mask=mask, other=0.0).to(tl.float32)
                if NORM:
                    unit = (v - mu) * rs
                    z = unit * ga + be
                    sg = sigmoid(z, FAST)
                    v = tl.where(mask, z * sg, 0.0)
                    slope = sg * (1.0 + z * (1.0 - sg))
                d = zero
                for m in tl.static_range((K - 1 - j) // S + 1):
                    for mm in tl.static_range((K - 1 - jj) // S + 1):
                        gr = t - m
                        gc = u - mm
                        near = mask & ((lane + gr >= 0) & (lane + gr < OH) & (gc >= 0) & (gc < OW))[:, None]
                        gv = tl.load(gs + (gr * OW + gc)[:, None] * C + c[None, :], mask=near, other=0.0)
                        gv = gv.to(tl.float32)
                        tap = ((S * m + j) * K + S * mm + jj) * tap_t
                        wt = tl.load(taps + tap + c * tap_c, mask=cm, other=0.0).to(tl.float32)[None, :]
                        d += gv * wt
                        weights = added(weights, (S * m + j) * K + S * mm + jj, v * gv)
                if NORM:
                    d = d * slope
                rounded = d.to(dx.dtype.element_ty)
                tl.store(dx + n.to(tl.int64) * H * W * C + at, rounded, mask=mask)
                if NORM:
                    d = tl.where(mask, rounded.to(tl.float32), 0.0)
                    s += d
                    q += d * unit
    row = partial + pid.to(tl.int64) * (K * K + 2) * C + c
    tl.store(row, tl.sum(s, 0), mask=cm)
    tl.store(row + C, tl.sum(q, 0), mask=cm)
    for tap in tl.static_range(K * K):
        tl.store(row + (tap + 2) * C, tl.sum(weights[tap], 0), mask=cm)


def _side(taps: Tensor) -> int:
    return 3 if taps.shape[0] == 9 else 5


def _launch_forward(
    x: Tensor, taps: Tensor, norm: Norm, stride: int, top: int, left: int, pivot: Tensor | None,
    bias: Tensor | None, silu: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Statistics where a pivot is given, else pooled sums: (programs, 2, C) or (N, parts, C)."""
    x = last(x)
    samples, channels, height, width = x.shape
    out_height, out_width = cdiv(height, stride), cdiv(width, stride)
    kernel = _side(taps)
    tile = forward_tile(kernel, stride, out_height, out_width, channels)
    y = torch.empty(
        (samples, channels, out_height, out_width), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )
    parts = pool_parts(taps.shape[0], stride, height, width, channels)
    shape = (samples, parts, channels) if pivot is None else (samples * parts, 2, channels)
    sums = x.new_empty(shape, dtype=torch.float32)
    forward_kernel[(samples * parts, cdiv(channels, tile.channels))](
        x, taps, *(norm or [x] * 4), x if pivot is None else pivot, x if bias is None else bias, y, sums, sums,
        height, width, out_height, out_width, channels, top, left, taps.stride(0), taps.stride(1),
        K=kernel, S=stride, NORM=bool(norm), STATS=pivot is not None, BIAS=bias is not None, SILU=silu,
        POOL=pivot is None, FAST=fast(x),
        EIGHT=channels % 8 == 0, BW=tile.width, BC=tile.channels, RH=tile.height, num_warps=tile.warps,
    )  # fmt: skip
    return y, sums


@launcher
def depthwise(
    x: Tensor, taps: Tensor, norm: Norm, stride: int, top: int, left: int, pivot: Tensor
) -> tuple[Tensor, Tensor]:
    """As `reference.depthwise`."""
    y, partial = _launch_forward(x, taps, norm, stride, top, left, pivot, None, False)
    return y, partial.sum(0)


@launcher
def depthwise_act_pool(
    x: Tensor, taps: Tensor, bias: Tensor, silu: bool, stride: int, top: int, left: int
) -> tuple[Tensor, Tensor]:
    """As `reference.depthwise_act_pool`, with as many parts as there are tiles."""
    return _launch_forward(x, taps, [], stride, top, left, None, bias, silu)


@launcher
def depthwise_grad(
    g: Tensor, x: Tensor, taps: Tensor, norm: Norm, stride: int, top: int, left: int
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.depthwise_grad`."""
    x, g = last(x), last(g)
    samples, channels, height, width = x.shape
    kernel = _side(taps)
    first_row, first_column = top // stride, left // stride
    rows = (height - 1 + top) // stride + 1 - first_row
    tile = backward_tile(rows, channels)
    bands = cdiv(rows, tile.height)
    columns = cdiv((width - 1 + left) // stride + 1 - first_column, tile.width)
    blocks = cdiv(channels, tile.channels)
    each = max(1, samples * bands * columns * blocks // _BACKWARD_PROGRAMS)  # samples a program
    programs = cdiv(samples, each) * bands * columns
    dx = torch.empty_like(x, memory_format=torch.channels_last)
    partial = x.new_empty((programs, kernel * kernel + 2, channels), dtype=torch.float32)
    backward_kernel[(programs, blocks)](
        g, x, taps, *(norm or [x] * 4), dx, partial,
        samples, height, width, g.shape[2], g.shape[3], channels, top, left, first_row, first_column,
        rows, bands, columns, each, taps.stride(0), taps.stride(1),
        K=kernel, S=stride, NORM=bool(norm), FAST=fast(x),
        EIGHT=channels % 8 == 0, BW=tile.width, BC=tile.channels, RH=tile.height, num_warps=tile.warps,
    )  # fmt: skip
    return dx, partial[:, 2:].sum(0), partial[:, :2].sum(0)

"""Inference: 1x1 convolution as a matrix product; the gate in its prologue, bias, SiLU and shortcut in its epilogue."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from effnet.kernels.availability import interpreting
from effnet.kernels.programs.launching import launcher
from effnet.kernels.programs.norm import eights, fast, last, sigmoid
from effnet.kernels.tiles import cdiv, product_tile


@triton.jit
def pointwise_kernel(
    x, weight, bias, gate, residual, y, M, N, K, HW, gate_n, gate_k,
    SILU: tl.constexpr, GATE: tl.constexpr, RESIDUAL: tl.constexpr, FAST: tl.constexpr, PRECISION: tl.constexpr,
    WIDEN: tl.constexpr, EIGHT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    N = eights(N, EIGHT)
    K = eights(K, EIGHT)
    pid = tl.program_id(0)
    across = tl.cdiv(N, BN)  # neighbours share rows of x, which stay in the cache
    first = (pid // across) * BM
    local = tl.arange(0, BM)
    rows = first + local < M
    sample = (first + local) // HW
    n = (pid % across) * BN + tl.arange(0, BN)
    # Offsets within a tile fit 32 bits; 64-bit ones for every element would take half the registers.
    source = x + first.to(tl.int64) * K
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        inside = rows[:, None] & (k < K)[None, :]
        a = tl.load(source + local[:, None] * K + k[None, :], mask=inside, other=0.0)
        if GATE:
            by = tl.load(gate + sample[:, None] * gate_n + k[None, :] * gate_k, mask=inside, other=0.0)
            a = (a.to(tl.float32) * by.to(tl.float32)).to(a.dtype)
        b = tl.load(weight + n[None, :] * K + k[:, None], mask=(n < N)[None, :] & (k < K)[:, None], other=0.0)
        if WIDEN:  # Triton's interpreter multiplies 16-bit floats as if their bits were integers
            acc = tl.dot(a.to(tl.float32), b.to(a.dtype).to(tl.float32), acc, input_precision=PRECISION)
        else:
            acc = tl.dot(a, b.to(a.dtype), acc, input_precision=PRECISION)
    v = acc + tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
    if SILU:
        v = v * sigmoid(v, FAST)
    mask = rows[:, None] & (n < N)[None, :]
    at = local[:, None] * N + n[None, :]
    start_y = first.to(tl.int64) * N
    if RESIDUAL:
        v += tl.load(residual + start_y + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + start_y + at, v.to(y.dtype.element_ty), mask=mask)


@launcher
def pointwise(
    x: Tensor, weight: Tensor, bias: Tensor, silu: bool, gate: Tensor | None, residual: Tensor | None
) -> Tensor:
    """As `reference.pointwise`."""
    x = last(x)
    samples, channels, height, width = x.shape
    outputs, pixels = weight.shape[0], samples * height * width
    y = torch.empty(
        (samples, outputs, height, width), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )
    tile = product_tile(pixels, outputs, channels, x.element_size())
    pointwise_kernel[(cdiv(pixels, tile.rows) * cdiv(outputs, tile.outputs),)](
        x, weight.contiguous(), bias, x if gate is None else gate, x if residual is None else last(residual), y,
        pixels, outputs, channels, height * width, *((0, 0) if gate is None else gate.stride()),
        SILU=silu, GATE=gate is not None, RESIDUAL=residual is not None, FAST=fast(x),
        PRECISION="tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee",
        WIDEN=interpreting(),
        EIGHT=channels % 8 == outputs % 8 == 0,
        BM=tile.rows, BN=tile.outputs, BK=tile.channels, num_warps=tile.warps, num_stages=3,
    )  # fmt: skip
    return y

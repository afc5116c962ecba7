"""Training: 1x1 convolutions as matrix products, with the norm before in the prologue and the norm after around both.

A part is up to BM pixels of one sample (of the whole batch where nothing differs from sample to sample), so gates and
drop path are vectors and sums by sample need no atomics. Offsets within a part fit 32 bits, a part's start takes 64.

Backward, one pass over both maps gives both gradients where the results fit one tile (up to 256 channels, which the
large maps of the early stages have): the weight's sums stay in registers while the programs walk over the parts.
Beyond that each gradient takes its own pass.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from effnet.kernels.availability import interpreting
from effnet.kernels.programs.launching import launcher
from effnet.kernels.programs.norm import eights, fast, last, sigmoid
from effnet.kernels.reference import Norm
from effnet.kernels.tiles import GradientTile, cdiv, gradient_tile, source_tile, training_tile


@triton.jit
def dotted(a, b, acc, PRECISION: tl.constexpr, WIDEN: tl.constexpr):
    """Return acc + a @ b."""
    if WIDEN:  # Triton's interpreter multiplies 16-bit floats as if their bits were integers
        acc = tl.dot(a.to(tl.float32), b.to(tl.float32), acc, input_precision=PRECISION)
    else:
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    return acc


@triton.jit
def vector(v, c, cm):
    """Return a row of a (1, channels) vector in float32."""
    return tl.load(v + c, mask=cm, other=0.0).to(tl.float32)[None, :]


@triton.jit
def prepared(v, mean, rstd, gamma, beta, gate, k, km, mask, gate_k, NORM: tl.constexpr, GATE: tl.constexpr, FAST: tl.constexpr):  # fmt: skip  # noqa: E501
    """Return silu(norm(v)) * gate of a tile; `gate` points at the sample's."""
    if NORM:
        z = (v.to(tl.float32) - vector(mean, k, km)) * vector(rstd, k, km) * vector(gamma, k, km)
        z += vector(beta, k, km)
        u = z * sigmoid(z, FAST)
        if GATE:
            u = u * vector(gate, k * gate_k, km)
        v = tl.where(mask, u, 0.0).to(v.dtype)
    return v


@triton.jit
def product_kernel(
    x, mean, rstd, gamma, beta, gate, weight, pivot, y, partial, HW, N, K, tiles, gate_n, gate_k,
    NORM: tl.constexpr, GATE: tl.constexpr, FAST: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
    EIGHT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    N = eights(N, EIGHT)
    K = eights(K, EIGHT)
    pid = tl.program_id(0)
    across = tl.cdiv(N, BN)  # neighbours share rows of x, which stay in the cache
    part = pid // across
    sample = part // tiles
    first = (part % tiles) * BM
    local = tl.arange(0, BM)
    rows = first + local < HW
    n = (pid % across) * BN + tl.arange(0, BN)
    nm = n < N
    start = sample.to(tl.int64) * HW + first
    source = x + start * K
    gates = gate + sample * gate_n
    acc = tl.zeros((BM, BN), tl.float32)
    for begin in range(0, K, BK):
        k = begin + tl.arange(0, BK)
        km = k < K
        inside = rows[:, None] & km[None, :]
        a = tl.load(source + local[:, None] * K + k[None, :], mask=inside, other=0.0)
        a = prepared(a, mean, rstd, gamma, beta, gates, k, km, inside, gate_k, NORM, GATE, FAST)
        b = tl.load(weight + n[None, :] * K + k[:, None], mask=nm[None, :] & km[:, None], other=0.0)
        acc = dotted(a, b.to(a.dtype), acc, PRECISION, WIDEN)
    mask = rows[:, None] & nm[None, :]
    rounded = acc.to(y.dtype.element_ty)
    tl.store(y + start * N + local[:, None] * N + n[None, :], rounded, mask=mask)
    d = tl.where(mask, rounded.to(tl.float32) - vector(pivot, n, nm), 0.0)
    row = partial + part.to(tl.int64) * 2 * N + n
    tl.store(row, tl.sum(d, 0), mask=nm)
    tl.store(row + N, tl.sum(d * d, 0), mask=nm)


@triton.jit
def result_grad(
    g, y, mean, rstd, gamma, beta, scale, sums, at, n, nm, mask, N, count, scale_c,
    SILU: tl.constexpr, SCALE: tl.constexpr, BATCH: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Return the gradient of a tile of the product's result, in the map's dtype; `scale` points at the sample's."""
    rs = vector(rstd, n, nm)
    gain = vector(gamma, n, nm)
    unit = (tl.load(y + at, mask=mask, other=0.0).to(tl.float32) - vector(mean, n, nm)) * rs
    d = tl.load(g + at, mask=mask, other=0.0).to(tl.float32)
    if SCALE:
        d = d * vector(scale, n * scale_c, nm)
    if SILU:
        z = unit * gain + vector(beta, n, nm)
        s = sigmoid(z, FAST)
        d = d * (s * (1.0 + z * (1.0 - s)))
    if BATCH:
        d = d - vector(sums, n, nm) / count - unit * (vector(sums + N, n, nm) / count)
    return tl.where(mask, d * gain * rs, 0.0).to(y.dtype.element_ty)


@triton.jit
def source_stored(
    d, x, mean, rstd, gamma, beta, dx, rest, at, part, k, km, mask, K,
    NORM: tl.constexpr, GATE: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Store a tile of the source's gradient, and the part's sums that the derivative goes on with."""
    if NORM:
        unit = (tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - vector(mean, k, km)) * vector(rstd, k, km)
        z = unit * vector(gamma, k, km) + vector(beta, k, km)
        s = sigmoid(z, FAST)
        if not GATE:
            d = d * (s * (1.0 + z * (1.0 - s)))
    rounded = d.to(dx.dtype.element_ty)
    tl.store(dx + at, rounded, mask=mask)
    if NORM:
        stored = tl.where(mask, rounded.to(tl.float32), 0.0)
        if GATE:
            tl.store(rest + part.to(tl.int64) * K + k, tl.sum(stored * (z * s), 0), mask=km)
        else:
            row = rest + part.to(tl.int64) * 2 * K + k
            tl.store(row, tl.sum(stored, 0), mask=km)
            tl.store(row + K, tl.sum(stored * unit, 0), mask=km)


@triton.jit
def source_kernel(
    g, y, after_mean, after_rstd, after_gamma, after_beta, scale, sums, x, mean, rstd, gamma, beta, weight, dx, rest,
    HW, N, K, tiles, count, scale_n, scale_c,
    SILU: tl.constexpr, SCALE: tl.constexpr, BATCH: tl.constexpr, NORM: tl.constexpr, GATE: tl.constexpr,
    FAST: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
    EIGHT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    N = eights(N, EIGHT)
    K = eights(K, EIGHT)
    pid = tl.program_id(0)
    across = tl.cdiv(K, BK)
    part = pid // across
    sample = part // tiles
    first = (part % tiles) * BM
    local = tl.arange(0, BM)
    rows = first + local < HW
    k = (pid % across) * BK + tl.arange(0, BK)
    km = k < K
    start = sample.to(tl.int64) * HW + first
    scales = scale + sample * scale_n
    acc = tl.zeros((BM, BK), tl.float32)
    for begin in range(0, N, BN):
        n = begin + tl.arange(0, BN)
        nm = n < N
        at = local[:, None] * N + n[None, :]
        dy = result_grad(
            g + start * N, y + start * N, after_mean, after_rstd, after_gamma, after_beta, scales, sums, at, n, nm,
            rows[:, None] & nm[None, :], N, count, scale_c, SILU, SCALE, BATCH, FAST,
        )  # fmt: skip
        w = tl.load(weight + n[:, None] * K + k[None, :], mask=nm[:, None] & km[None, :], other=0.0).to(dy.dtype)
        acc = dotted(dy, w, acc, PRECISION, WIDEN)
    at = local[:, None] * K + k[None, :]
    source_stored(
        acc, x + start * K, mean, rstd, gamma, beta, dx + start * K, rest, at, part, k, km,
        rows[:, None] & km[None, :], K, NORM, GATE, FAST,
    )  # fmt: skip


@triton.jit
def gradients_kernel(
    g, y, after_mean, after_rstd, after_gamma, after_beta, scale, sums, x, mean, rstd, gamma, beta, gate, weight,
    dx, rest, partial, HW, N, K, tiles, parts, count, STEPS, scale_n, scale_c, gate_n, gate_k,
    SILU: tl.constexpr, SCALE: tl.constexpr, BATCH: tl.constexpr, NORM: tl.constexpr, GATE: tl.constexpr,
    SOURCE: tl.constexpr, FAST: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
    EIGHT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    N = eights(N, EIGHT)
    K = eights(K, EIGHT)
    p = tl.program_id(0)
    programs = tl.num_programs(0)
    across = tl.cdiv(K, BK)
    k = (tl.program_id(1) % across) * BK + tl.arange(0, BK)
    n = (tl.program_id(1) // across) * BN + tl.arange(0, BN)
    km = k < K
    nm = n < N
    both = nm[:, None] & km[None, :]
    local = tl.arange(0, BM)
    lane = tl.zeros((BM,), tl.int32)  # a number joins a mask as a vector: the interpreter widens scalar booleans
    acc = tl.zeros((BN, BK), tl.float32)
    if SOURCE:
        w = tl.load(weight + n[:, None] * K + k[None, :], mask=both, other=0.0).to(x.dtype.element_ty)
    for i in range(0, STEPS):
        step = i * programs + p
        part = tl.minimum(step, parts - 1)
        sample = part // tiles
        first = (part % tiles) * BM
        rows = (first + local < HW) & (lane + step < parts)
        start = sample.to(tl.int64) * HW + first
        dy = result_grad(
            g + start * N, y + start * N, after_mean, after_rstd, after_gamma, after_beta, scale + sample * scale_n,
            sums, local[:, None] * N + n[None, :], n, nm, rows[:, None] & nm[None, :], N, count, scale_c,
            SILU, SCALE, BATCH, FAST,
        )  # fmt: skip
        at = local[:, None] * K + k[None, :]
        inside = rows[:, None] & km[None, :]
        u = tl.load(x + start * K + at, mask=inside, other=0.0)
        u = prepared(
            u, mean, rstd, gamma, beta, gate + sample * gate_n, k, km, inside, gate_k, NORM, GATE, FAST
        )  # fmt: skip
        acc = dotted(tl.trans(dy), u, acc, PRECISION, WIDEN)
        if SOURCE:
            d = dotted(dy, w, tl.zeros((BM, BK), tl.float32), PRECISION, WIDEN)
            # A step past the last part has no rows; its sums must not replace those of the part it stands in for.
            source_stored(
                d, x + start * K, mean, rstd, gamma, beta, dx + start * K, rest, at, part, k,
                km & (tl.zeros((BK,), tl.int32) + step < parts), inside, K, NORM, GATE, FAST,
            )  # fmt: skip
    row = partial + p.to(tl.int64) * N * K
    tl.store(row + n[:, None] * K + k[None, :], acc, mask=both)


@launcher
def product(x: Tensor, norm: Norm, gate: Tensor | None, weight: Tensor, pivot: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.product`."""
    x = last(x)
    channels, outputs = x.shape[1], weight.shape[0]
    area, samples = _areas(x, gate)
    tile = training_tile(area, outputs, channels, x.element_size())
    tiles = cdiv(area, tile.rows)
    y = _map(x, outputs)
    partial = x.new_empty((samples * tiles, 2, outputs), dtype=torch.float32)
    product_kernel[(samples * tiles * cdiv(outputs, tile.outputs),)](
        x, *(norm or [x] * 4), x if gate is None else gate, weight.contiguous(), pivot, y, partial,
        area, outputs, channels, tiles, *_strides(gate),
        NORM=bool(norm), GATE=gate is not None, **_numerics(x), EIGHT=channels % 8 == outputs % 8 == 0,
        BM=tile.rows, BN=tile.outputs, BK=tile.channels, num_warps=tile.warps, num_stages=2,
    )  # fmt: skip
    return y, partial.sum(0)


@launcher
def product_grad(
    g: Tensor,
    y: Tensor,
    after: Norm,
    silu: bool,
    scale: Tensor | None,
    sums: Tensor | None,
    x: Tensor,
    before: Norm,
    gate: Tensor | None,
    weight: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.product_grad`."""
    g, y, x, weight = last(g), last(y), last(x), weight.contiguous()
    channels, outputs, pixels = x.shape[1], weight.shape[0], x.numel() // x.shape[1]
    area, samples = _areas(x, gate if scale is None else scale)
    tile = gradient_tile(area, pixels, outputs, channels, x.element_size())
    dx = torch.empty_like(x, memory_format=torch.channels_last)
    vectors = (
        g,
        y,
        *after,
        x if scale is None else scale,
        x if sums is None else sums.contiguous(),
        x,
        *(before or [x] * 4),
    )
    flags = {
        "SILU": silu, "SCALE": scale is not None, "BATCH": sums is not None, "NORM": bool(before),
        "GATE": gate is not None, **_numerics(x), "EIGHT": channels % 8 == outputs % 8 == 0,
    }  # fmt: skip
    if not tile.source:
        other = source_tile(area, channels)
        tiles = cdiv(area, other.rows)
        rest = _rest(x, samples * tiles, bool(before), gate)
        source_kernel[(samples * tiles * cdiv(channels, other.outputs),)](
            *vectors, weight, dx, rest, area, outputs, channels, tiles, float(pixels), *_strides(scale),
            **flags, BM=other.rows, BN=other.channels, BK=other.outputs, num_warps=other.warps, num_stages=2,
        )  # fmt: skip
        summed = _summed(rest, x, samples, bool(before), gate)
    tiles = cdiv(area, tile.rows)
    parts = samples * tiles
    rest = _rest(x, parts if tile.source else 0, bool(before), gate)
    programs = min(parts, tile.programs)
    partial = x.new_empty((programs, outputs, channels), dtype=torch.float32)
    gradients_kernel[(programs, _blocks(tile, outputs, channels))](
        *vectors, x if gate is None else gate, weight, dx, rest, partial, area, outputs, channels, tiles, parts,
        float(pixels), cdiv(parts, programs), *_strides(scale), *_strides(gate),
        **flags, SOURCE=tile.source, BM=tile.rows, BN=tile.outputs, BK=tile.channels,
        num_warps=tile.warps, num_stages=1,
    )  # fmt: skip
    if tile.source:
        summed = _summed(rest, x, samples, bool(before), gate)
    return dx, partial.sum(0), summed


def _blocks(tile: GradientTile, outputs: int, channels: int) -> int:
    return cdiv(outputs, tile.outputs) * cdiv(channels, tile.channels)


def _areas(x: Tensor, by_sample: Tensor | None) -> tuple[int, int]:
    """Pixels that share their vectors, and how often: a sample's where something differs by sample, else all."""
    area = x.shape[2] * x.shape[3]
    return (area * x.shape[0], 1) if by_sample is None else (area, x.shape[0])


def _rest(x: Tensor, parts: int, normed: bool, gate: Tensor | None) -> Tensor:
    rows = parts if normed else 0
    shape = (rows, 2, x.shape[1]) if gate is None else (rows, x.shape[1])
    return x.new_empty(shape, dtype=torch.float32)


def _summed(rest: Tensor, x: Tensor, samples: int, normed: bool, gate: Tensor | None) -> Tensor:
    if not normed:
        return x.new_zeros((2, x.shape[1]), dtype=torch.float32)
    return rest.sum(0) if gate is None else rest.view(samples, -1, x.shape[1]).sum(1)


def _map(x: Tensor, channels: int) -> Tensor:
    shape = (x.shape[0], channels, x.shape[2], x.shape[3])
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _numerics(x: Tensor) -> dict[str, object]:
    precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"
    return {"FAST": fast(x), "PRECISION": precision, "WIDEN": interpreting()}


def _strides(v: Tensor | None) -> tuple[int, int]:
    return (0, 0) if v is None else (v.stride(0), v.stride(1))

"""Squeeze-and-excitation from pooled sums to gates, in one kernel: no intermediate leaves the chip."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from effnet.kernels.programs.launching import launcher
from effnet.kernels.programs.norm import sigmoid
from effnet.kernels.reference import Squeeze
from effnet.kernels.tiles import cdiv, channel_block


@triton.jit
def squeeze_kernel(pooled, w1, b1, w2, b2, gate, T, C, S, share, BS: tl.constexpr, BC: tl.constexpr, BO: tl.constexpr):
    n = tl.program_id(0)
    squeeze = tl.arange(0, BS)
    sm = squeeze < S
    hidden = tl.load(b1 + squeeze, mask=sm, other=0.0).to(tl.float32)
    # Each program computes the whole squeeze again for its share of the gates: it is as small as that share.
    for start in range(0, C, BC):
        c = start + tl.arange(0, BC)
        cm = c < C
        p = tl.zeros((BC,), tl.float32)
        for t in range(0, T):
            p += tl.load(pooled + (n * T + t) * C + c, mask=cm, other=0.0)
        w = tl.load(w1 + squeeze[:, None] * C + c[None, :], mask=sm[:, None] & cm[None, :], other=0.0).to(tl.float32)
        hidden += tl.sum(w * (p * share)[None, :], 1)
    hidden = tl.where(sm, hidden * sigmoid(hidden, False), 0.0)
    c = tl.program_id(1) * BO + tl.arange(0, BO)
    cm = c < C
    w = tl.load(w2 + c[:, None] * S + squeeze[None, :], mask=cm[:, None] & sm[None, :], other=0.0).to(tl.float32)
    v = tl.sum(w * hidden[None, :], 1) + tl.load(b2 + c, mask=cm, other=0.0).to(tl.float32)
    tl.store(gate + n * C + c, sigmoid(v, False), mask=cm)


@launcher
def squeeze_excite(pooled: Tensor, share: float, squeeze: Squeeze) -> Tensor:
    """As `reference.squeeze_excite`."""
    w1, b1, w2, b2 = squeeze
    samples, parts, channels = pooled.shape
    squeezed = w1.shape[0]
    gate = pooled.new_empty((samples, channels))
    lanes = max(16, triton.next_power_of_2(squeezed))
    outputs = min(channel_block(channels), max(16, 8192 // lanes))
    squeeze_kernel[(samples, cdiv(channels, outputs))](
        pooled.contiguous(), w1.contiguous(), b1, w2.contiguous(), b2, gate, parts, channels, squeezed, share,
        BS=lanes, BC=max(16, 4096 // lanes), BO=outputs, num_warps=4,
    )  # fmt: skip
    return gate

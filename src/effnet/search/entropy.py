"""How much a network could express, from its shape alone, after DeepMAD (arXiv 2303.02165).

    H = sum over stages of w * log(r^2 c) * sum over the layers up to there of log(k^2 c_in / groups)

The inner sum is the entropy of the output of a network of linear layers with random weights, which grows with every
layer's fan-in; the factor in front counts the values of the stage's map. A network much deeper than it is wide does not
reach that entropy, so its score is cut as the ratio of depth to width grows above a limit, as in the paper. The last
stage's weight of 8 and the limit of 0.5 are settings, not laws; `effnet search` measures how well the score ranks.
"""

from __future__ import annotations

import math

from effnet.spec import NetworkSpec
from effnet.unrolling import Block, unroll

_LAST_WEIGHT = 8.0
_MOST_RHO = 0.5


def entropy(spec: NetworkSpec) -> float:
    """Return the score; higher promises more. It compares networks of one resolution and one cost, no others."""
    unrolled = unroll(spec)
    total, inner, layers = 0.0, 0.0, 0
    widths: list[float] = []
    blocks = unrolled.blocks
    for place, block in enumerate(blocks):
        for fan_in in _fan_ins(block):
            inner += math.log(fan_in)
            widths.append(math.log(fan_in))
            layers += 1
        last = place + 1 == len(blocks)
        if last or blocks[place + 1].stride > 1:
            weight = _LAST_WEIGHT if last else 1.0
            total += weight * math.log(block.out_size**2 * block.out_channels) * inner
    # rho = depth / effective width, the width being the geometric mean of the layers' fan-ins.
    rho = layers / math.exp(sum(widths) / layers)
    return total * (1 - min(0.9, max(0.0, rho - _MOST_RHO)))


def _fan_ins(block: Block) -> list[float]:
    """Return k^2 * c_in / groups of each convolution of a block, at least 1.

    A depthwise convolution has one channel a group, so it counts by its kernel alone.
    """
    window = block.kernel**2
    if block.kind == "mbconv":
        expand = [block.in_channels] if block.expands else []
        return [float(fan) for fan in (*expand, window, block.mid_channels)]
    if block.kind == "fused_mbconv":
        project = [block.mid_channels] if block.expands else []
        return [float(fan) for fan in (window * block.in_channels, *project)]
    return [float(window * block.in_channels), float(block.mid_channels)]

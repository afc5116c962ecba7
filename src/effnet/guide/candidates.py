"""The networks that are recommended: the released EfficientNets, with what they cost and scored."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from effnet.comparison.subject import of_weights, short_label
from effnet.cost import cost
from effnet.families import find, names
from effnet.spec import NetworkSpec
from effnet.weights.published import default

NEVER = {
    "efficientnet_b8": "V2-M comes within 0.3 points of it with 40 % of the MACs",
    "efficientnet_l2": "480 million parameters, worth it only with NoisyStudent's 300 million unlabelled images",
    "efficientnetv2_xl": "208 million parameters, released only for ImageNet-21k first",
    "mnasnet_a1": "EfficientNet-B0 is its successor",
}
"""Released networks that are not recommended, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A network that can be recommended.

    Attributes:
        spec: at its own resolution.
        params, macs, memory_bytes: for one image at that resolution.
        train_side, train_macs: pixels trained at, and MACs of one image there.
        top1: percent, published with the default weights; `extra_data` says what else they were trained with.
        scored_macs: at the resolution at which that was measured, which need not be the network's own.
        weights: tag of these.
    """

    name: str
    label: str
    spec: NetworkSpec
    params: int
    macs: int
    memory_bytes: int
    train_side: int
    train_macs: int
    top1: float
    scored_macs: int
    extra_data: str | None
    weights: str


@functools.cache
def candidates() -> tuple[Candidate, ...]:
    """Return every network that can be recommended, in the order of the families."""
    known = (name for name in names() if name not in NEVER and not name.startswith("resnet"))
    return tuple(map(_candidate, known))


def _candidate(name: str) -> Candidate:
    spec, weights = find(name), default(name)
    counted, subject = cost(spec), of_weights(weights)
    side = spec.train_resolution or spec.resolution
    assert subject.top1 is not None
    return Candidate(
        name=name,
        label=short_label(name),
        spec=spec,
        params=counted.params,
        macs=counted.macs,
        memory_bytes=counted.total_inference_bytes,
        train_side=side,
        train_macs=counted.macs if side == spec.resolution else cost(spec, resolution=side).macs,
        top1=subject.top1,
        scored_macs=subject.macs or counted.macs,
        extra_data=subject.extra_data,
        weights=weights.tag,
    )

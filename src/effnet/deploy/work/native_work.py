"""The work of a plan of the native engine: of the products that its steps name, whatever algorithm computes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from effnet.deploy.certificate import Work
from effnet.deploy.native.payload import read

_PRODUCTS = {"convolution": 1, "depthwise": 1, "squeeze": 2}


def count(payload: Mapping[str, bytes]) -> tuple[dict[str, int], Work]:
    """Return the steps by kind and the work for one image of `plan.json`, after comparing it with the tensors."""
    plan, _ = read(payload)
    kinds = Counter(step.kind for step in plan.steps)
    products = sum(_PRODUCTS.get(kind, 0) * number for kind, number in kinds.items())
    return dict(sorted(kinds.items())), Work(products=products, macs=sum(map(plan.macs, plan.steps)))

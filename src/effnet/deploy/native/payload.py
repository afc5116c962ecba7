"""Reading what a bundle of the native format holds, and refusing what does not belong together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from effnet.deploy.document import AGAIN
from effnet.deploy.native.packing import Floats
from effnet.deploy.native.plan import Plan
from effnet.errors import WeightsError


def read(payload: Mapping[str, bytes]) -> tuple[Plan, dict[str, Floats]]:
    """Return the plan and its tensors, as float32.

    Raises:
        WeightsError: one is damaged, or the tensors are not those that the plan names.
    """
    plan = Plan.from_json(payload["plan.json"])
    try:
        stored = load(payload["model.safetensors"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"is no safetensors file: {error}", where="model.safetensors", fix=AGAIN) from None
    wanted = plan.shapes()
    if {name: values.shape for name, values in stored.items()} != wanted:
        odd = [name for name in {**wanted, **stored} if name not in stored or stored[name].shape != wanted.get(name)]
        what = f"its tensors are not those of its plan: {', '.join(odd[:3])}"
        raise WeightsError(what, where="model.safetensors", fix=AGAIN)
    if odd := [name for name, values in stored.items() if values.dtype not in (np.float32, np.float16)]:
        raise WeightsError(f"{odd[0]} is {stored[odd[0]].dtype}", where="model.safetensors", fix=AGAIN)
    return plan, {name: values.astype(np.float32) for name, values in stored.items()}

"""An optimizer's memory as plain nested data, and back, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from effnet.errors import InputError
from effnet.training.sharding import shared_as, whole


def optimizer_state(optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """Return what the optimizer remembers of each parameter, by the parameter's place; tensors are not copied.

    Rates and the like are functions of the step, so they are not part of it. Every process must ask.
    """
    return {str(place): whole(state) for place, state in optimizer.state_dict()["state"].items()}


@torch.no_grad()
def restore_optimizer(optimizer: Optimizer, state: Mapping[str, Mapping[str, Any]]) -> None:
    """Give the optimizer the memory that `optimizer_state` returned.

    Tensors get the memory format of their parameters: with another one, some kernels round differently.

    Raises:
        InputError: the state is not of these parameters.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    optimizer.state.clear()
    for place, values in state.items():
        if not place.isdigit() or int(place) >= len(weights):
            raise InputError(
                f"no parameter {place}", where="optimizer", fix="resume with the recipe that began the run"
            )
        weight = weights[int(place)]
        optimizer.state[weight] = {name: _like(weight, value) for name, value in values.items()}


def _like(weight: Tensor, value: Any) -> Any:
    if not isinstance(value, Tensor) or value.shape != weight.shape:
        return value
    return shared_as(value, weight)

"""What moves the weights, and what it remembers: optimizer, loss scale, weight average, the norms' sound statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor

from effnet.nn import Network
from effnet.training.ema import WeightAverage
from effnet.training.optimizer import make_optimizer, set_rate
from effnet.training.optimizer_state import optimizer_state, restore_optimizer
from effnet.training.recipe import Recipe
from effnet.training.sharding import part_of, whole


class Update:
    """The optimizer's side of a step: `begin`, a backward pass of the `scaled` loss, `move`."""

    def __init__(self, network: Network, recipe: Recipe, device: torch.device) -> None:
        """Take the network with its weights where they will stay."""
        self._network = network
        self._limit = recipe.optimizer.clip_norm
        self._optimizer = make_optimizer(recipe, network)
        self._average = WeightAverage(network, recipe.ema.decay, recipe.ema.warm_in) if recipe.ema.decay else None
        half = recipe.precision.dtype == "float16"
        self._scaler = torch.amp.GradScaler(device.type, enabled=half, init_scale=2.0**16)
        self._buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self._sound_buffers = [buffer.clone() for buffer in self._buffers]

    @property
    def scales(self) -> bool:
        """Whether losses are scaled: half precision finds its scale by overflowing now and then."""
        return self._scaler.is_enabled()

    def begin(self, rate: float) -> None:
        """Prepare for a step at this learning rate."""
        set_rate(self._optimizer, rate)
        self._optimizer.zero_grad(set_to_none=True)
        torch._foreach_copy_(self._sound_buffers, self._buffers)

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss to go backward from."""
        return self._scaler.scale(loss)

    def move(self, finite: bool) -> float | None:
        """Take the optimizer's step; return the gradient's norm, or None when it was left out as not finite.

        Args:
            finite: whether the loss was.
        """
        weights = [weight for weight in self._network.parameters() if weight.grad is not None]
        self._scaler.unscale_(self._optimizer)
        norm = whole(torch.nn.utils.get_total_norm([cast(Tensor, weight.grad) for weight in weights]))
        length = float(norm)
        sound = finite and math.isfinite(length)
        if sound:
            if self._limit is not None:
                torch.nn.utils.clip_grads_with_norm_(weights, self._limit, norm)
            self._scaler.step(self._optimizer)
        else:
            torch._foreach_copy_(self._buffers, self._sound_buffers)  # norms have seen what was not finite
        self._scaler.update()
        if not sound:
            return None
        if self._average:
            self._average.update(self._network)
        return length

    def averaged(self) -> AbstractContextManager[None]:
        """Let the network have the averaged weights inside the `with`, if the recipe keeps them."""
        return self._average.swapped(self._network) if self._average else nullcontext()

    def state(self) -> dict[str, Any]:
        """Return what it remembers; tensors are not copied. Every process must ask."""
        average = None
        if self._average:
            average = self._average.state_dict()
            network = self._network.state_dict()
            average["shadows"] = {n: whole(shadow, like=network[n]) for n, shadow in average["shadows"].items()}
        return {
            "optimizer": optimizer_state(self._optimizer),
            "average": average,
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to where `state` was taken; the network has its weights of then already.

        Raises:
            InputError, RuntimeError, KeyError, TypeError: it is of another network or another recipe.
        """
        restore_optimizer(self._optimizer, state["optimizer"])
        if self._average:
            mine = self._network.state_dict()
            shadows = {name: part_of(value, mine[name]) for name, value in state["average"]["shadows"].items()}
            self._average.load_state_dict({**state["average"], "shadows": shadows})
        self._scaler.load_state_dict(state["scaler"])

"""Moving average of weights and norm statistics (facts 5.1), which evaluation and the saved model use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from effnet.errors import InputError
from effnet.training.sharding import local


def decay_at(step: int, decay: float, warm_in: bool = True) -> float:
    """Return the decay of the update after `step` (from 0) others: min(decay, (1 + step) / (10 + step)).

    Without the warm-in an average with decay 0.9999 still holds a third of the initial weights after 10,000 steps.
    """
    return min(decay, (1 + step) / (10 + step)) if warm_in else decay


class WeightAverage:
    """A shadow of every floating-point parameter and buffer of a network: shadow <- d * shadow + (1 - d) * weight.

    Shadows are float32 or wider whatever the network's dtype: 1 - d is less than a last digit of bfloat16. Counters
    such as `num_batches_tracked` are not averaged.

    Attributes:
        updates: how many updates it has absorbed.
    """

    def __init__(self, network: nn.Module, decay: float, warm_in: bool = True) -> None:
        """Start at the network's present weights, on their devices.

        Raises:
            InputError: the decay is not from 0 to below 1, or a weight is not finite.
        """
        if not 0 <= decay < 1:
            raise InputError(f"decay is {decay!r}", where="decay", fix="give a number from 0 to below 1")
        weights = _averaged(network)
        if not _finite(list(weights.values())):
            raise InputError("a weight is not finite", where="network", fix="start from sound weights")
        self.decay = decay
        self.warm_in = warm_in
        self.updates = 0
        self._shadows = {name: weight.to(_wide(weight), copy=True) for name, weight in weights.items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> bool:
        """Absorb the network's weights after an optimizer step; return whether it did.

        When any of them is not finite, none is absorbed, so that the average survives a run that diverges.

        Raises:
            InputError: the network has other tensors than the one it was made with.
        """
        weights = self._matched(_averaged(network))
        if not _finite(weights):
            return False
        shadows = list(self._shadows.values())
        weights = [weight.to(shadow.dtype) for weight, shadow in zip(weights, shadows, strict=True)]
        torch._foreach_lerp_(shadows, weights, 1 - decay_at(self.updates, self.decay, self.warm_in))
        self.updates += 1
        return True

    @torch.no_grad()
    def copy_to(self, network: nn.Module) -> None:
        """Overwrite the network's weights and norm statistics with their averages.

        Raises:
            InputError: the network has other tensors than the one it was made with.
        """
        for weight, shadow in zip(self._matched(_averaged(network)), self._shadows.values(), strict=True):
            weight.copy_(shadow)

    @contextmanager
    def swapped(self, network: nn.Module) -> Iterator[None]:
        """Let the network have the averages inside the `with`, and afterwards exactly what it had before.

        Raises:
            InputError: the network has other tensors than the one it was made with.
        """
        weights = self._matched(_averaged(network))
        before = [weight.clone() for weight in weights]
        try:
            self.copy_to(network)
            yield
        finally:
            with torch.no_grad():
                for weight, value in zip(weights, before, strict=True):
                    weight.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates and the shadows, which are not copied."""
        return {"updates": self.updates, "shadows": dict(self._shadows)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned; nothing changes unless all of it is sound.

        Raises:
            InputError: the state is damaged, not finite, or another network's.
        """
        updates, shadows = state.get("updates"), state.get("shadows")
        if not isinstance(updates, int) or updates < 0 or not isinstance(shadows, Mapping):
            raise InputError("not the state of a weight average", fix="load what state_dict returned")
        values = self._matched(shadows)
        if not _finite(values):
            raise InputError("an averaged weight is not finite", fix="go back to an earlier checkpoint")
        for shadow, value in zip(self._shadows.values(), values, strict=True):
            shadow.copy_(value)
        self.updates = updates

    def _matched(self, weights: Mapping[str, Tensor]) -> list[Tensor]:
        for name in (*self._shadows, *weights):
            ours, theirs = self._shadows.get(name), weights.get(name)
            if ours is None or theirs is None or ours.shape != theirs.shape:
                raise InputError(
                    "does not match the averaged network", where=name, fix="average and load the same network"
                )
        return [weights[name] for name in self._shadows]


def _averaged(network: nn.Module) -> dict[str, Tensor]:
    return {name: local(tensor) for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def _wide(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)


def _finite(tensors: list[Tensor]) -> bool:
    # The largest magnitude of each tensor is NaN or infinite if any element is; one transfer from the device for all.
    largest = torch._foreach_norm([tensor for tensor in tensors if tensor.numel()], float("inf"))
    return bool(torch.stack([value.float() for value in largest]).isfinite().all()) if largest else True

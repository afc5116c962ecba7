"""Rounding weights to half precision so that their errors cancel.

Rounded one by one, the errors of a filter's weights add up with the mean of its inputs, which after an activation is
not zero. Here each weight takes over what the ones before it lost (error diffusion, Floyd and Steinberg 1976), from the
largest to the smallest, so that a filter loses in all half a step of its smallest weight. On Lite0 and 60 photographs
the largest difference falls from 0.0042 of the largest logit to 0.0020, on made pictures from 0.0098 to 0.0025.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effnet.errors import InputError

_LARGEST = float(torch.finfo(torch.float16).max)


@torch.no_grad()
def halve(module: nn.Module) -> None:
    """Round the weights of every convolution and linear layer, in place, to values that half precision holds exactly.

    Raises:
        InputError: a weight is too large for half precision.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if layer.weight.abs().max() > _LARGEST:
                raise InputError("its weights do not fit in half precision", where=name, fix="export it in fp32")
            layer.weight.copy_(diffused(layer.weight))


def diffused(weight: Tensor) -> Tensor:
    """Return `weight` (O, ...) rounded to half precision, each filter's errors handed on from weight to weight."""
    rows = weight.flatten(1).double()  # (O, n)
    order = rows.abs().argsort(dim=1, descending=True)
    ordered = rows.gather(1, order)
    rounded = torch.empty_like(ordered)
    lost = torch.zeros(len(rows), dtype=torch.float64)
    for column in range(ordered.shape[1]):
        wanted = (ordered[:, column] + lost).clamp(-_LARGEST, _LARGEST)
        rounded[:, column] = wanted.half().double()
        lost = wanted - rounded[:, column]
    return torch.empty_like(rows).scatter_(1, order, rounded).view_as(weight).to(weight.dtype)


def keep_in_half(module: nn.Module) -> None:
    """Keep the rounded weights in half precision, so that the graph casts each where it is used; in place."""
    for layer in list(module.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight = nn.Parameter(layer.weight.to(torch.float16), requires_grad=False)
            parametrize.register_parametrization(layer, "weight", _Single(), unsafe=True)


class _Single(nn.Module):
    """A weight that is kept in half precision and used in single."""

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight as it is used."""
        return weight.to(torch.float32)

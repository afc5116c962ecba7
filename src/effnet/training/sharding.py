"""Weights shared out among processes (FSDP2), for networks whose weights and optimizer do not fit on one device.

Each process keeps a part of every weight, of its gradient and of the optimizer's memory, and gathers a block's weights
only while it computes that block. A checkpoint and a model file hold whole tensors all the same, so they do not depend
on how many processes there were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from effnet.nn import Network


def shard(network: Network) -> None:
    """Share out the weights of every layer among all processes, in place."""
    from torch.distributed.fsdp import fully_shard

    for layer in network.features:
        fully_shard(layer)
    fully_shard(network)


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a shared tensor, which changes with it; others as they are."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(value: Any, like: Tensor | None = None) -> Any:
    """Return shared tensors, nested in dictionaries or not, as whole ones; every process must ask.

    Args:
        value: a tensor, or a dictionary of such; anything else is returned as it is.
        like: the shared tensor that `value` is a part of, if it does not know that itself.
    """
    if isinstance(value, Mapping):
        return {name: whole(part, like) for name, part in value.items()}
    if isinstance(like, DTensor) and isinstance(value, Tensor) and not isinstance(value, DTensor):
        value = DTensor.from_local(value, like.device_mesh, like.placements, shape=like.shape, stride=like.stride())
    return value.full_tensor() if isinstance(value, DTensor) else value


@torch.no_grad()
def assign(target: Tensor, value: Tensor) -> None:
    """Overwrite `target`, shared or not, by the whole `value`."""
    local(target).copy_(part_of(value, target))


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """Return the part of the whole `value` that this process keeps of `like`; all of it where `like` is not shared."""
    if not isinstance(like, DTensor):
        return value
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None).to_local()


def shared_as(value: Tensor, like: Tensor) -> Tensor:
    """Return the whole `value` shared out as `like` is, in its memory format."""
    kept = torch.empty_like(local(like), dtype=value.dtype, memory_format=torch.preserve_format)
    kept.copy_(part_of(value, like))
    if not isinstance(like, DTensor):
        return kept
    return DTensor.from_local(kept, like.device_mesh, like.placements, shape=like.shape, stride=like.stride())

"""Means over large maps written as means of windows, for runtimes with XNNPACK; see `effnet.deploy.windows`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from effnet.deploy.windows import averaging_window


@torch.no_grad()
def average_in_windows(module: nn.Module, images: Tensor) -> int:
    """Put window averages before the global pools that see large maps when `module` sees `images`, in place.

    Returns:
        How many there were.
    """
    sides: dict[nn.Module, tuple[int, int]] = {}

    def note(pool: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sides[pool] = (inputs[0].shape[2], inputs[0].shape[3])

    pools = [layer for layer in module.modules() if isinstance(layer, nn.AdaptiveAvgPool2d)]
    hooks = [pool.register_forward_pre_hook(note) for pool in pools]
    module(images)
    for hook in hooks:
        hook.remove()
    windows = {pool: averaging_window(*size) for pool, size in sides.items()}
    found = 0
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            window = windows.get(child)
            if window is not None:
                setattr(parent, name, nn.Sequential(nn.AvgPool2d(window), child))
                found += 1
    return found

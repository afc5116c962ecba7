"""timm's norms, which own the activation after them, and their synchronised form."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from effnet.errors import InputError
from effnet.nn.layers import activation
from effnet.spec import Conventions


class BatchNormAct2d(nn.BatchNorm2d):
    """A batch norm and the activation after it. (N, C, H, W) -> (N, C, H, W)"""

    def __init__(self, channels: int, conventions: Conventions, *, act: bool = True) -> None:
        super().__init__(channels, eps=conventions.norm_eps, momentum=conventions.norm_momentum)
        self.act: nn.Module = activation(conventions.activation) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, then activate."""
        # As nn.BatchNorm2d's own, which a TorchScript program cannot call from here.
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        factor = 0.0
        if self.momentum is not None:
            factor = self.momentum
        elif self.training and self.num_batches_tracked is not None:
            factor = 1.0 / float(self.num_batches_tracked)
        own = self.running_mean is None and self.running_var is None
        tracked = not self.training or self.track_running_stats
        normal = F.batch_norm(
            x,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            self.training or own,
            factor,
            self.eps,
        )
        result: Tensor = self.act(normal)
        return result


class SyncBatchNormAct(nn.SyncBatchNorm):
    """A batch norm over the batches of all processes, and the activation after it. Shape is unchanged."""

    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, then activate."""
        result: Tensor = self.act(super().forward(x))
        return result


def convert_sync_batchnorm(module: nn.Module, process_group: Any = None) -> nn.Module:
    """Return `module` with every batch norm synchronised over the processes, activations kept; it shares the tensors.

    torch's own `SyncBatchNorm.convert_sync_batchnorm` would lose the activation that belongs to each norm.
    """
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
        act = getattr(module, "act", None)
        kind = nn.SyncBatchNorm if act is None else SyncBatchNormAct
        norm = kind(
            module.num_features,
            module.eps,
            module.momentum,
            module.affine,
            module.track_running_stats,
            process_group,
            device="meta",
        )
        norm._parameters, norm._buffers = module._parameters, module._buffers
        norm.training = module.training
        if act is not None:
            norm.act = act
        return norm
    for name, child in module.named_children():
        setattr(module, name, convert_sync_batchnorm(child, process_group))
    return module


def require_activation(norm: nn.Module) -> None:
    """Refuse a norm that torch's converter made of one of ours: it has the activation and does not apply it.

    Raises:
        InputError: that is so.
    """
    if isinstance(norm, nn.SyncBatchNorm) and not isinstance(norm, SyncBatchNormAct) and hasattr(norm, "act"):
        fix = "use effnet.timm.layers.convert_sync_batchnorm"
        raise InputError("torch's convert_sync_batchnorm took the activations away", where="bn1", fix=fix)

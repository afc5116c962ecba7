"""How a batch goes through the network in each part of a run: which layers learn, which precision, which processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from effnet.errors import InputError
from effnet.nn import Network
from effnet.training.distillation import Teacher
from effnet.training.distributed import World
from effnet.training.recipe import Recipe

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(device: torch.device, dtype: str) -> AbstractContextManager[object]:
    """Compute in `dtype` (a recipe's `precision.dtype`, decided) inside the `with`; weights stay float32."""
    return torch.autocast(device.type, _DTYPES[dtype]) if dtype in _DTYPES else nullcontext()


def require_precision(device: torch.device, dtype: str) -> None:
    """Refuse to train in a precision (`precision.dtype`, decided) for which the device has no kernels.

    Raises:
        InputError: float16 on a CPU. Its forward pass is quick, but oneDNN has no kernels for its gradients, and the
            plain loops that stand in for them take 45 to 120 times as long.
    """
    if device.type == "cpu" and dtype == "float16":
        what = "float16 has no gradient kernels on a CPU: a step takes 45 to 120 times as long as in float32"
        raise InputError(what, where="precision.dtype", fix="use float32 or bfloat16 on a CPU, float16 on a GPU")


class Passes:
    """The forward passes of a run.

    While `transfer.head_epochs` last, the layers below the classifier only compute: they are in evaluation mode and
    keep no activations, so the random gradients of a fresh classifier reach nothing else, and a step costs a third.
    """

    def __init__(self, network: Network, recipe: Recipe, world: World) -> None:
        """Take the bare network; wrapping it for compilation and several processes happens here."""
        self._network = network
        self._recipe = recipe
        self._world = world
        self._head_only: bool | None = None
        self._forward: Callable[[Tensor], Tensor] = network
        self._exchanging: DistributedDataParallel | None = None

    def enter(self, position: float) -> None:
        """Prepare for a step at `position`, in epochs."""
        head_only = position < self._recipe.transfer.head_epochs
        if head_only != self._head_only:
            self._head_only = head_only
            self._network.features.requires_grad_(not head_only)
            self._forward = self._wrapped()
        self._network.train()
        if head_only:
            self._network.features.eval()
        elif self._recipe.transfer.norm_statistics == "freeze":
            for module in self._network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def logits(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes), recorded for the backward pass."""
        with autocast(self._world.device, self._recipe.precision.dtype):
            return self._forward(images)

    def answered_by(self, teacher: Teacher, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes), what the teacher says, in the precision of the run."""
        with autocast(self._world.device, self._recipe.precision.dtype):
            return teacher.logits(images)

    def exchange(self, *, last: bool) -> AbstractContextManager[object]:
        """Wrap one forward and backward pass; gradients are averaged over the processes in the step's last one."""
        if isinstance(self._network, FSDPModule):
            self._network.set_requires_gradient_sync(last)
        return nullcontext() if last or self._exchanging is None else self._exchanging.no_sync()

    def _wrapped(self) -> Callable[[Tensor], Tensor]:
        wrapped: nn.Module = self._network
        if self._world.size > 1 and not isinstance(wrapped, FSDPModule):
            # A wrapper counts on the gradients of what learns when it is made, so each part of the run has its own.
            ids = [self._world.device.index] if self._world.device.type == "cuda" else None
            wrapped = self._exchanging = DistributedDataParallel(wrapped, device_ids=ids)
        return torch.compile(wrapped) if self._recipe.precision.compile else wrapped

"""What every launcher owes its kernels: the device that the maps are on, and vectors without gaps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def launcher(launch: Callable[..., Result]) -> Callable[..., Result]:
    """Launch on the device of the first argument: Triton's launches go to the current one, wherever the maps are.

    One-dimensional tensors, alone or in a list, arrive contiguous; kernels count on that.
    """

    @functools.wraps(launch)
    def placed(x: Tensor, *arguments: Any) -> Result:
        packed = [_packed(argument) for argument in arguments]
        if not x.is_cuda:  # interpreted
            return launch(x, *packed)
        with torch.cuda.device(x.device):
            return launch(x, *packed)

    return placed


def _packed(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return argument.contiguous() if argument.dim() == 1 else argument
    if isinstance(argument, Sequence) and not isinstance(argument, str):
        return [_packed(value) for value in argument]
    return argument

"""Whether an operator launches Triton or computes in plain torch."""

from __future__ import annotations

import importlib.util
import os
from functools import cache

import torch
from torch import Tensor

from effnet.errors import MissingDependencyError

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@cache
def has_triton() -> bool:
    """Whether the package is installed; importing it waits until a kernel is launched."""
    return importlib.util.find_spec("triton") is not None


def require_triton() -> None:
    """Refuse to go on without Triton.

    Raises:
        MissingDependencyError: the package triton is not installed.
    """
    if not has_triton():
        raise MissingDependencyError.for_extra("triton", "triton", "kernels='triton'")


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter, on any device: what the tests do on machines without a GPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def launches(x: Tensor) -> bool:
    """Whether an operator on `x` launches a Triton kernel; otherwise its torch reference computes the same."""
    return (x.is_cuda or interpreting()) and x.dtype in _DTYPES and x.numel() > 0 and has_triton()

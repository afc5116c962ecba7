"""Another processor's rounding, on this one: `pytest -p tests.rounding`.

Libraries add up a product of matrices or a convolution in an order that they choose by processor, threads *and shape*.
A test that asks for equal bits of two sums over different shapes passes on one processor and fails on the next. Here
the results of such operators are moved by a unit in the last place, by a pattern that depends on the shapes and the
number of threads alone: the same computation gives the same bits, another shape does not.

Tests that capture a graph (compile, export, trace) see the nudges as operators, so they are left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

_SUMS = {
    "convolution",
    "convolution_backward",
    "addmm",
    "mm",
    "bmm",
    "baddbmm",
    "mean",
    "sum",
    "native_batch_norm",
    "native_batch_norm_backward",
}
_CAPTURES = ("compile", "export", "trace", "captured", "script", "fx", "jit", "operator", "opcheck")


class OtherRounding(TorchDispatchMode):
    """Moves float32 sums on a CPU by at most one unit in the last place, the same way for the same shapes."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in _SUMS and all(kind in (Tensor, torch.nn.Parameter) for kind in types):
            shapes = [tuple(arg.shape) for arg in args if isinstance(arg, Tensor)]
            key = zlib.crc32(repr((name, shapes, torch.get_num_threads())).encode())
            for tensor in out if isinstance(out, tuple | list) else (out,):
                if isinstance(tensor, Tensor) and tensor.dtype == torch.float32 and tensor.device.type == "cpu":
                    _nudge(tensor, key)
        return out


def _nudge(tensor: Tensor, key: int) -> None:
    with _disable_current_modes():
        steps = torch.randint(-1, 2, tensor.shape, generator=torch.Generator().manual_seed(key), dtype=torch.int8)
        tensor.data.mul_(1 + steps.float() * 2**-23)


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Leave out what captures graphs."""
    left_out = [item for item in items if any(word in item.name for word in _CAPTURES)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run the test with it."""
    with OtherRounding():
        return (yield)

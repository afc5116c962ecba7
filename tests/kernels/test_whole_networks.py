"""A training step of the published B0 and V2-B0 through the kernels' operators is torch's. In plain torch, so anywhere.

The same through Triton's interpreter is tests/kernels/interpreted/test_whole_networks.py.
"""

from __future__ import annotations

import pytest

from effnet.nn.fused import Kernels
from tests.kernels.whole import compared, curves


@pytest.mark.parametrize("form", ["triton", "triton-maps"])
@pytest.mark.parametrize("name", ["b0", "v2-b0"])
def test_a_step_is_torchs(name: str, form: Kernels) -> None:
    compared(name, form)


@pytest.mark.parametrize("name", ["b0", "v2-b0"])
def test_training_curves_coincide(name: str) -> None:
    ours, theirs = curves(name, "triton", steps=6)
    assert theirs[-1] < theirs[0], "it learns"
    assert all(abs(a - b) <= 0.02 * theirs[0] for a, b in zip(ours, theirs, strict=True)), (ours, theirs)

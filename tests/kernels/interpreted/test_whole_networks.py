"""A step of the published B0 and V2-B0, and a short training, with every kernel interpreted."""

from __future__ import annotations

import pytest

from tests.kernels.whole import compared, curves

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * 3600)]


@pytest.mark.parametrize("name", ["b0", "v2-b0"])
def test_a_step_is_torchs(name: str) -> None:
    compared(name, "triton")


def test_training_curves_coincide() -> None:
    ours, theirs = curves("b0", "triton", steps=3, batch=6, side=48)
    assert all(abs(a - b) <= 0.02 * theirs[0] for a, b in zip(ours, theirs, strict=True)), (ours, theirs)

"""Parity with independent implementations: how networks get weights that would show any difference."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from effnet.nn import Network, build
from effnet.spec import NetworkSpec

# Keras chooses its backend when it is imported; nothing else in the suite imports it.
os.environ.setdefault("KERAS_BACKEND", "torch")

TOLERANCE = 1e-4
"""Largest allowed difference of logits, relative to the largest logit, in float32."""


def lively(spec: NetworkSpec, side: int) -> tuple[Network, Tensor]:
    """Return `spec` with random weights, and two images (2, C, side, side) to compare on.

    The norms have uneven gains and statistics near those of a batch that holds the images: with fresh ones a wrong
    epsilon, gain or mean would hardly show, with arbitrary ones deep networks overflow and rounding decides.
    """
    torch.manual_seed(0)
    network = build(spec)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    images = torch.rand(8, spec.in_channels, side, side)
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.8, 1.2)
        nn.init.normal_(norm.bias, std=0.1)
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
        for norm in norms:
            norm.momentum = spec.conventions.norm_momentum
            assert norm.running_var is not None and norm.running_mean is not None
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.9, 1.1))
            norm.running_mean.add_(norm.running_var.sqrt() * 0.05)
        nn.init.normal_(network.classifier[1].weight, std=0.05)
        nn.init.normal_(network.classifier[1].bias, std=0.05)
    return network.eval(), images[:2]


@pytest.fixture
def same_logits() -> Callable[[Tensor, Tensor], None]:
    """Return the check that every parity test ends with."""

    def check(ours: Tensor, theirs: Tensor) -> None:
        assert ours.shape == theirs.shape
        assert ours.isfinite().all()
        spread = (ours[0] - ours[1]).abs().max() / ours.abs().max()
        assert spread > 10 * TOLERANCE, "answers that hardly depend on the image would prove nothing"
        difference = (ours - theirs).abs().max() / theirs.abs().max()
        assert difference <= TOLERANCE, f"relative difference {difference:.2e}"

    return check

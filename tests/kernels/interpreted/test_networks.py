"""Whole networks through the interpreted kernels: a step, inference and a short training are torch's."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from effnet.nn import Network, build, fold_norms, set_kernels
from tests.kernels.networks import close, small


def pair(family: str) -> tuple[Network, Network]:
    torch.manual_seed(0)
    plain = build(small(family))
    fused = copy.deepcopy(plain)
    set_kernels(fused, "triton")
    return plain, fused


def batch(n: int = 2, side: int = 16) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(n, 3, side, side).contiguous(memory_format=torch.channels_last)


def step(network: Network, dtype: torch.dtype | None = None) -> Tensor:
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        loss = nn.functional.cross_entropy(network.train()(batch()), torch.tensor([0, 1]))
    loss.backward()
    return loss.detach()


@pytest.mark.parametrize("family", ["b0", "v2-b0"])
def test_a_training_step_is_torchs(family: str) -> None:
    plain, fused = pair(family)
    assert close(step(fused), step(plain))
    for (name, a), b in zip(plain.named_parameters(), fused.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and b.grad.isfinite().all()
        assert close(b.grad, a.grad, 2e-3), name
    for (name, a), b in zip(plain.named_buffers(), fused.buffers(), strict=True):
        assert close(b.double(), a.double()), name


def test_a_step_in_bfloat16_is_as_near_to_float32_as_torchs() -> None:
    exact, fused = pair("b0")
    rounded = copy.deepcopy(exact)
    reference = step(exact)
    ours, theirs = step(fused, torch.bfloat16), step(rounded, torch.bfloat16)
    assert abs(ours - reference) <= 2 * abs(theirs - reference) + 0.02

    def distance(network: Network) -> float:
        gradients = [
            (torch.cat([p.grad.flatten() for p in n.parameters() if p.grad is not None])) for n in (network, exact)
        ]
        return float((gradients[0] - gradients[1]).norm() / gradients[1].norm())

    assert distance(fused) <= 1.5 * distance(rounded)


@pytest.mark.parametrize("family", ["b0", "v2-b0"])
def test_folded_inference_is_torchs(family: str) -> None:
    plain, fused = pair(family)
    with torch.no_grad():
        plain.train()(batch())
        fused.load_state_dict(plain.state_dict())
        expected = plain.eval()(batch())
        assert close(fused.eval()(batch()), expected)
        assert close(fold_norms(fused)(batch()), expected)


def test_training_curves_coincide() -> None:
    curves = []
    for network in pair("b0"):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            losses.append(step(network).item())
            optimizer.step()
        curves.append(torch.tensor(losses))
    assert curves[0][-1] < curves[0][0], "it learns"
    assert torch.allclose(*curves, rtol=2e-2, atol=1e-2)

"""What launchers make of arguments that kernels cannot take as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from effnet.kernels import reference
from effnet.kernels.programs import norm, squeeze
from effnet.kernels.programs.launching import launcher


def spread(v: Tensor) -> Tensor:
    """Copy a vector into every second place of its memory."""
    memory = torch.full((2 * v.numel(),), float("nan"))
    memory[::2] = v
    return memory[::2]


def test_vectors_may_have_gaps() -> None:
    torch.manual_seed(0)
    x, chain = torch.randn(2, 6, 3, 3), [spread(torch.rand(6) + 0.5) for _ in range(4)]
    got = norm.norm_act(x, chain, True, None, None)
    assert torch.allclose(got, reference.norm_act(x, chain, True, None, None), atol=1e-5)
    sums = torch.randn(6, 2).t()
    grad = norm.norm_act_grad(x, x, chain, True, None, None, sums)
    assert torch.allclose(grad, reference.norm_act_grad(x, x, chain, True, None, None, sums), atol=1e-5)
    weights = [torch.randn(3, 6), spread(torch.randn(3)), torch.randn(6, 3), spread(torch.randn(6))]
    pooled = torch.randn(2, 1, 6)
    expected = reference.squeeze_excite(pooled, 0.1, weights)
    assert torch.allclose(squeeze.squeeze_excite(pooled, 0.1, weights), expected, atol=1e-5)


def test_running_statistics_with_gaps_move_in_place() -> None:
    running, sums = (spread(torch.zeros(6)), spread(torch.ones(6))), torch.rand(2, 6) + 20
    plain = torch.zeros(6), torch.ones(6)
    got = norm.norm_finish(sums, *running, 10, 0.1, 1e-3)
    expected = norm.norm_finish(sums, *plain, 10, 0.1, 1e-3)
    for a, b in zip((*got, *running), (*expected, *plain), strict=True):
        assert torch.allclose(a, b, rtol=1e-5)


def test_a_launch_goes_to_the_device_of_its_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[Any] = []

    class On:
        def __init__(self, device: Any) -> None:
            entered.append(device)

        def __enter__(self) -> None:
            entered.append("in")

        def __exit__(self, *_: Any) -> None:
            entered.append("out")

    class Elsewhere:
        is_cuda, device = True, "cuda:1"

    monkeypatch.setattr(torch.cuda, "device", On)
    assert launcher(lambda x: entered.append("launched") or 7)(Elsewhere()) == 7  # type: ignore[arg-type, func-returns-value]
    assert entered == ["cuda:1", "in", "launched", "out"]

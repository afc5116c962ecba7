"""Steps of published networks on small images, in torch and through the kernels, and how far they are apart."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import effnet
from effnet.nn import Network, set_kernels
from effnet.nn.fused import Kernels

CLASSES = 10


@dataclass(frozen=True)
class Step:
    """What one training step leaves behind."""

    logits: dict[str, Tensor]
    gradients: dict[str, Tensor]
    running: dict[str, Tensor]


def pair(name: str, form: Kernels) -> tuple[Network, Network]:
    """The published network twice, its drop path on: in torch, and through the kernels."""
    torch.manual_seed(0)
    plain = effnet.create(effnet.find(name).replace(classes=CLASSES, drop_path=0.2), kernels="torch")
    fused = copy.deepcopy(plain)
    set_kernels(fused, form)
    return plain, fused


def images(batch: int, side: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    x = torch.randn(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    return x, torch.arange(batch) % CLASSES


def step(network: Network, batch: int, side: int, *, autocast: bool = False, wide: bool = False) -> Step:
    """One forward and backward pass; dropout and drop path draw the same every time."""
    network = copy.deepcopy(network).train()
    x, labels = images(batch, side)
    if wide:
        network, x = network.double(), x.double()
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = network(x)
        loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()
    gradients = {n: p.grad.double() for n, p in network.named_parameters() if p.grad is not None}
    assert len(gradients) == len(list(network.parameters()))
    return Step({"logits": logits.detach().double()}, gradients, {n: b.double() for n, b in network.named_buffers()})


def apart(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Norm of the difference of all values over the norm of `b`'s."""
    gap = sum(float((a[name] - b[name]).square().sum()) for name in b)
    return float((gap / sum(float(value.square().sum()) for value in b.values())) ** 0.5)


def compared(name: str, form: Kernels, batch: int = 6, side: int = 48) -> dict[str, float]:
    """Hold a step through the kernels to torch's, in float32 and in bfloat16, both measured from float64.

    Rounding makes torch's own steps differ from float64's; ours may be as far off as twice that over all logits,
    gradients and running statistics, and every gradient of float32 must be right by itself. The last maps are 2 x 2
    here: with one pixel of four images, batch norm makes float32's gradients of bfloat16's noise.
    """
    plain, fused = pair(name, form)
    exact = step(plain, batch, side, wide=True)
    figures = {}
    for autocast in (False, True):
        ours, theirs = (step(network, batch, side, autocast=autocast) for network in (fused, plain))
        kind = "bfloat16" if autocast else "float32"
        for what in ("logits", "gradients", "running"):
            mine, torchs = (apart(getattr(s, what), getattr(exact, what)) for s in (ours, theirs))
            figures |= {f"{kind} {what} ours": mine, f"{kind} {what} torch": torchs}
            assert mine <= 2 * torchs + 1e-7, (kind, what, mine, torchs)
        if not autocast:
            whole = float(torch.stack([g.norm() for g in exact.gradients.values()]).max())
            for parameter, gradient in exact.gradients.items():
                gap = float((ours.gradients[parameter] - gradient).norm())
                assert gap <= 1e-3 * float(gradient.norm()) + 1e-5 * whole, (parameter, gap)
    return figures


def curves(name: str, form: Kernels, steps: int, batch: int = 8, side: int = 64) -> tuple[list[float], list[float]]:
    """Losses of a short training from the same start with the same draws: through the kernels, and in torch."""
    plain, fused = pair(name, form)
    x, labels = images(batch, side)
    losses: list[list[float]] = []
    for network in (fused, plain):
        network.train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.002, momentum=0.9)
        losses.append([])
        for number in range(steps):
            torch.manual_seed(number)
            loss = nn.functional.cross_entropy(network(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    return losses[0], losses[1]

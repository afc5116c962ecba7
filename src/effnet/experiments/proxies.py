"""Zero-cost proxies: scores of untrained networks that are said to follow their accuracy once trained.

Each takes one or a few passes over a handful of images. How far they can be believed is another matter: parameters and
MACs often rank as well, so `effnet search` measures all of them against short trainings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from effnet.errors import UnknownNameError
from effnet.nn import Network, build
from effnet.nn.layers import ConvNormAct
from effnet.spec import NetworkSpec

Proxy = Callable[[Network, Tensor, Tensor], float]
"""From a fresh network, images (N, 3, H, W) and labels (N,) to a score; higher promises more."""

_TINY = 1e-12


def score(
    spec: NetworkSpec, names: Sequence[str], images: Tensor, labels: Tensor, *, seed: int = 0
) -> dict[str, float]:
    """Return the named scores of a network with fresh weights.

    Args:
        images, labels: on the device that is to compute; 32 to 128 images do.
        seed: of the weights.

    Raises:
        UnknownNameError: there is no such proxy.
    """
    scores = {}
    for name in names:
        if name not in PROXIES:
            raise UnknownNameError.among("proxy", name, PROXIES, see=f"known: {', '.join(PROXIES)}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build(spec.replace(drop_path=0.0)).to(images.device)
            scores[name] = PROXIES[name](network, images, labels)
    return scores


def grad_norm(network: Network, images: Tensor, labels: Tensor) -> float:
    """Norm of the loss's gradient over all weights (arXiv 2101.08134)."""
    _backward(network.train(), images, labels)
    return math.sqrt(sum(float(weight.grad.square().sum()) for weight in _weights(network) if weight.grad is not None))


def snip(network: Network, images: Tensor, labels: Tensor) -> float:
    """Sum of |weight x gradient|: what the loss would change if weights were cut (arXiv 1810.02340)."""
    _backward(network.train(), images, labels)
    return sum(
        float((weight.detach() * weight.grad).abs().sum()) for weight in _weights(network) if weight.grad is not None
    )


def synflow(network: Network, images: Tensor, labels: Tensor) -> float:
    """Logarithm of the sum of weight x gradient of a data-free loss (arXiv 2006.05467).

    Weights are replaced by their absolute values, the input by ones; norms pass everything through as it is, because
    they would undo what is measured, and activations are linear for the same reason (inputs are positive). In float64.
    """
    network = network.double().eval()
    for module in network.modules():
        if isinstance(module, ConvNormAct):
            for place, layer in enumerate(module):
                if not isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                    module[place] = nn.Identity()
    with torch.no_grad():
        for weight in network.parameters():
            weight.abs_()
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=images.device)
    total = network(ones).sum()
    torch.autograd.backward(total)
    flow = sum(
        float((weight.detach() * weight.grad).sum()) for weight in network.parameters() if weight.grad is not None
    )
    return math.log(flow + _TINY)


def naswot(network: Network, images: Tensor, labels: Tensor) -> float:
    """Log-determinant of how alike the images' activation patterns are (arXiv 2006.04647).

    The pattern of an image is which pre-activations are positive, as for ReLU; SiLU and its like bend there too. K
    counts, for each pair of images, the units on which they agree.
    """
    count = len(images)
    kernel = torch.zeros(count, count, dtype=torch.float64, device=images.device)
    handles = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        code = (inputs[0].detach() > 0).flatten(1).double()  # (N, units)
        kernel.add_(code @ code.T + (1 - code) @ (1 - code).T)

    for module in network.modules():
        if isinstance(module, ConvNormAct) and len(module) > 2:
            handles.append(module[2].register_forward_pre_hook(look))
    with torch.no_grad():
        network.train()(images)
    for handle in handles:
        handle.remove()
    # Identical images would have a determinant of zero, whose logarithm is no score.
    kernel += torch.eye(count, dtype=torch.float64, device=images.device) * 1e-6 * float(kernel.diagonal().mean())
    return float(torch.linalg.slogdet(kernel)[1])


def zico(network: Network, images: Tensor, labels: Tensor) -> float:
    """Gradients that are large and agree between batches: sum of log(sum of mean / deviation) (arXiv 2301.11300)."""
    halves = max(2, min(4, len(images) // 16))
    gradients: dict[str, list[Tensor]] = {}
    network.train()
    for part, answers in zip(images.chunk(halves), labels.chunk(halves), strict=True):
        network.zero_grad(set_to_none=True)
        _backward(network, part, answers)
        for name, weight in network.named_parameters():
            if weight.dim() > 1 and weight.grad is not None:
                gradients.setdefault(name, []).append(weight.grad.detach().abs().flatten())
    total = 0.0
    for values in gradients.values():
        stacked = torch.stack(values)  # (batches, weights)
        deviation = stacked.std(0)
        sound = deviation > _TINY
        if sound.any():
            total += math.log(float((stacked.mean(0)[sound] / deviation[sound]).sum()) + _TINY)
    return total


PROXIES: dict[str, Proxy] = {
    "grad_norm": grad_norm,
    "snip": snip,
    "synflow": synflow,
    "naswot": naswot,
    "zico": zico,
}


def _backward(network: Network, images: Tensor, labels: Tensor) -> None:
    torch.autograd.backward(functional.cross_entropy(network(images), labels))


def _weights(network: Network) -> list[Tensor]:
    return [weight for weight in network.parameters() if weight.dim() > 1]

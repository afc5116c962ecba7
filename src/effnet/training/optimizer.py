"""RMSProp as TensorFlow computes it, and the parameter groups that set each weight's rate and decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.optimizer import ParamsT

from effnet.errors import InputError
from effnet.nn import Network
from effnet.training.learning_rate import layer_multipliers
from effnet.training.recipe import Recipe

Undecayed = Literal["nothing", "norms", "norms_and_biases"]

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


class RMSpropTF(Optimizer):
    """RMSProp with TensorFlow's semantics, which both EfficientNet papers trained with.

        s <- s + (1 - square_decay) * (g**2 - s)            s starts at 1, torch's at 0
        m <- momentum * m + lr * g / sqrt(s + eps)          eps inside the root, the rate inside the momentum
        w <- w - m

    torch's own RMSprop makes far longer first steps where gradients are small, and a new rate rescales at once the
    steps that its momentum remembers.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        square_decay: decay of s.
        momentum: decay of m.
        eps: see above; both papers' code has 1e-3.
        weight_decay: added to the gradient as weight_decay * w, the gradient of weight_decay / 2 * w**2 in the loss.
        decoupled: shrink w by lr * weight_decay apart from the gradient instead (arXiv 1711.05101).

    Raises:
        InputError: a number is out of range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        *,
        square_decay: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1e-3,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        for name, value in (("lr", lr), ("weight_decay", weight_decay)):
            if not 0 <= value < float("inf"):
                raise InputError(f"{name} is {value!r}", where=name, fix="give a finite number, 0 or more")
        for name, value in (("square_decay", square_decay), ("momentum", momentum)):
            if not 0 <= value < 1:
                raise InputError(f"{name} is {value!r}", where=name, fix="give a number from 0 to below 1")
        if not 0 < eps < float("inf"):
            raise InputError(f"eps is {eps!r}", where="eps", fix="give a number above 0, such as 1e-3")
        defaults = {
            "lr": lr,
            "square_decay": square_decay,
            "momentum": momentum,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled": decoupled,
        }
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every parameter that has a gradient; `closure` computes the loss anew and is returned.

        Raises:
            InputError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._move(weights, group)
        return loss

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if any(gradient.is_sparse for gradient in gradients):
            raise InputError("a gradient is sparse", fix="use dense gradients")
        squares, momenta = self._state_of(weights)
        if group["weight_decay"] and group["decoupled"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        elif group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - group["square_decay"])
        roots = torch._foreach_add(squares, group["eps"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_addcdiv_(momenta, gradients, roots, group["lr"])
        torch._foreach_sub_(weights, momenta)

    def _state_of(self, weights: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["square_average"] = torch.ones_like(weight, memory_format=torch.preserve_format)
                state["momentum_buffer"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        states = [self.state[weight] for weight in weights]
        return [state["square_average"] for state in states], [state["momentum_buffer"] for state in states]


def parameter_groups(
    network: Network,
    *,
    weight_decay: float,
    undecayed: Undecayed = "norms_and_biases",
    layer_decay: float = 1.0,
    head_rate: float = 1.0,
) -> list[dict[str, Any]]:
    """Return optimizer groups that hold every trainable parameter once.

    A layer, for the decay of rates, is the stem, a stage, the head convolution or the classifier, so that networks of
    different depth fine-tune alike.

    Args:
        weight_decay: of the parameters that decay.
        undecayed: those that do not: `nothing`, `norms` (V1's code) or `norms_and_biases` (V2's code).
        layer_decay: rate of each layer over that of the layer above it.
        head_rate: factor of the classifier's rate.

    Returns:
        Dictionaries with `params`, `weight_decay` and `rate_share`, which `set_rate` multiplies the rate by.

    Raises:
        InputError: not a Network (wrap it for compilation or several processes afterwards), nothing is trainable, or
            layer_decay is out of range.
    """
    if not isinstance(network, Network):
        raise InputError(f"not a Network but a {type(network).__name__}", where="network", fix="give the bare network")
    layers = len(network.features) + 1
    shares = list(layer_multipliers(layers, layer_decay))
    shares[-1] *= head_rate
    norms = {
        id(weight) for module in network.modules() if isinstance(module, _NORMS) for weight in module.parameters(False)
    }
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            first, _, rest = name.partition(".")
            layer = int(rest.partition(".")[0]) if first == "features" else layers - 1
            norm = id(weight) in norms
            exempt = {"nothing": False, "norms": norm, "norms_and_biases": norm or name.endswith(".bias")}[undecayed]
            groups.setdefault((shares[layer], not exempt), []).append(weight)
    if not groups:
        raise InputError("no parameter is trainable", where="network", fix="call requires_grad_(True) on what to train")
    return [
        {"params": weights, "weight_decay": weight_decay if decayed else 0.0, "rate_share": share}
        for (share, decayed), weights in groups.items()
    ]


def make_optimizer(recipe: Recipe, network: Network) -> Optimizer:
    """Return the recipe's optimizer over the network's trainable parameters; call `set_rate` before each step.

    Raises:
        InputError: nothing is trainable.
    """
    part = recipe.optimizer
    groups = parameter_groups(
        network,
        weight_decay=part.weight_decay,
        undecayed=part.undecayed,
        layer_decay=part.layer_decay,
        head_rate=part.head_rate,
    )
    if part.kind == "sgd":
        return SGD(groups, lr=recipe.lr, momentum=part.momentum)
    if part.kind == "adamw":
        betas = (part.momentum, 0.999 if part.square_decay is None else part.square_decay)
        return AdamW(groups, lr=recipe.lr, betas=betas, eps=1e-8 if part.eps is None else part.eps)
    return RMSpropTF(
        groups,
        recipe.lr,
        square_decay=0.9 if part.square_decay is None else part.square_decay,
        momentum=part.momentum,
        eps=1e-3 if part.eps is None else part.eps,
        decoupled=part.decoupled,
    )


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group its share of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_share"]

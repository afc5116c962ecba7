"""Class activation maps, exact and by gradients, at any stage.

All are in the unit of logits: the mean of a map over its positions is what the feature map adds to the class's logit
(to first order, where layers follow it). Every network here ends in a global average pool and one linear layer, so at
the last feature map the map of Zhou et al. (arXiv 1512.04150), which V1 Figure 7 shows, is exact: its mean plus the
bias is the logit. There HiResCAM is the same map, and Grad-CAM and LayerCAM are what is positive in it or in its terms.

    cam       sum_c w_c A_c                         last feature map only
    grad-cam  relu(sum_c mean(G_c) A_c)             arXiv 1610.02391; can show places that the class does not use
    hirescam  sum_c G_c A_c                         arXiv 2011.08891; faithful at the last map of any such network
    layercam  relu(sum_c relu(G_c) A_c)             IEEE TIP 2021, doi 10.1109/TIP.2021.3089943; fine at early stages

A are a stage's outputs (C, H', W') and G the gradient of the class's logit by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from effnet.errors import InputError, UnknownNameError, WeightsError
from effnet.nn import Network
from effnet.spec import NetworkSpec

Method = Literal["cam", "grad-cam", "hirescam", "layercam"]
METHODS: tuple[str, ...] = get_args(Method)


def class_activation_map(network: Network, images: Tensor, classes: Sequence[int] | None = None) -> Tensor:
    """Return how much each position of the last feature map speaks for a class.

    Args:
        network: in evaluation mode.
        images: (N, 3, H, W), normalised.
        classes: one for each image; None: the network's answers.

    Returns:
        (N, H', W'), the last feature map's size; in the unit of logits.

    Raises:
        InputError: the network has no classifier, or a class is out of range.
    """
    wanted = None if classes is None else [[place] for place in classes]
    return activation_maps(network, images, wanted, method="cam")[:, 0]


def activation_maps(
    network: Network,
    images: Tensor,
    classes: Sequence[Sequence[int]] | None = None,
    *,
    method: Method = "grad-cam",
    stage: int | None = None,
) -> Tensor:
    """Return maps of where in the images evidence for classes lies.

    The network is evaluated as in prediction and is not changed.

    Args:
        network: with a classifier.
        images: (N, in_channels, H, W), normalised.
        classes: as many (K) for each image; None: the network's answer for each.
        method: see the module.
        stage: whose output is looked at: 0 the stem, then the stages, then the head convolution; None: the last.

    Returns:
        (N, K, H', W') in the unit of logits, on the images' device; H', W' are the stage's output size.

    Raises:
        InputError, UnknownNameError: no classifier, no such class, stage or method.
        WeightsError: the maps are not finite.
    """
    network = network.canonical()
    last = len(network.features) - 1
    place = last if stage is None else stage
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place <= last:
        raise InputError(f"stage is {stage!r}", where="stage", fix=f"give 0 (the stem) to {last} (the last map)")
    if method not in METHODS:
        raise UnknownNameError.among("method", str(method), METHODS, see=f"known: {', '.join(METHODS)}")
    if network.spec.classes == 0 or isinstance(network.classifier[-1], nn.Identity):
        raise InputError("the network has no classifier", where="network", fix="create it with classes=...")
    if method == "cam" and place != last:
        raise InputError("cam exists only at the last map", where="stage", fix="use hirescam, which equals it there")
    with _evaluated(network), torch.inference_mode(False):
        with torch.no_grad():
            features = images.clone() if images.is_inference() else images
            for layer in list(network.features)[: place + 1]:
                features = layer(features)  # (N, C, H', W')
        maps = _linear(network, features, classes) if method == "cam" else None
        if maps is None:
            maps = _by_gradient(network, features.detach(), classes, method, place)
    if not maps.isfinite().all():
        raise WeightsError("the maps are not finite", where=network.spec.name, fix="get intact weights")
    return maps


def stage_number(spec: NetworkSpec, text: str) -> int:
    """Return the stage that a person names: `stem`, `head`, or a number from 1 as the papers count.

    Raises:
        InputError: the network has no such stage.
    """
    stages, has_head = len(spec.stages), spec.head.channels is not None
    if text == "stem":
        return 0
    if text == "head" and has_head:
        return stages + 1
    if text.isdecimal() and len(text) < 4 and 1 <= int(text) <= stages:
        return int(text)
    known = f"stem, 1 to {stages}" + (" or head" if has_head else "")
    raise InputError(f"{spec.name} has no stage {text!r}", where="stage", fix=f"use {known}")


def stage_name(spec: NetworkSpec, number: int) -> str:
    """Return how a person calls the output of `features[number]`."""
    return "stem" if number == 0 else "head" if number > len(spec.stages) else f"stage {number}"


@torch.no_grad()
def _linear(network: Network, features: Tensor, classes: Sequence[Sequence[int]] | None) -> Tensor:
    linear = network.classifier[1]
    if not isinstance(linear, nn.Linear):
        raise InputError("the classifier is not one linear layer", where="cam", fix="use hirescam")
    chosen = _chosen(network.forward_head(features), classes)  # (N, K)
    return torch.einsum("nchw,nkc->nkhw", features, linear.weight[chosen])


def _by_gradient(
    network: Network, features: Tensor, classes: Sequence[Sequence[int]] | None, method: Method, place: int
) -> Tensor:
    positions = features.shape[-2] * features.shape[-1]
    with torch.enable_grad():
        features.requires_grad_()
        x = features
        for layer in list(network.features)[place + 1 :]:
            x = layer(x)
        logits = network.forward_head(x)
        chosen = _chosen(logits, classes)  # (N, K)
        maps = []
        for column in range(chosen.shape[1]):
            wanted = logits.gather(1, chosen[:, column : column + 1]).sum()
            (gradient,) = torch.autograd.grad(wanted, features, retain_graph=column + 1 < chosen.shape[1])
            maps.append(_weighed(features.detach(), gradient, method))
    return torch.stack(maps, 1) * positions


def _weighed(features: Tensor, gradient: Tensor, method: Method) -> Tensor:
    """(N, C, H', W') twice -> (N, H', W')."""
    if method == "hirescam":
        return (gradient * features).sum(1)
    if method == "layercam":
        return (gradient.relu() * features).sum(1).relu()
    return torch.einsum("nchw,nc->nhw", features, gradient.mean((2, 3))).relu()


def _chosen(logits: Tensor, classes: Sequence[Sequence[int]] | None) -> Tensor:
    """Return class numbers (N, K)."""
    if classes is None:
        return logits.argmax(1, keepdim=True)
    count, known = logits.shape
    rows = [list(row) for row in classes]
    flat = [place for row in rows for place in row]
    sound = all(isinstance(place, int) and not isinstance(place, bool) and 0 <= place < known for place in flat)
    if len(rows) != count or len({len(row) for row in rows}) != 1 or not flat or not sound:
        what = f"classes {rows} for {count} images of {known} classes"
        raise InputError(what, where="classes", fix="give as many class numbers for each image")
    return torch.tensor(rows, device=logits.device)


@contextmanager
def _evaluated(network: Network) -> Iterator[None]:
    # Norms of a network in training would answer by the batch, and learn from it.
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True

"""The sanity check of Adebayo et al. (arXiv 1810.03292): a map that explains what was learned changes with it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effnet.inference.explain.maps import Method, activation_maps, stage_name
from effnet.inference.explain.occlusion import rank_correlation
from effnet.nn import Network
from effnet.nn.network import initialise


@dataclass(frozen=True, slots=True, kw_only=True)
class Randomised:
    """One step of the cascade.

    Attributes:
        down_to: the part that lost its weights last; those after it, to the classifier, had lost theirs before.
        similarity: rank correlation of the map with the trained network's, for each class.
    """

    down_to: str
    similarity: tuple[float, ...]


def cascade(
    network: Network,
    image: Tensor,
    classes: Sequence[int],
    *,
    method: Method = "grad-cam",
    stage: int | None = None,
    seed: int = 0,
) -> tuple[Randomised, ...]:
    """Return how similar the maps stay while the weights are drawn afresh, from the classifier down to the stem.

    The network is not changed.

    Args:
        network: with its trained weights.
        image: (C, H, W), normalised.
        classes: K of them.
        method, stage: as for `activation_maps`.
        seed: of the fresh weights.
    """
    trained = activation_maps(network, image[None], [list(classes)], method=method, stage=stage)[0].cpu().numpy()
    losing = copy.deepcopy(network)
    parts: list[tuple[str, nn.Module]] = [("classifier", losing.classifier)]
    parts += [(stage_name(network.spec, place), losing.features[place]) for place in range(len(losing.features))][::-1]
    steps = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, part in parts:
            part.apply(initialise)
            maps = activation_maps(losing, image[None], [list(classes)], method=method, stage=stage)[0].cpu().numpy()
            likeness = tuple(rank_correlation(one, other) for one, other in zip(trained, maps, strict=True))
            steps.append(Randomised(down_to=name, similarity=likeness))
    return tuple(steps)

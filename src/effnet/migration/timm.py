"""timm's door, `create_model`, for the networks that effnet has.

>>> from effnet import create_model  # was: from timm import create_model
>>> create_model("efficientnet_b0", num_classes=10).spec.classes
10
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from effnet.creation import create
from effnet.errors import InputError, UnknownNameError
from effnet.families.catalog import canonical, find
from effnet.nn import Network
from effnet.weights import published
from effnet.weights.progress_bar import download_bar


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """Strides and channels of the maps that a `FeatureNetwork` returns."""

    levels: tuple[tuple[int, int], ...]

    def channels(self) -> list[int]:
        """Return the channels of each map."""
        return [channels for _, channels in self.levels]

    def reduction(self) -> list[int]:
        """Return input pixels per pixel of each map."""
        return [stride for stride, _ in self.levels]


class FeatureNetwork(nn.Module):
    """A network as the trunk of another: it returns its last map at each stride.

    Attributes:
        network: the network.
        feature_info: what comes out.
    """

    def __init__(self, network: Network, out_indices: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.out_indices = tuple(out_indices)
        count = len(network.pyramid)
        if not self.out_indices or not all(isinstance(i, int) and -count <= i < count for i in self.out_indices):
            raise InputError(
                f"out_indices is {out_indices!r}", where="out_indices", fix=f"give numbers from 0 to {count - 1}"
            )
        self.feature_info = FeatureInfo(tuple(network.pyramid[i] for i in self.out_indices))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> maps (N, C_i, H / s_i, W / s_i), as `Network.forward_pyramid` computes them."""
        maps = self.network.forward_pyramid(x)
        return [maps[i] for i in self.out_indices]


def create_model(
    model_name: str,
    pretrained: bool = False,
    *,
    checkpoint_path: str | Path | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    features_only: bool = False,
    out_indices: Sequence[int] = (0, 1, 2, 3, 4),
    **unknown: Any,
) -> Network | FeatureNetwork:
    """Return a network under timm's name and with timm's defaults: no dropout and no drop path unless asked for.

    Args:
        model_name: `efficientnet_b0`, `tf_efficientnetv2_s.in21k_ft_in1k`, ...; `tf_` means TensorFlow's padding.
        pretrained: load the weights of the tag, or without one the most accurate that timm published under the name.
        checkpoint_path: load this file instead.
        num_classes: outputs; 0 for pooled features.
        in_chans: image channels.
        drop_rate: dropout before the classifier.
        drop_path_rate: drop path of the last block.
        features_only: return the maps of `out_indices` (0: stride 2, ... 4: stride 32) instead of logits.
        out_indices: which maps.

    Raises:
        UnknownNameError: no such network, tag or argument.
        WeightsError, DownloadError: the weights cannot be had or do not fit.
    """
    if unknown:
        known = ("pretrained", "checkpoint_path", "num_classes", "in_chans", "drop_rate", "drop_path_rate")
        raise UnknownNameError.among(
            "argument of create_model", next(iter(unknown)), (*known, "features_only", "out_indices")
        )
    name, _, recipe = model_name.removeprefix("hf-hub:timm/").removeprefix("timm/").partition(".")
    padding, eps = ("same", 1e-3) if name.startswith("tf_") else ("symmetric", 1e-5)
    spec = find(name).with_conventions(padding=padding, norm_eps=eps, norm_momentum=0.1)
    weights: str | Path | None = None
    if checkpoint_path:
        weights = Path(checkpoint_path)
    elif pretrained:
        weights = f"{name}.{recipe}" if recipe else _best(name)
    with download_bar() as progress:
        network = create(
            spec,
            weights=weights,
            classes=0 if features_only else num_classes,
            in_channels=in_chans,
            dropout=drop_rate,
            drop_path=drop_path_rate,
            progress=progress,
        )
    return FeatureNetwork(network, out_indices) if features_only else network


def _best(name: str) -> str:
    weights = [w for w in published.published(canonical(name)).weights if w.tag.startswith(f"{name}.")]
    ranked = sorted((w for w in weights if w.source == "timm"), key=lambda w: w.top1 or 0.0)
    return ranked[-1].tag if ranked else "imagenet"

"""timm's names for the ResNets that effnet has: torchvision's layers with timm's methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from effnet.migration.resnet import ResNet
from effnet.migration.timm_features import FeatureInfo, taken
from effnet.migration.timm_pool import SelectAdaptivePool2d
from effnet.nn import Network
from effnet.nn.network import initialise


class TimmResNet(ResNet):
    """A `ResNet` that answers to timm's `get_classifier`, `forward_head`, `feature_info`, `default_cfg`, ..."""

    names: ClassVar = {**ResNet.names, "act1": "features.0.2", "global_pool": "avgpool"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default_cfg = self.pretrained_cfg = dict[str, Any]()
        self.num_classes, self.in_chans = self._spec.classes, self._spec.in_channels
        self.drop_rate = self._spec.head.dropout
        self.num_features = self.head_hidden_size = self._spec.stages[-1].channels
        self.feature_info = _dicts(self)

    @classmethod
    def under(cls, network: Network, global_pool: str) -> Self:
        """Return `network` under timm's names with this pool."""
        named = cls.of(network)
        named.avgpool = SelectAdaptivePool2d(global_pool)  # type: ignore[assignment]
        return named

    @property
    @torch.jit.unused
    def grad_checkpointing(self) -> bool:
        """Whether block inputs alone are kept for the backward pass."""
        return self.gradient_checkpointing

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """As `set_gradient_checkpointing`."""
        self.set_gradient_checkpointing(enable)

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        layer: nn.Module = self.fc
        return layer

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """Replace pool and last layer (0 classes: none)."""
        super().reset_classifier(num_classes)
        pool = SelectAdaptivePool2d(global_pool)
        self.num_classes = num_classes
        if num_classes and pool.feat_mult() > 1:
            self.fc = nn.Linear(self.num_features * pool.feat_mult(), num_classes)
            initialise(self.fc)
        self.avgpool = pool  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> logits (N, num_classes); without a classifier, what the pool gives."""
        return self.forward_head(self.forward_features(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(N, num_features, H, W) -> logits, or with `pre_logits` what the classifier would be given."""
        x = self.avgpool(x)
        if self.drop_rate > 0.0:
            x = F.dropout(x, p=float(self.drop_rate), training=self.training)
        if pre_logits:
            return x
        logits: Tensor = self.classifier[1](x)
        return logits

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return (last feature map, chosen maps) or only the maps; `norm` and `stop_early` change nothing here."""
        maps = self.forward_pyramid(x)
        chosen = [maps[index] for index in taken(len(maps), indices)]
        return chosen if intermediates_only else (maps[-1], chosen)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the regular expressions by which timm groups layers."""
        return {"stem": r"^conv1|bn1|maxpool", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}


# As for timm's EfficientNet.
TimmResNet.forward.__annotations__.update({"x": Tensor, "return": Tensor})


class ResNetFeatures(nn.Module):
    """A ResNet as the trunk of another network: it returns its last map at each chosen stride.

    Attributes:
        network: the network.
        feature_info: what comes out.
    """

    def __init__(self, network: Network, out_indices: int | Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.spec = network.spec
        self.default_cfg = self.pretrained_cfg = dict[str, Any]()
        self.feature_info = FeatureInfo(_dicts(network), out_indices)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> maps (N, C_i, H / s_i, W / s_i), as `Network.forward_pyramid` computes them."""
        maps = self.network.forward_pyramid(x)
        return [maps[index] for index in self.feature_info.taken]


def _dicts(network: Network) -> list[dict[str, Any]]:
    modules = ("act1", "layer1", "layer2", "layer3", "layer4")
    return [
        {"num_chs": channels, "reduction": stride, "module": module}
        for (stride, channels), module in zip(network.pyramid, modules, strict=True)
    ]

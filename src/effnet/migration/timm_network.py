"""timm's EfficientNet: its module tree, methods and state dict names, on our spec.

The layers are registered under timm's names, so what code written for timm does to them acts: freezing by name,
replacing `conv_stem`, hooks on `conv_head`, checkpoints, `children()`. `canonical()` is the same network, sharing these
layers, under effnet's names; prediction, training and export take it by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]

from effnet.errors import InputError
from effnet.migration.renamed import accept_other_names
from effnet.migration.timm_blocks import dilate, timm_block
from effnet.migration.timm_canonical import canonical, layer_pairs
from effnet.migration.timm_features import FeatureInfo, feature_dicts, taken
from effnet.migration.timm_norms import BatchNormAct2d, require_activation
from effnet.migration.timm_pool import SelectAdaptivePool2d
from effnet.nn import Network
from effnet.nn.layers import convolution
from effnet.nn.network import checkpointed, initialise
from effnet.spec import NetworkSpec
from effnet.unrolling import unroll


class TimmTrunk(nn.Module):
    """Stem and blocks: what networks with and without a head share."""

    def __init__(self, spec: NetworkSpec, *, output_stride: int = 32) -> None:
        nn.Module.__init__(self)
        self.gradient_checkpointing = False
        self.default_cfg = self.pretrained_cfg = dict[str, Any]()
        conventions, stem = spec.conventions, spec.stem
        self.in_chans = spec.in_channels
        self.drop_rate = spec.head.dropout
        self.conv_stem = convolution(spec.in_channels, stem.channels, stem.kernel, stem.stride, 1, conventions)
        self.bn1 = BatchNormAct2d(stem.channels, conventions)
        blocks = unroll(spec).blocks
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(*(timm_block(block, spec) for block in blocks if block.stage == number))
                for number in range(1, len(spec.stages) + 1)
            )
        )
        self.output_stride = output_stride
        self.infos = feature_dicts(spec, dilate(self.blocks, spec, output_stride))
        self.stage_ends = [info["stage"] for info in self.infos]

    @property
    @torch.jit.unused
    def grad_checkpointing(self) -> bool:
        """Whether block inputs alone are kept for the backward pass."""
        return self.gradient_checkpointing

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only block inputs for the backward pass and compute the rest again."""
        self.gradient_checkpointing = enable

    def _stem(self, x: Tensor) -> Tensor:
        if not is_scripting():
            require_activation(self.bn1)
        mapped: Tensor = self.bn1(self.conv_stem(x))
        return mapped

    def _stage(self, stage: nn.Module, x: Tensor) -> Tensor:
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            for block in stage.children():
                x = checkpointed(block, x)
            return x
        mapped: Tensor = stage(x)
        return mapped


class TimmNetwork(TimmTrunk, Network):
    """timm's `EfficientNet`; an `effnet.Network` with timm's layers and names.

    Attributes:
        num_classes, num_features, head_hidden_size, in_chans, drop_rate: as in timm.
        default_cfg, pretrained_cfg: the preprocessing and origin of the weights, as timm writes them.
        feature_info: dictionaries (module, stage, reduction, num_chs) of the last map at each stride.
    """

    def __init__(self, spec: NetworkSpec, *, global_pool: str = "avg", output_stride: int = 32) -> None:
        TimmTrunk.__init__(self, spec, output_stride=output_stride)
        self._describe(spec)
        unrolled = unroll(spec)
        self.conv_head: nn.Module = nn.Identity()
        self.bn2: nn.Module = nn.Identity()
        if spec.head.channels is not None:
            self.conv_head = convolution(unrolled.head_in_channels, spec.head.channels, 1, 1, 1, spec.conventions)
            self.bn2 = BatchNormAct2d(spec.head.channels, spec.conventions)
        self.num_features = self.head_hidden_size = unrolled.features
        self.num_classes = spec.classes
        self.global_pool, linear = self._head(spec.classes, global_pool)
        self.classifier = linear  # type: ignore[assignment]
        self.feature_info = self.infos
        accept_other_names(self)

    @property
    @torch.jit.unused
    def features(self) -> nn.Sequential:  # type: ignore[override]
        """The trunk under our names."""
        return self.canonical().features

    @property
    @torch.jit.unused
    def avgpool(self) -> nn.Module:  # type: ignore[override]
        """The pool."""
        return self.global_pool

    def canonical(self) -> Network:
        """Return this network under effnet's layer names; it shares the layers, so what is done to one is done to both.

        Raises:
            InputError: it was changed into something that effnet's networks do not compute.
        """
        return canonical(self)

    def _stem_convolution(self) -> nn.Module | None:
        return self._modules.get("conv_stem")

    def layer_names(self) -> dict[str, str]:
        """Return the path of timm's layer for each of our layers' names."""
        return dict(layer_pairs(self._spec))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> logits (N, num_classes); without a classifier, what the pool gives."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> the last feature map (N, num_features, H / 32, W / 32), after the head convolution."""
        x = self._stem(x)
        if is_scripting():
            x = self.blocks(x)
        else:
            for stage in self.blocks:
                x = self._stage(stage, x)
        mapped: Tensor = self.bn2(self.conv_head(x))
        return mapped

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(N, num_features, H, W) -> logits, or with `pre_logits` what the classifier would be given."""
        x = self.global_pool(x)
        if self.drop_rate > 0.0:
            x = F.dropout(x, p=float(self.drop_rate), training=self.training)
        if pre_logits:
            return x
        logits: Tensor = self.classifier(x)
        return logits

    def forward_pyramid(self, x: Tensor) -> list[Tensor]:
        """As `Network.forward_pyramid`."""
        maps = self.forward_intermediates(x, intermediates_only=True)
        assert isinstance(maps, list)
        return maps

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
        extra_blocks: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return (last feature map, chosen maps) or only the maps.

        Args:
            x: (N, in_chans, H, W).
            indices: None for every map of `feature_info`, a number for that many of the last, or which.
            norm: without meaning here, as in timm.
            stop_early: compute no stage after the last that is wanted.
            output_fmt: `NCHW`.
            intermediates_only: leave out the last feature map.
            extra_blocks: count every stage, with the stem as 0, not only those of `feature_info`.

        Raises:
            InputError: an index or format that there is not.
        """
        if output_fmt != "NCHW":
            raise InputError(f"output_fmt is {output_fmt!r}", where="output_fmt", fix="use NCHW")
        wanted = self._wanted(indices, extra_blocks)
        x = self._stem(x)
        maps = [x] if 0 in wanted else []
        stages = list(self.blocks)[: max(wanted)] if stop_early else list(self.blocks)
        for number, stage in enumerate(stages, 1):
            x = self._stage(stage, x)
            if number in wanted:
                maps.append(x)
        if intermediates_only:
            return maps
        if len(stages) == len(self.blocks):
            x = self.bn2(self.conv_head(x))
        return x, maps

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
        extra_blocks: bool = False,
    ) -> list[int]:
        """Drop what the chosen maps do not need; return their indices."""
        wanted = self._wanted(indices, extra_blocks)
        self.blocks = self.blocks[: max(wanted)]  # type: ignore[assignment]
        if prune_norm or max(wanted) < len(self._spec.stages):
            self.conv_head, self.bn2 = nn.Identity(), nn.Identity()
        if prune_head:
            self.reset_classifier(0, "")
        return taken(len(self.blocks) + 1 if extra_blocks else len(self.infos), indices)

    @property
    @torch.jit.unused
    def act1(self) -> nn.Module:
        """An identity, for code of timm before 0.7 and geffnet: `bn1` activates."""
        return nn.Identity()

    @property
    @torch.jit.unused
    def act2(self) -> nn.Module:
        """An identity, for code of timm before 0.7 and geffnet: `bn2` activates."""
        return nn.Identity()

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """Replace pool and last layer (0 classes: none)."""
        reference = next(self.parameters())
        self.num_classes = num_classes
        self._spec = self.spec.replace(classes=num_classes)
        self.labels, self.temperature = None, 1.0
        self.global_pool, classifier = self._head(num_classes, global_pool)
        self.classifier = classifier.to(device=reference.device, dtype=reference.dtype)  # type: ignore[assignment]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the regular expressions by which timm groups layers, for layer-wise learning rates."""
        blocks = r"^blocks\.(\d+)" if coarse else r"^blocks\.(\d+)\.(\d+)"
        return {"stem": r"^conv_stem|bn1", "blocks": [(blocks, None), (r"conv_head|bn2", (99999,))]}

    def no_weight_decay(self) -> set[str]:
        """Return the parameters that timm's optimisers leave out by name: none."""
        return set()

    def as_sequential(self) -> nn.Sequential:
        """Return stem, stages, head, pool, dropout and classifier in a row."""
        tail = [self.conv_head, self.bn2, self.global_pool, nn.Dropout(self.drop_rate), self.classifier]
        return nn.Sequential(self.conv_stem, self.bn1, *self.blocks, *tail)

    def _head(self, classes: int, global_pool: str) -> tuple[nn.Module, nn.Module]:
        pool = SelectAdaptivePool2d(global_pool)
        linear: nn.Module = nn.Identity()
        if classes:
            linear = nn.Linear(self.num_features * pool.feat_mult(), classes)
            initialise(linear)
        return pool, linear

    def _wanted(self, indices: int | Sequence[int] | None, extra_blocks: bool) -> list[int]:
        if extra_blocks:
            return taken(len(self.blocks) + 1, indices)
        return [self.stage_ends[index] for index in taken(len(self.stage_ends), indices)]


# torch.fx writes annotations into the code that it makes, where a text would be a name that TorchScript does not know.
TimmNetwork.forward.__annotations__.update({"x": Tensor, "return": Tensor})


class TimmFeatures(TimmTrunk):
    """timm's `features_only` network: the last map at each chosen stride, without the head.

    Attributes:
        feature_info: what comes out.
    """

    def __init__(self, spec: NetworkSpec, out_indices: int | Sequence[int], *, output_stride: int = 32) -> None:
        TimmTrunk.__init__(self, spec, output_stride=output_stride)
        self.spec = spec.replace(classes=0)
        self.feature_info = FeatureInfo(self.infos, out_indices)
        self.wanted = [self.stage_ends[index] for index in self.feature_info.taken]
        accept_other_names(self)

    def layer_names(self) -> dict[str, str]:
        """Return the path of timm's layer for each of our layers' names."""
        head = ("conv_head", "bn2", "classifier")
        return {ours: theirs for ours, theirs in layer_pairs(self.spec) if theirs not in head}

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_chans, H, W) -> maps (N, C_i, H / s_i, W / s_i), finest first."""
        x = self._stem(x)
        maps = [x] if 0 in self.wanted else []
        for number, stage in enumerate(self.blocks, 1):
            x = stage(x) if is_scripting() else self._stage(stage, x)
            if number in self.wanted:
                maps.append(x)
        return maps

"""timm's ResNet: its module tree, methods and state dict names, on our spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]

from effnet.errors import InputError
from effnet.migration.renamed import accept_other_names
from effnet.migration.timm_canonical import layer_of, layer_pairs
from effnet.migration.timm_features import FeatureInfo, taken
from effnet.migration.timm_pool import SelectAdaptivePool2d
from effnet.migration.timm_resnet_blocks import BasicBlock, Bottleneck, activations
from effnet.nn import DropPath, Network, set_kernels
from effnet.nn.layers import activation, convolution
from effnet.nn.network import checkpointed, initialise
from effnet.spec import NetworkSpec
from effnet.unrolling import unroll

_LAYERS = ("layer1", "layer2", "layer3", "layer4")


class ResNetTrunk(nn.Module):
    """Stem and stages: what networks with and without a head share."""

    def __init__(self, spec: NetworkSpec) -> None:
        nn.Module.__init__(self)
        self.gradient_checkpointing = False
        self.default_cfg = self.pretrained_cfg = dict[str, Any]()
        stem, conventions = spec.stem, spec.conventions
        self.in_chans = spec.in_channels
        self.drop_rate = spec.head.dropout
        self.conv1 = convolution(spec.in_channels, stem.channels, stem.kernel, stem.stride, 1, conventions)
        self.bn1 = nn.BatchNorm2d(stem.channels, eps=conventions.norm_eps, momentum=conventions.norm_momentum)
        self.act1 = activation(conventions.activation)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (_stage(spec, number) for number in (1, 2, 3, 4))
        channels = (stem.channels, *(stage.channels for stage in spec.stages))
        self.infos = [
            {"num_chs": width, "reduction": 2 << place, "module": module}
            for place, (width, module) in enumerate(zip(channels, ("act1", *_LAYERS), strict=True))
        ]

    @property
    @torch.jit.unused
    def grad_checkpointing(self) -> bool:
        """Whether block inputs alone are kept for the backward pass."""
        return self.gradient_checkpointing

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only block inputs for the backward pass and compute the rest again."""
        self.gradient_checkpointing = enable

    def maps(self, x: Tensor) -> list[Tensor]:
        """(N, in_chans, H, W) -> the last map at strides 2, 4, 8, 16 and 32."""
        x = self.act1(self.bn1(self.conv1(x)))
        found = [x]
        x = self.maxpool(x)
        x = self._layer(self.layer1, x)
        found.append(x)
        x = self._layer(self.layer2, x)
        found.append(x)
        x = self._layer(self.layer3, x)
        found.append(x)
        x = self._layer(self.layer4, x)
        found.append(x)
        return found

    def _layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            for block in layer.children():
                x = checkpointed(block, x)
            return x
        mapped: Tensor = layer(x)
        return mapped


class TimmResNet(ResNetTrunk, Network):
    """timm's `ResNet`; an `effnet.Network` with timm's layers and names. Attributes as in timm."""

    def __init__(self, spec: NetworkSpec, *, global_pool: str = "avg") -> None:
        ResNetTrunk.__init__(self, spec)
        self._describe(spec)
        self.num_features = self.head_hidden_size = unroll(spec).features
        self.num_classes = spec.classes
        self.global_pool, self.fc = self._head(spec.classes, global_pool)
        self.feature_info = self.infos
        accept_other_names(self)

    @property
    @torch.jit.unused
    def features(self) -> nn.Sequential:  # type: ignore[override]
        """The trunk under our names."""
        return self.canonical().features

    @property
    @torch.jit.unused
    def classifier(self) -> nn.Module:  # type: ignore[override]
        """The last layer."""
        return self.fc

    @property
    @torch.jit.unused
    def avgpool(self) -> nn.Module:  # type: ignore[override]
        """The pool."""
        return self.global_pool

    def layer_names(self) -> dict[str, str]:
        """Return the path of timm's layer for each of our layers' names."""
        return dict(layer_pairs(self._spec))

    def canonical(self) -> Network:
        """Return this network under effnet's layer names; it shares the layers.

        Raises:
            InputError: it was changed into something that effnet's networks do not compute.
        """
        return _canonical(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> logits (N, num_classes); without a classifier, what the pool gives."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> the last feature map (N, num_features, H / 32, W / 32)."""
        if is_scripting():  # a script knows no checkpointing
            x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
            mapped: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return mapped
        return self.maps(x)[-1]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(N, num_features, H, W) -> logits, or with `pre_logits` what the classifier would be given."""
        x = self.global_pool(x)
        if self.drop_rate > 0.0:
            x = F.dropout(x, p=float(self.drop_rate), training=self.training)
        if pre_logits:
            return x
        logits: Tensor = self.fc(x)
        return logits

    def forward_pyramid(self, x: Tensor) -> list[Tensor]:
        """As `Network.forward_pyramid`."""
        return self.maps(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return (last feature map, chosen maps) or only the maps; `norm` and `stop_early` change no number.

        Raises:
            InputError: an index or format that there is not.
        """
        if output_fmt != "NCHW":
            raise InputError(f"output_fmt is {output_fmt!r}", where="output_fmt", fix="use NCHW")
        maps = self.maps(x)
        chosen = [maps[index] for index in taken(len(maps), indices)]
        return chosen if intermediates_only else (maps[-1], chosen)

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """Replace pool and last layer (0 classes: none)."""
        reference = next(self.parameters())
        self.num_classes = num_classes
        self._spec = self.spec.replace(classes=num_classes)
        self.labels, self.temperature = None, 1.0
        self.global_pool, linear = self._head(num_classes, global_pool)
        self.fc = linear.to(device=reference.device, dtype=reference.dtype)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the regular expressions by which timm groups layers."""
        return {"stem": r"^conv1|bn1|maxpool", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}

    def _head(self, classes: int, global_pool: str) -> tuple[nn.Module, nn.Module]:
        pool = SelectAdaptivePool2d(global_pool)
        linear: nn.Module = nn.Identity()
        if classes:
            linear = nn.Linear(self.num_features * pool.feat_mult(), classes)
            initialise(linear)
        return pool, linear


# torch.fx writes annotations into the code that it makes, where a text would be a name that TorchScript does not know.
TimmResNet.forward.__annotations__.update({"x": Tensor, "return": Tensor})


class ResNetFeatures(ResNetTrunk):
    """A ResNet as the trunk of another network: it returns its last map at each chosen stride.

    Attributes:
        feature_info: what comes out.
    """

    def __init__(self, spec: NetworkSpec, out_indices: int | Sequence[int]) -> None:
        ResNetTrunk.__init__(self, spec)
        self.spec = spec.replace(classes=0)
        self.feature_info = FeatureInfo(self.infos, out_indices)
        self.wanted = self.feature_info.taken
        accept_other_names(self)

    def layer_names(self) -> dict[str, str]:
        """Return the path of timm's layer for each of our layers' names."""
        return {ours: theirs for ours, theirs in layer_pairs(self.spec) if theirs != "fc"}

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> maps (N, C_i, H / s_i, W / s_i), finest first."""
        maps = self.maps(x)
        return [maps[index] for index in self.wanted]


def _stage(spec: NetworkSpec, number: int) -> nn.Sequential:
    kind = BasicBlock if spec.stages[number - 1].block.kind == "basic" else Bottleneck
    return nn.Sequential(*(kind(block, spec) for block in unroll(spec).blocks if block.stage == number))


def _canonical(network: TimmResNet) -> Network:
    kind, spec = type(network), network.spec
    stages = [list(getattr(network, name).children()) for name in _LAYERS]
    whole = [len(blocks) for blocks in stages] == [stage.repeats for stage in spec.stages]
    made = all(isinstance(block, BasicBlock | Bottleneck) for blocks in stages for block in blocks)
    own = kind.forward is TimmResNet.forward and kind.forward_features is TimmResNet.forward_features
    pooled = not isinstance(network.global_pool, SelectAdaptivePool2d) or network.global_pool.pool_type
    if not (whole and made and own and pooled):
        fix = "keep the blocks, the pool and the forward as they are made"
        raise InputError("cannot be had under effnet's names: it was changed", where=spec.name, fix=fix)
    with torch.device("meta"):
        ours = Network(spec)
    for path, theirs in layer_pairs(spec):
        place, _, name = path.rpartition(".")
        ours.get_submodule(place)._modules[name] = layer_of(network, theirs)
    stem: Any = ours.features[0]
    stem[2], stem[3] = network.act1, network.maxpool
    for number, name in enumerate(_LAYERS, 1):
        stage: Any = ours.features[number]
        for mine, block in zip(stage, getattr(network, name), strict=True):
            *inner, last = activations(block)
            for unit, act in zip(mine.block, inner, strict=False):
                unit[2] = act
            mine.act = last
            mine.drop_path = block.drop_path if isinstance(block.drop_path, DropPath) else DropPath(0.0)
    if not isinstance(network.global_pool, SelectAdaptivePool2d) or network.global_pool.pool_type != "avg":
        ours.avgpool = network.global_pool  # type: ignore[assignment]
    ours.classifier[0] = nn.Dropout(float(network.drop_rate))
    ours.preprocess, ours.labels, ours.temperature = network.preprocess, network.labels, network.temperature
    ours.gradient_checkpointing = network.gradient_checkpointing
    set_kernels(ours, "auto")
    for module in ours.modules():
        if not any(True for _ in module.parameters(recurse=False)):
            module.training = network.training
    return ours

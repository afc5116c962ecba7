"""EfficientNet-PyTorch's class (github.com/lukemelas/EfficientNet-PyTorch 0.7.1), on our networks.

    >>> from effnet import EfficientNet  # was: from efficientnet_pytorch import EfficientNet
    >>> model = EfficientNet.from_name("efficientnet-b0", num_classes=10)
    >>> model._fc.in_features
    1280

The networks are the same functions: TensorFlow's SAME padding, norm epsilon 1e-3. What differs, and why:

- Padding is computed for the image that comes in, not for the one that `image_size` announced, so other sizes are
  padded as TensorFlow pads them.
- Other input channels keep trained stem kernels, adapted; the original draws new ones.
- A file of fine-tuned weights keeps its classifier when `num_classes` is that of the file.
- Files are read without executing code, and errors are `EffnetError`s.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from effnet.creation import assemble
from effnet.errors import InputError, UnknownNameError
from effnet.families import v1
from effnet.families.catalog import canonical, find
from effnet.migration.renamed import RenamedNetwork
from effnet.nn import build
from effnet.scaling import scale
from effnet.spec import NetworkSpec
from effnet.weights import published
from effnet.weights.loading import load_weights
from effnet.weights.progress_bar import download_bar

_SHAPING = ("width_coefficient", "depth_coefficient", "depth_divisor")

_HEAD = len(v1.B0_STAGES) + 1


class GlobalParams(NamedTuple):
    """What the original calls `_global_params`: the settings of one network, under its names."""

    width_coefficient: float
    depth_coefficient: float
    image_size: int
    dropout_rate: float
    num_classes: int
    batch_norm_momentum: float
    batch_norm_epsilon: float
    drop_connect_rate: float
    depth_divisor: int
    min_depth: int | None
    include_top: bool


class EfficientNet(RenamedNetwork):
    """EfficientNet B0 to B8 and L2 with the names and methods of EfficientNet-PyTorch.

    `_conv_stem`, `_bn0`, `_blocks`, `_conv_head`, `_bn1`, `_avg_pooling`, `_dropout` and `_fc` are there to read and to
    replace (`model._fc = nn.Linear(1280, 10)`); the inside of a block has our names.
    """

    layout = "lukemelas"
    names: ClassVar = {
        "_conv_stem": "features.0.0",
        "_bn0": "features.0.1",
        "_conv_head": f"features.{_HEAD}.0",
        "_bn1": f"features.{_HEAD}.1",
        "_avg_pooling": "avgpool",
        "_dropout": "classifier.0",
        "_fc": "classifier.1",
    }

    @classmethod
    def from_name(cls, model_name: str, in_channels: int = 3, **override_params: Any) -> EfficientNet:
        """Return the network called `model_name` with fresh weights.

        Args:
            model_name: `efficientnet-b0` to `efficientnet-b8`, `efficientnet-l2`.
            in_channels: image channels.
            override_params: fields of `GlobalParams`, such as `num_classes=10`.

        Raises:
            UnknownNameError: no such network or parameter.
            SpecError, InputError: a value is impossible.
        """
        return cls.of(build(_spec(model_name, {"in_channels": in_channels, **override_params})))

    @classmethod
    def from_pretrained(
        cls,
        model_name: str,
        weights_path: str | Path | None = None,
        advprop: bool = False,
        in_channels: int = 3,
        num_classes: int = 1000,
        **override_params: Any,
    ) -> EfficientNet:
        """Return the network called `model_name` with trained weights.

        Args:
            model_name: as for `from_name`.
            weights_path: a file of any layout that effnet reads; None: the original's ImageNet weights, downloaded.
            advprop: those trained with adversarial examples, which want images scaled to -1..1.
            in_channels: image channels; the trained stem is adapted to them.
            num_classes: outputs; where it differs from the weights', the classifier starts afresh.
            override_params: as for `from_name`, but for those that change the network's shape.

        Raises:
            UnknownNameError: no such network, parameter or weights (B8 has only advprop, L2 none).
            WeightsError, DownloadError: the weights cannot be had or do not fit.
            InputError: an override would not fit the weights.
        """
        if shaped := [name for name in _SHAPING if name in override_params]:
            fix = "leave it out, or begin with fresh weights: from_name"
            raise InputError("trained weights have their own shape", where=", ".join(shaped), fix=fix)
        spec = _spec(model_name, {"in_channels": in_channels, "num_classes": num_classes, **override_params})
        source = _tag(spec, advprop) if weights_path is None else Path(weights_path)
        with download_bar() as progress:
            loaded = load_weights(spec, source, classes=spec.classes, in_channels=spec.in_channels, progress=progress)
        chosen = loaded.spec.replace(
            head=spec.head, drop_path=spec.drop_path, resolution=spec.resolution, conventions=spec.conventions
        )
        return cls.of(assemble(dataclasses.replace(loaded, spec=chosen)))

    @classmethod
    def get_image_size(cls, model_name: str) -> int:
        """Return the input side in pixels that the network called `model_name` was made for.

        Raises:
            UnknownNameError: no such network.
        """
        return v1.COEFFICIENTS[_name(model_name)][2]

    @property
    def _blocks(self) -> nn.ModuleList:
        stages = list(self.features.children())[1:_HEAD]
        return nn.ModuleList(block for stage in stages for block in stage.children())

    @property
    def _global_params(self) -> GlobalParams:
        spec, origin = self.spec, self.spec.origin
        return GlobalParams(
            width_coefficient=origin.width if origin else 1.0,
            depth_coefficient=origin.depth if origin else 1.0,
            image_size=spec.resolution,
            dropout_rate=spec.head.dropout,
            num_classes=spec.classes,
            batch_norm_momentum=1 - spec.conventions.norm_momentum,
            batch_norm_epsilon=spec.conventions.norm_eps,
            drop_connect_rate=spec.drop_path,
            depth_divisor=spec.scaling.divisor,
            min_depth=None,
            include_top=spec.classes > 0,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, num_classes), or with include_top=False pooled features (N, F, 1, 1)."""
        result = super().forward(x)
        return result if self.spec.classes else result[:, :, None, None]

    def extract_features(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) -> the last feature map (N, F, H / 32, W / 32), after the head convolution."""
        return self.forward_features(inputs)

    def extract_endpoints(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return `reduction_1` to `reduction_5`, the last map at strides 2 to 32, and `reduction_6`, after the head."""
        maps = self.forward_pyramid(inputs)
        maps.append(self.features[_HEAD](maps[-1]))
        return {f"reduction_{number}": feature for number, feature in enumerate(maps, 1)}

    def set_swish(self, memory_efficient: bool = True) -> None:
        """Do nothing: torch's SiLU, which is used here, both saves memory in training and exports."""


def _name(model_name: str) -> str:
    name = canonical(model_name) if isinstance(model_name, str) else ""
    if name not in v1.COEFFICIENTS:
        known = [known.replace("_", "-") for known in v1.COEFFICIENTS]
        fix = f"use one of {', '.join(known)}; effnet.create has every other network"
        raise UnknownNameError(f"EfficientNet has no {model_name!r}", fix=fix)
    return name


def _tag(spec: NetworkSpec, advprop: bool) -> str:
    recipe = "lukemelas_advprop" if advprop else "lukemelas"
    tags = {weights.tag for weights in published.published(spec.name).weights}
    if (tag := f"{spec.name}.{recipe}") in tags:
        return tag
    fix = f"effnet.create({spec.name!r}, weights='imagenet') has trained weights of another port"
    if f"{spec.name}.lukemelas_advprop" in tags:
        fix = f"advprop=True, or {fix}"
    raise UnknownNameError(f"EfficientNet-PyTorch published no such weights of {spec.name}", fix=fix)


def _spec(model_name: str, params: dict[str, Any]) -> NetworkSpec:
    """Return the network with the original's defaults and the given parameters."""
    name = _name(model_name)
    known = (*GlobalParams._fields, "in_channels")
    for given in params:
        if given not in known:
            raise UnknownNameError.among("parameter", given, known)
    if params.get("min_depth") is not None:
        raise InputError("min_depth is not supported", where="min_depth", fix="leave it out: it is depth_divisor")
    spec = find(name)
    width, depth, _, _ = v1.COEFFICIENTS[name]
    if set(_SHAPING) & set(params):
        base = find("efficientnet_b0")
        divisor = params.get("depth_divisor", base.scaling.divisor)
        base = base.replace(scaling=dataclasses.replace(base.scaling, divisor=divisor))
        width, depth = params.get("width_coefficient", width), params.get("depth_coefficient", depth)
        scaled = scale(base, width=width or 1.0, depth=depth or 1.0)
        spec = scaled.replace(name=f"{name}@w{width},d{depth}", head=_dropout(scaled, spec.head.dropout))
        spec = spec.replace(resolution=find(name).resolution, origin=scaled.origin)
    spec = spec.replace(
        in_channels=params.get("in_channels", 3),
        classes=params.get("num_classes", 1000) if params.get("include_top", True) else 0,
        head=_dropout(spec, params.get("dropout_rate", spec.head.dropout)),
        drop_path=params.get("drop_connect_rate", 0.2) or 0.0,
        resolution=_side(params.get("image_size", spec.resolution), spec.resolution),
    )
    momentum = round(1 - params.get("batch_norm_momentum", 0.99), 12)  # 0.01, not 0.010000000000000009
    return spec.with_conventions(
        padding="same", norm_eps=params.get("batch_norm_epsilon", 1e-3), norm_momentum=momentum
    )


def _dropout(spec: NetworkSpec, rate: float | None) -> Any:
    return dataclasses.replace(spec.head, dropout=rate or 0.0)


def _side(size: Any, usual: int) -> Any:
    if size is None:
        return usual
    if isinstance(size, tuple | list):
        if len(set(size)) != 1:
            raise InputError(f"image_size is {size!r}", where="image_size", fix="give one side; any shape can be run")
        return size[0]
    return size

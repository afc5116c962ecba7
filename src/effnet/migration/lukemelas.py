"""EfficientNet-PyTorch's class (github.com/lukemelas/EfficientNet-PyTorch 0.7.1), on our networks.

    >>> from effnet import EfficientNet  # was: from efficientnet_pytorch import EfficientNet
    >>> model = EfficientNet.from_name("efficientnet-b0", num_classes=10)
    >>> model._fc.in_features
    1280

The layers, their names and those of the state dict are the original's; `canonical()` is the same network under
effnet's names, sharing the layers. `effnet.efficientnet_pytorch` has the rest of what the package exports. The networks
are the same functions: TensorFlow's SAME padding, norm epsilon 1e-3. What differs, and why:

- Without `image_size`, padding is computed for the image that comes in, not for the one that the name announces, so
  other sizes are padded as TensorFlow pads them. With `image_size=224` it is that of 224 px whatever comes in, as in
  the original: networks that were trained with it at another size than the announced one want that.
- Other input channels keep trained stem kernels, adapted; the original draws new ones.
- A file of fine-tuned weights keeps its classifier when `num_classes` is that of the file.
- Files are read without executing code, and errors are `EffnetError`s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]

from effnet.errors import InputError, UnknownNameError, WeightsError
from effnet.migration.lukemelas_canonical import canonical, other_names
from effnet.migration.lukemelas_layers import MBConvBlock, MemoryEfficientSwish, Swish, fixed_for
from effnet.migration.lukemelas_params import (
    VALID_MODELS,
    AnnouncedSize,
    BlockArgs,
    GlobalParams,
    efficientnet_params,
    get_model_params,
    model_name,
    sides,
    spec_of,
)
from effnet.migration.renamed import accept_other_names
from effnet.nn import Network
from effnet.nn.layers import convolution
from effnet.nn.network import checkpointed, initialise
from effnet.spec import NetworkSpec
from effnet.unrolling import unroll
from effnet.weights import published
from effnet.weights.loading import LoadedWeights, load_weights
from effnet.weights.progress_bar import download_bar

_SHAPING = ("width_coefficient", "depth_coefficient", "depth_divisor")


class EfficientNet(Network):
    """EfficientNet B0 to B8 and L2 with the layers, names and methods of EfficientNet-PyTorch.

    Args:
        blocks_args: the stages, as `get_model_params` returns them.
        global_params: the settings.

    Raises:
        InputError, SpecError: they describe no network.
    """

    __constants__ = ("include_top",)

    def __init__(self, blocks_args: Sequence[BlockArgs] | None = None, global_params: Any = None) -> None:
        nn.Module.__init__(self)
        spec = spec_of(blocks_args, global_params)
        self._describe(spec)
        self._blocks_args = list(blocks_args or ())
        size = global_params.image_size
        self._pads_for = None if isinstance(size, AnnouncedSize) else sides(size)
        self._global_params = GlobalParams(**global_params._asdict())
        unrolled, pads_for = unroll(spec), self._pads_for
        self._conv_stem = self._stem(spec.in_channels)
        self._bn0 = _norm(spec.stem.channels, spec)
        self._blocks = nn.ModuleList()
        for block in unrolled.blocks:
            design = spec.stages[block.stage - 1].block
            sized = BlockArgs(
                spec.stages[block.stage - 1].repeats,
                block.kernel,
                [block.stride],
                design.expand_ratio,
                block.in_channels,
                block.out_channels,
                design.se_ratio,
                design.skip,
            )
            pads_for = _after(pads_for, spec.stem.stride if block is unrolled.blocks[0] else 1)
            self._blocks.append(MBConvBlock(sized, self._global_params, pads_for))
            pads_for = _after(pads_for, block.stride)
        self._conv_head = convolution(unrolled.head_in_channels, unrolled.features, 1, 1, 1, spec.conventions)
        self._bn1 = _norm(unrolled.features, spec)
        self._avg_pooling: nn.Module = nn.AdaptiveAvgPool2d(1)
        if spec.classes:
            self._dropout: nn.Module = nn.Dropout(spec.head.dropout)
            self._fc: nn.Module = nn.Linear(unrolled.features, spec.classes)
        self._swish: nn.Module = MemoryEfficientSwish()
        self.apply(initialise)
        accept_other_names(self)

    @classmethod
    def from_name(cls, model_name: str, in_channels: int = 3, **override_params: Any) -> Self:
        """Return the network called `model_name` with fresh weights.

        Args:
            model_name: `efficientnet-b0` to `efficientnet-b8`, `efficientnet-l2`.
            in_channels: image channels.
            override_params: fields of `GlobalParams`, such as `num_classes=10`.

        Raises:
            UnknownNameError: no such network or parameter.
            SpecError, InputError: a value is impossible.
        """
        cls._check_model_name_is_valid(model_name)
        model = cls(*get_model_params(model_name, override_params))
        model._change_in_channels(in_channels)
        return model

    @classmethod
    def from_pretrained(
        cls,
        model_name: str,
        weights_path: str | Path | None = None,
        advprop: bool = False,
        in_channels: int = 3,
        num_classes: int = 1000,
        **override_params: Any,
    ) -> Self:
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
        arguments = get_model_params(model_name, {"num_classes": num_classes, **override_params})
        spec = spec_of(*arguments).replace(in_channels=in_channels)
        loaded = _read(spec, weights_path, advprop, spec.classes)
        model = cls(*arguments)
        model._change_in_channels(in_channels)
        _give(model, loaded)
        model.preprocess, model.labels, model.temperature = loaded.preprocess, loaded.labels, loaded.temperature
        return model

    @classmethod
    def get_image_size(cls, model_name: str) -> int:
        """Return the input side in pixels that the network called `model_name` was made for.

        Raises:
            UnknownNameError: no such network.
        """
        cls._check_model_name_is_valid(model_name)
        return efficientnet_params(model_name)[2]

    @classmethod
    def _check_model_name_is_valid(cls, model_name: Any) -> None:
        _our_name(model_name)

    def _change_in_channels(self, in_channels: int) -> None:
        if in_channels != self._conv_stem.in_channels:
            self._spec = self._spec.replace(in_channels=in_channels)
            reference = self._conv_stem.weight
            self._conv_stem = self._stem(in_channels).to(device=reference.device, dtype=reference.dtype)
            initialise(self._conv_stem)

    def _stem(self, in_channels: int) -> nn.Conv2d:
        stem, conventions = self._spec.stem, self._spec.conventions
        conv = convolution(in_channels, stem.channels, stem.kernel, stem.stride, 1, conventions)
        return conv if self._pads_for is None else fixed_for(conv, self._pads_for)

    @property
    @torch.jit.unused
    def _global_params(self) -> GlobalParams:
        """The settings; a new `drop_connect_rate` or `include_top` acts."""
        return self._params

    @_global_params.setter
    def _global_params(self, params: GlobalParams) -> None:
        self._params = params
        self.include_top = params.include_top in (None, True)
        self.drop_connect_rate = float(params.drop_connect_rate or 0.0)
        self._spec = self._spec.replace(drop_path=self.drop_connect_rate)

    @property
    @torch.jit.unused
    def features(self) -> nn.Sequential:  # type: ignore[override]
        """Stem, stages and head convolution under our names, to read."""
        return _Shown(*self.canonical().features)

    @property
    @torch.jit.unused
    def avgpool(self) -> nn.Module:  # type: ignore[override]
        """The pool."""
        return self._avg_pooling

    @property
    @torch.jit.unused
    def classifier(self) -> nn.Sequential:  # type: ignore[override]
        """Dropout and last layer under our names, to read."""
        return _Shown(*self.canonical().classifier)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; refuse our names of layers, under which nothing would act."""
        if name in _THEIRS:
            raise _read_only(name)
        super().__setattr__(name, value)

    def canonical(self) -> Network:
        """Return this network under effnet's layer names; it shares the layers, so what is done to one is done to both.

        Raises:
            InputError: it was changed into something that effnet's networks do not compute.
        """
        return canonical(self)

    def layer_names(self) -> dict[str, str]:
        """Return the path of the original's layer for each of our layers' names."""
        return other_names(self._spec)

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, num_classes), or with include_top=False pooled features (N, F, 1, 1)."""
        return self.forward_head(self.extract_features(inputs))

    def forward_head(self, x: Tensor) -> Tensor:
        """Last feature map (N, F, H, W) -> what `forward` returns."""
        x = self._avg_pooling(x)
        if self.include_top:
            x = self._fc(self._dropout(x.flatten(start_dim=1)))
        return x

    def extract_features(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) -> the last feature map (N, F, H / 32, W / 32), after the head convolution."""
        x = self._swish(self._bn0(self._conv_stem(inputs)))
        for number, block in enumerate(self._blocks):
            rate = self.drop_connect_rate * number / len(self._blocks)
            x = block(x, drop_connect_rate=rate) if is_scripting() else self._through(block, x, rate)
        mapped: Tensor = self._swish(self._bn1(self._conv_head(x)))
        return mapped

    def extract_endpoints(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return `reduction_1` to `reduction_5`, the last map at strides 2 to 32, and `reduction_6`, after the head."""
        maps = []
        x = self._swish(self._bn0(self._conv_stem(inputs)))
        for number, block in enumerate(self._blocks):
            before, x = x, self._through(block, x, self.drop_connect_rate * number / len(self._blocks))
            if before.shape[2] > x.shape[2]:
                maps.append(before)
        maps += [x, self._swish(self._bn1(self._conv_head(x)))]
        return {f"reduction_{number}": feature for number, feature in enumerate(maps, 1)}

    def forward_features(self, x: Tensor) -> Tensor:
        """As `extract_features`."""
        return self.extract_features(x)

    def forward_pyramid(self, x: Tensor) -> list[Tensor]:
        """As `Network.forward_pyramid`."""
        return self.canonical().forward_pyramid(x)

    def reset_classifier(self, classes: int) -> None:
        """Replace `_fc` by a fresh one for `classes` (0: an identity)."""
        spec = self.spec.replace(classes=classes)
        linear: nn.Module = nn.Identity()
        if classes:
            reference = next(self.parameters())
            linear = nn.Linear(unroll(spec).features, classes, device=reference.device, dtype=reference.dtype)
            initialise(linear)
        self._fc = linear
        self.spec, self.labels, self.temperature = spec, None, 1.0

    def set_swish(self, memory_efficient: bool = True) -> None:
        """Use either of the original's two activations; both are torch's SiLU, which trains and exports."""
        self._swish = MemoryEfficientSwish() if memory_efficient else Swish()
        for block in self._blocks:
            block.set_swish(memory_efficient)  # type: ignore[operator]

    def _through(self, block: nn.Module, x: Tensor, rate: float) -> Tensor:
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpointed(block, x, rate)
        result: Tensor = block(x, drop_connect_rate=rate)
        return result

    def _stem_convolution(self) -> nn.Module | None:
        return self._modules.get("_conv_stem")

    def _last_layer(self) -> nn.Module | None:
        return self._modules.get("_fc")


_THEIRS = {"features": "_conv_stem, _blocks, _conv_head", "avgpool": "_avg_pooling", "classifier": "_fc"}


class _Shown(nn.Sequential):
    """Layers under our names; they are read here and replaced under the original's names."""

    def __setitem__(self, place: Any, module: nn.Module) -> None:
        raise _read_only("features or classifier")


def load_pretrained_weights(
    model: EfficientNet,
    model_name: str,
    weights_path: str | Path | None = None,
    load_fc: bool = True,
    advprop: bool = False,
    verbose: bool = True,
) -> None:
    """Load the original's ImageNet weights, or a file, into `model`; `load_fc=False` leaves its `_fc` as it is.

    Raises:
        UnknownNameError: no such network or weights.
        WeightsError, DownloadError: the weights cannot be had or do not fit.
    """
    _our_name(model_name)
    spec = model.spec if load_fc else model.spec.replace(classes=model.spec.classes or 1)
    loaded = _read(spec, weights_path, advprop, spec.classes if load_fc else None)
    if not load_fc:
        kept = {name: tensor for name, tensor in loaded.state.items() if not name.startswith("classifier.")}
        loaded = dataclasses.replace(loaded, state=kept)
    _give(model, loaded, whole=load_fc)
    model.preprocess = loaded.preprocess
    if verbose:
        print(f"Loaded pretrained weights for {model_name}")  # noqa: T201 (the original says so, on request)


def _our_name(name: Any) -> str:
    return model_name(name)


def _read(spec: NetworkSpec, path: str | Path | None, advprop: bool, classes: int | None) -> LoadedWeights:
    source = _tag(spec, advprop) if path is None else Path(path)
    with download_bar() as progress:
        return load_weights(spec, source, classes=classes, in_channels=spec.in_channels, progress=progress)


def _give(model: EfficientNet, loaded: LoadedWeights, whole: bool = True) -> None:
    """Put weights under our names into `model`, whose subclass may have layers of its own."""
    report = model.load_state_dict(dict(loaded.state), strict=False)
    own = set(model.layer_names().values())
    missing = [name for name in report.missing_keys if name.rpartition(".")[0] in own]
    if not whole:
        missing = [name for name in missing if not name.startswith("_fc.")]
    if missing or report.unexpected_keys:
        names = ", ".join([*missing, *report.unexpected_keys][:4])
        fix = "begin with from_name and load what fits"
        raise WeightsError(f"the weights do not fit: {names}", where=model.spec.name, fix=fix)


def _norm(channels: int, spec: NetworkSpec) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=spec.conventions.norm_eps, momentum=spec.conventions.norm_momentum)


def _after(size: tuple[int, int] | None, stride: int) -> tuple[int, int] | None:
    return None if size is None else (-(-size[0] // stride), -(-size[1] // stride))


def _read_only(name: str) -> InputError:
    fix = f"set {', '.join(_THEIRS.values())}; effnet.create has networks under effnet's names"
    return InputError(f"EfficientNet-PyTorch's network has no {name} to set", where=name, fix=fix)


def _tag(spec: NetworkSpec, advprop: bool) -> str:
    recipe = "lukemelas_advprop" if advprop else "lukemelas"
    tags = {weights.tag for weights in published.published(spec.name).weights}
    if (tag := f"{spec.name}.{recipe}") in tags:
        return tag
    fix = f"effnet.create({spec.name!r}, weights='imagenet') has trained weights of another port"
    if f"{spec.name}.lukemelas_advprop" in tags:
        fix = f"advprop=True, or {fix}"
    raise UnknownNameError(f"EfficientNet-PyTorch published no such weights of {spec.name}", fix=fix)


def _urls(recipe: str) -> dict[str, str]:
    names = {known.replace("-", "_"): known for known in VALID_MODELS}
    tags = {name: {weights.tag: weights.url for weights in published.published(name).weights} for name in names}
    found = {known: tags[name].get(f"{name}.{recipe}") for name, known in names.items()}
    return {known: url for known, url in found.items() if url}


url_map, url_map_advprop = _urls("lukemelas"), _urls("lukemelas_advprop")
"""Where the original's weights are published, by its names of the networks."""

"""timm's door, `create_model`, for the networks that effnet has.

>>> from effnet import create_model  # was: from timm import create_model
>>> create_model("efficientnet_b0", num_classes=10).classifier.in_features
1280
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from effnet.errors import InputError, UnknownNameError
from effnet.migration.timm_names import (
    NAMES,
    OLD_NAMES,
    conventions_of,
    default_weights,
    from_folder,
    is_model,
    list_models,
    list_pretrained,
    pretrained_cfg,
    resolve,
)
from effnet.migration.timm_network import TimmFeatures, TimmNetwork
from effnet.migration.timm_resnet import ResNetFeatures, TimmResNet
from effnet.nn.network import initialise
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec
from effnet.weights import published
from effnet.weights.layouts.parts import is_resnet
from effnet.weights.loading import LoadedWeights, load_weights
from effnet.weights.progress_bar import download_bar

__all__ = ["create_model", "entrypoint", "is_model", "list_models", "list_pretrained"]

Created = TimmNetwork | TimmFeatures | TimmResNet | ResNetFeatures

_ARGUMENTS = (
    "num_classes",
    "in_chans",
    "drop_rate",
    "drop_path_rate",
    "drop_connect_rate",
    "global_pool",
    "output_stride",
    "bn_eps",
    "bn_momentum",
    "features_only",
    "out_indices",
    "feature_cls",
    "feature_cfg",
)

_LISTS = ("list", "hook", "fx", "getter")


def create_model(
    model_name: str,
    pretrained: bool = False,
    pretrained_cfg: str | Mapping[str, Any] | None = None,
    pretrained_cfg_overlay: Mapping[str, Any] | None = None,
    checkpoint_path: str | Path | None = None,
    cache_dir: str | Path | None = None,
    scriptable: bool | None = None,
    exportable: bool | None = None,
    no_jit: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Return a network under timm's name, with timm's layers, names and defaults. Arguments that are None are left out.

    Args:
        model_name: `efficientnet_b0`, `tf_efficientnetv2_s.in21k_ft_in1k`, `tf_efficientnet_b4_ns`,
            `hf-hub:timm/...`, `local-dir:...`; `tf_` means TensorFlow's padding.
        pretrained: load the weights of the tag, or without one timm's default.
        pretrained_cfg: a tag, or a dictionary whose `file` or `tag` says which weights; the rest goes into
            `default_cfg`, and `mean`, `std`, `input_size`, `crop_pct` and `interpolation` into `preprocess`.
        pretrained_cfg_overlay: entries over those of `pretrained_cfg`.
        checkpoint_path: load this file instead.
        cache_dir: not used, with a warning: EFFNET_HOME says where weights are kept.
        scriptable, exportable, no_jit: without meaning: every network can be scripted, traced and exported.
        kwargs: `num_classes` (0: none), `in_chans`, `drop_rate` (0), `drop_path_rate` (0; also `drop_connect_rate`),
            `global_pool` (`avg`, `max`, `avgmax`, `catavgmax`, `''`), `output_stride` (8, 16, 32), `bn_eps`,
            `bn_momentum`; `features_only` with `out_indices` (0: stride 2, ... 4: stride 32) for a list of maps.

    Raises:
        UnknownNameError: no such network, tag or argument.
        InputError, SpecError: a value is impossible.
        WeightsError, DownloadError: the weights cannot be had or do not fit.
    """
    options = {name: value for name, value in kwargs.items() if value is not None}
    for given in options:
        if given not in _ARGUMENTS:
            raise UnknownNameError.among("argument of create_model", given, _ARGUMENTS)
    if cache_dir is not None:
        warnings.warn("cache_dir is not used: EFFNET_HOME says where weights are kept", stacklevel=2)
    name, tag, cfg, checkpoint_path = _asked(model_name, pretrained_cfg, pretrained_cfg_overlay, checkpoint_path)
    own = conventions_of(name).conventions
    eps, momentum = options.pop("bn_eps", own.norm_eps), options.pop("bn_momentum", own.norm_momentum)
    spec = conventions_of(name).with_conventions(norm_eps=eps, norm_momentum=momentum)
    full = f"{name}.{tag}" if tag and tag != "untrained" else default_weights(name)
    file = checkpoint_path or (cfg.get("file") if pretrained else None)
    source: str | Path | None = Path(file) if file else (full or "imagenet") if pretrained else None
    state = cfg.pop("state_dict", None) if pretrained else None
    if state is not None:
        source = None
    elif source is not None and not file:
        _refuse_addresses(cfg, full)
    named = f"timm/{name}.{tag}" if tag else f"timm/{name}"
    network = _network(spec, source, options, named)
    if state is not None:
        network.load_state_dict(state)
    _describe(network, name, full, {key: value for key, value in cfg.items() if value is not None and key != "file"})
    return network


def _asked(
    model_name: str,
    cfg: str | Mapping[str, Any] | None,
    overlay: Mapping[str, Any] | None,
    checkpoint: str | Path | None,
) -> tuple[str, str, dict[str, Any], str | Path | None]:
    """Return name, tag or '', what is said of the weights, and a file if one is named."""
    said: dict[str, Any] = dict(cfg) if isinstance(cfg, Mapping) else {"tag": cfg}
    said |= dict(overlay or {})
    if isinstance(model_name, str) and model_name.startswith("local-dir:"):
        model_name, theirs, checkpoint = from_folder(model_name.removeprefix("local-dir:"))
        said = {**theirs, **{key: value for key, value in said.items() if value is not None}}
    name, tag = resolve(model_name)
    return name, tag or said.get("tag") or "", said, checkpoint


def _refuse_addresses(cfg: Mapping[str, Any], tag: str | None) -> None:
    """Refuse a person's own address of weights, which nothing here fetches."""
    known = published.find(tag) if tag else None
    own = {None, "", *((known.url, known.hub) if known else ())}
    for key in ("url", "hf_hub_id"):
        if cfg.get("tag") is None and cfg.get(key) not in own:
            fix = 'fetch the file, then pretrained_cfg_overlay={"file": PATH}'
            raise InputError(f"weights at {cfg[key]} are not fetched", where=key, fix=fix)


def entrypoint(name: str) -> Callable[..., Any]:
    """Return the function that makes the network called `name`, such as timm's `tf_efficientnet_b7_ns`.

    Raises:
        AttributeError: no such network.
    """
    if name not in NAMES and name not in OLD_NAMES:
        raise AttributeError(name)
    make = functools.partial(create_model, name)
    make.__doc__ = f"Return {name}: `create_model({name!r}, ...)`."
    return make


def _network(spec: NetworkSpec, source: str | Path | None, options: dict[str, Any], named: str) -> Created:
    features, indices = _features(options)
    classes, channels = 0 if features else options.get("num_classes"), options.get("in_chans")
    loaded: LoadedWeights | None = None
    if source is None:
        classes = spec.classes if classes is None else classes
        spec = spec.replace(classes=classes, in_channels=spec.in_channels if channels is None else channels)
    else:
        with download_bar() as progress:
            loaded = load_weights(spec, source, classes=classes, in_channels=channels, progress=progress, named=named)
        spec = _computing(loaded, spec)
    path = options.get("drop_path_rate", options.get("drop_connect_rate", 0.0))
    head = dataclasses.replace(spec.head, dropout=options.get("drop_rate", 0.0))
    spec = spec.replace(head=head, drop_path=path)
    with torch.device("meta"):
        network = _empty(spec, features, indices, options)
    if loaded is None:
        network.to_empty(device=torch.get_default_device())
        network.apply(initialise)
        return network
    network.load_state_dict(_fitting(loaded, network), assign=True)
    network.requires_grad_(True)
    if isinstance(network, TimmNetwork | TimmResNet):
        network.preprocess, network.labels, network.temperature = loaded.preprocess, loaded.labels, loaded.temperature
    return network


def _empty(spec: NetworkSpec, features: bool, indices: Any, options: dict[str, Any]) -> Created:
    pool, stride = options.get("global_pool", "avg"), options.get("output_stride", 32)
    if not is_resnet(spec):
        if features:
            return TimmFeatures(spec, indices, output_stride=stride)
        return TimmNetwork(spec, global_pool=pool, output_stride=stride)
    if stride != 32:
        raise InputError("ResNets are not dilated here", where="output_stride", fix="leave it out")
    return ResNetFeatures(spec, indices) if features else TimmResNet(spec, global_pool=pool)


def _computing(loaded: LoadedWeights, named: NetworkSpec) -> NetworkSpec:
    """Return the network of loaded weights: files of timm's are computed as the name says, others as they say."""
    spec, provenance = loaded.spec, loaded.provenance
    if provenance.get("source") != "timm" and provenance.get("layout") != "timm":
        return spec
    own = named.conventions
    return spec.with_conventions(
        padding=own.padding,
        fused_padding=own.fused_padding,
        norm_eps=own.norm_eps,
        norm_momentum=own.norm_momentum,
    )


def _fitting(loaded: LoadedWeights, network: nn.Module) -> dict[str, Any]:
    """Return the tensors that `network` has a place for; a pool that doubles the features begins a fresh classifier."""
    if isinstance(network, TimmFeatures | ResNetFeatures):
        places = tuple(f"{layer}." for layer in network.layer_names())
        return {name: tensor for name, tensor in loaded.state.items() if name.startswith(places)}
    state = dict(loaded.state)
    linear: Any = network.get_submodule("fc" if isinstance(network, TimmResNet) else "classifier")
    weight = state.get("classifier.1.weight")
    if isinstance(linear, nn.Linear) and weight is not None and weight.shape[1] != linear.in_features:
        fresh = nn.Linear(linear.in_features, linear.out_features)
        initialise(fresh)
        state |= {f"classifier.1.{name}": tensor for name, tensor in fresh.state_dict().items()}
    return state


def _features(options: dict[str, Any]) -> tuple[bool, Any]:
    if not options.get("features_only"):
        return False, ()
    given = {**options.get("feature_cfg", {}), **{key: options[key] for key in ("out_indices",) if key in options}}
    kind = options.get("feature_cls", given.get("feature_cls", "list"))
    if kind not in _LISTS:
        raise UnknownNameError.among("feature_cls", str(kind), _LISTS, see="all of them return a list of maps")
    return True, given.get("out_indices", (0, 1, 2, 3, 4))


def _describe(network: Created, name: str, tag: str | None, cfg: dict[str, Any]) -> None:
    """Set `default_cfg`, and by a person's own entries the preprocessing."""
    resnet = is_resnet(network.spec)
    known = pretrained_cfg(name, network.spec, tag, *(("fc", "conv1") if resnet else ("classifier", "conv_stem")))
    described = known | cfg
    network.default_cfg = network.pretrained_cfg = described
    changed = {"mean", "std", "input_size", "crop_pct", "interpolation"} & set(cfg)
    if changed and isinstance(network, TimmNetwork | TimmResNet):
        own = network.preprocess or Preprocess(size=network.spec.resolution)
        network.preprocess = dataclasses.replace(
            own,
            size=int(described["input_size"][-1]),
            crop=float(described["crop_pct"]),
            interpolation=described["interpolation"],
            mean=tuple(float(value) for value in described["mean"]),
            std=tuple(float(value) for value in described["std"]),
        )

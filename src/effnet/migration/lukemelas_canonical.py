"""A network of EfficientNet-PyTorch's layers as one of ours, sharing every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from effnet.errors import InputError
from effnet.migration.lukemelas_layers import MBConvBlock
from effnet.nn import Network, set_kernels
from effnet.nn.layers import activation
from effnet.weights import layouts

if TYPE_CHECKING:
    from effnet.migration.lukemelas import EfficientNet
    from effnet.spec import NetworkSpec

_WAY_OUT = "keep its blocks and forward as they are made; effnet.create(spec) has networks of other shapes"


def other_names(spec: NetworkSpec) -> dict[str, str]:
    """Return the original's name of each of our layers that owns tensors."""
    full = spec if spec.classes else spec.replace(classes=1)
    rows = layouts.LAYOUTS["lukemelas"].table(full)
    return {row.part.native: row.foreign.rpartition(".")[0] for row in rows if row.foreign is not None}


def canonical(network: EfficientNet) -> Network:
    """Return `network` under our names.

    Raises:
        InputError: it computes something that the spec does not say.
    """
    blocks = list(network._blocks)
    _check(network, blocks)
    spec = network.spec
    stem = network._conv_stem
    if isinstance(stem, nn.Conv2d) and stem.in_channels != spec.in_channels:
        spec = spec.replace(in_channels=stem.in_channels)
    with torch.device("meta"):
        ours: Any = Network(spec)
    _unit(ours.features[0], stem, network._bn0, network._swish)
    _unit(ours.features[len(spec.stages) + 1], network._conv_head, network._bn1, network._swish)
    places = [block for stage in ours.features[1:-1] for block in stage]
    for place, block in zip(places, blocks, strict=True):
        _share(place, block)
    ours.avgpool = network._avg_pooling
    ours.classifier[0] = network._modules.get("_dropout") or nn.Identity()
    ours.classifier[1] = network._modules.get("_fc") or nn.Identity()
    ours.preprocess, ours.labels, ours.temperature = network.preprocess, network.labels, network.temperature
    ours.gradient_checkpointing = network.gradient_checkpointing
    set_kernels(ours, "auto")
    for module in ours.modules():  # not the shared layers, some of which a person may have set apart
        if not any(True for _ in module.parameters(recurse=False)):
            module.training = network.training
    return ours  # type: ignore[no-any-return]


def _check(network: EfficientNet, blocks: list[nn.Module]) -> None:
    from effnet.migration.lukemelas import EfficientNet

    kind, problem = type(network), None
    if any(getattr(kind, name) is not getattr(EfficientNet, name) for name in ("forward", "extract_features")):
        problem = "its forward is another"
    elif len(blocks) != sum(stage.repeats for stage in network.spec.stages):
        problem = "its blocks are not those it was made with"
    for number, block in enumerate(blocks):
        if type(block).forward is not MBConvBlock.forward:
            problem = f"_blocks.{number} is a {type(block).__name__}"
    if problem:
        raise InputError(f"cannot be had under effnet's names: {problem}", where=network.spec.name, fix=_WAY_OUT)


def _unit(unit: Any, conv: nn.Module, norm: nn.Module, act: nn.Module | None = None) -> None:
    unit[0], unit[1] = conv, norm
    if act is not None:
        unit[2] = _act(act)


def _act(act: nn.Module) -> nn.Module:
    # Theirs leaves its input as it is, for people who call it; inside a network it may be overwritten.
    plain = type(act).forward is nn.SiLU.forward and not act._forward_hooks and not act._forward_pre_hooks
    return activation("silu") if plain else act


def _share(ours: Any, theirs: Any) -> None:
    units = list(ours.block)
    if theirs.expands:
        _unit(units.pop(0), theirs._expand_conv, theirs._bn0, theirs._swish)
    _unit(units.pop(0), theirs._depthwise_conv, theirs._bn1, theirs._swish)
    if theirs.has_se:
        gate = units.pop(0)
        gate.fc1, gate.fc2, gate.act = theirs._se_reduce, theirs._se_expand, _act(theirs._swish)
    _unit(units.pop(0), theirs._project_conv, theirs._bn2)

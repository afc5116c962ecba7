"""A network of timm's modules as one of ours, sharing every layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from effnet.errors import InputError
from effnet.migration.timm_blocks import SqueezeExcite, TimmBlock
from effnet.migration.timm_norms import BatchNormAct2d, SyncBatchNormAct
from effnet.migration.timm_pool import SelectAdaptivePool2d
from effnet.nn import Network, set_kernels
from effnet.nn.layers import DropPath
from effnet.spec import NetworkSpec
from effnet.weights import layouts

if TYPE_CHECKING:
    from effnet.migration.timm_network import TimmNetwork

_WAY_OUT = "keep the blocks and the forward as they are made; effnet.create(spec) has networks of other shapes"


def layer_pairs(spec: NetworkSpec) -> Iterator[tuple[str, str]]:
    """Yield (our name, timm's name) of every layer that owns tensors."""
    full = spec if spec.classes else spec.replace(classes=1)
    seen: set[str] = set()
    for row in layouts.LAYOUTS["timm"].table(full):
        if row.foreign is not None and row.part.native not in seen:
            seen.add(row.part.native)
            yield row.part.native, row.foreign.rpartition(".")[0]


def canonical(network: TimmNetwork) -> Network:
    """Return `network` under our names.

    Raises:
        InputError: it computes something that the spec does not say.
    """
    _check(network)
    spec = network.spec
    with torch.device("meta"):
        ours = Network(spec)
    for path, theirs in layer_pairs(spec):
        module = layer_of(network, theirs)
        place, _, name = path.rpartition(".")
        parent = ours.get_submodule(place)
        if isinstance(module, BatchNormAct2d | SyncBatchNormAct):
            _share_norm(parent, module)
        elif name == "1" and path != "classifier.1":
            _put(parent, 1, module)
            _put(parent, 2, nn.Identity())
        else:
            parent._modules[name] = module
    for number, stage in enumerate(network.blocks.children(), 1):
        for index, block in stage.named_children():
            assert isinstance(block, TimmBlock)
            _share_rest(ours.get_submodule(f"features.{number}.{index}"), block)
    plain = isinstance(network.global_pool, SelectAdaptivePool2d) and network.global_pool.pool_type == "avg"
    if not plain:
        ours.avgpool = network.global_pool  # type: ignore[assignment]
    ours.classifier[0] = nn.Dropout(float(network.drop_rate))
    ours.preprocess, ours.labels, ours.temperature = network.preprocess, network.labels, network.temperature
    ours.gradient_checkpointing = network.gradient_checkpointing
    set_kernels(ours, "auto")
    for module in ours.modules():  # not the shared layers, some of which a person may have set apart
        if not any(True for _ in module.parameters(recurse=False)):
            module.training = network.training
    return ours


def _check(network: TimmNetwork) -> None:
    from effnet.migration.timm_network import TimmNetwork

    spec, problem = network.spec, None
    kind = type(network)
    if any(getattr(kind, name) is not getattr(TimmNetwork, name) for name in ("forward", "forward_features")):
        problem = "its forward is another"
    elif network.output_stride != 32:
        problem = f"its output_stride is {network.output_stride}"
    elif [len(list(stage.children())) for stage in network.blocks.children()] != [s.repeats for s in spec.stages]:
        problem = "its blocks are not those it was made with"
    elif isinstance(network.global_pool, SelectAdaptivePool2d) and network.global_pool.pool_type == "":
        problem = "it has no pool"
    for name, module in network.blocks.named_children():
        for index, block in module.named_children():
            if not isinstance(block, TimmBlock):
                problem = f"blocks.{name}.{index} is a {type(block).__name__}"
            elif hasattr(block, "se") and not isinstance(block.se, SqueezeExcite | nn.Identity):
                problem = f"blocks.{name}.{index}.se is a {type(block.se).__name__}"
    if problem:
        raise InputError(f"cannot be had under effnet's names: {problem}", where=spec.name, fix=_WAY_OUT)


def layer_of(network: nn.Module, path: str) -> nn.Module:
    """Return the layer at `path`.

    Raises:
        InputError: it is gone.
    """
    try:
        return network.get_submodule(path)
    except AttributeError:
        raise InputError(f"has no {path}, which effnet's network has", where="canonical", fix=_WAY_OUT) from None


def _share_norm(parent: nn.Module, theirs: BatchNormAct2d | SyncBatchNormAct) -> None:
    norm: nn.BatchNorm2d | nn.SyncBatchNorm
    if isinstance(theirs, BatchNormAct2d):
        norm = nn.BatchNorm2d(theirs.num_features, theirs.eps, theirs.momentum, device="meta")
    else:
        group = theirs.process_group
        norm = nn.SyncBatchNorm(theirs.num_features, theirs.eps, theirs.momentum, process_group=group, device="meta")
    # The very tables, so that moving one network to another device or type moves both.
    norm._parameters, norm._buffers = theirs._parameters, theirs._buffers
    norm.training = theirs.training
    _put(parent, 1, norm)
    _put(parent, 2, theirs.act)


def _put(parent: Any, place: int, module: nn.Module) -> None:
    if place < len(parent):
        parent[place] = module
    elif not isinstance(module, nn.Identity):
        parent.append(module)


def _share_rest(ours: Any, theirs: TimmBlock) -> None:
    ours.drop_path = theirs.drop_path if not isinstance(theirs.drop_path, nn.Identity) else DropPath(0.0)
    ours.residual = theirs.has_skip
    gate = getattr(theirs, "se", None)
    if isinstance(gate, SqueezeExcite):
        mine = next(layer for layer in ours.block if hasattr(layer, "fc1"))
        mine.act, mine.gate = gate.act1, gate.gate

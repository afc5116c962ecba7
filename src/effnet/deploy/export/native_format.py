"""The format of our own engine: the network's steps, and its folded weights under the network's own names."""

from __future__ import annotations

import math

import numpy as np
from safetensors.numpy import save
from torch import nn

from effnet.deploy.export.program import Program
from effnet.deploy.native.plan import plan
from effnet.errors import ParityError
from effnet.nn import build, fold_norms


def convert(program: Program) -> dict[str, bytes]:
    """Return the plan and its tensors; how they are tiled is decided where they run.

    Raises:
        ParityError: the network was changed by hand and is not what its spec says.
    """
    manifest = program.manifest
    steps = plan(manifest.spec, manifest.preprocess.size)
    state = program.module.network.state_dict()
    shapes = steps.shapes()
    _require_own_arithmetic(program)
    odd = set(shapes) ^ set(state) or {name for name in shapes if state[name].numel() != math.prod(shapes[name])}
    if odd:
        what = f"the network is not the one of its spec: {min(odd)}"
        fix = "export it to onnx, which takes what the network does; or change its spec and build it"
        raise ParityError(what, where=manifest.name, fix=fix)
    half = manifest.precision == "fp16"
    tensors = {}
    for name, shape in sorted(shapes.items()):
        values = np.ascontiguousarray(state[name].detach().numpy().reshape(shape), np.float32)
        tensors[name] = values.astype(np.float16) if half and name.endswith(".weight") else values
    return {"plan.json": steps.to_json().encode(), "model.safetensors": save(tensors)}


def _require_own_arithmetic(program: Program) -> None:
    """Refuse activations and pools that are not the spec's: the steps have the spec's, and parity may miss a small one.

    Raises:
        ParityError: one was replaced; it is named.
    """
    spec, found = program.manifest.spec, _without_tensors(program.module.network)
    wanted = _without_tensors(fold_norms(build(spec, weights=False)))
    for name in wanted.keys() & found.keys():
        if wanted[name] is not found[name]:
            what = f"the network is not the one of its spec: {name} is {found[name].__name__}"
            fix = "export it to onnx, which takes what the network does; or change its spec and build it"
            raise ParityError(what, where=program.manifest.name, fix=fix)


def _without_tensors(network: nn.Module) -> dict[str, type[nn.Module]]:
    """Return the kind of each layer that has neither tensors nor layers, and acts outside of training."""
    idle = (nn.Dropout, nn.Identity)
    return {
        name: type(layer)
        for name, layer in network.named_modules()
        if not any(True for _ in layer.children()) and not layer.state_dict() and not isinstance(layer, idle)
    }

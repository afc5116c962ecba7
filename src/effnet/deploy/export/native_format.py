"""The format of our own engine: the network's steps, and its folded weights under the network's own names."""

from __future__ import annotations

import math

import numpy as np
from safetensors.numpy import save

from effnet.deploy.export.program import Program
from effnet.deploy.native.plan import plan
from effnet.errors import ParityError


def convert(program: Program) -> dict[str, bytes]:
    """Return the plan and its tensors; how they are tiled is decided where they run.

    Raises:
        ParityError: the network was changed by hand and is not what its spec says.
    """
    manifest = program.manifest
    steps = plan(manifest.spec, manifest.preprocess.size)
    state = program.module.network.state_dict()
    shapes = steps.shapes()
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

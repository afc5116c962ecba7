"""The format of our own engine: the network's steps, and its folded weights under the network's own names."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save

from effnet.deploy.export.program import Program
from effnet.deploy.native.plan import plan


def convert(program: Program, *, optimize: bool = True) -> dict[str, bytes]:
    """Return the plan and its tensors; how they are tiled is decided where they run."""
    manifest = program.manifest
    steps = plan(manifest.spec, manifest.preprocess.size)
    state = program.module.network.state_dict()
    half = manifest.precision == "fp16"
    tensors = {}
    for name, shape in sorted(steps.shapes().items()):
        values = np.ascontiguousarray(state[name].detach().numpy().reshape(shape), np.float32)
        tensors[name] = values.astype(np.float16) if half and name.endswith(".weight") else values
    return {"plan.json": steps.to_json().encode(), "model.safetensors": save(tensors)}

"""How much each layer alone costs when it is computed in int8: what mixed precision keeps in float first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from effnet.deploy.quantize.graph import Layer, Plan, layers, quantized
from effnet.deploy.quantize.judging import Judgement
from effnet.deploy.quantize.ranges import Range
from effnet.deploy.quantize.running import logits

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """One layer in int8, all others in float.

    Attributes:
        layer: its name in the graph.
        title: what to call it.
        error: of the logits, as `Judgement.error`.
        agreement: percent of the images whose first class stays.
    """

    layer: str
    title: str
    error: float
    agreement: float


def sensitivities(
    model: ModelProto,
    ranges: Mapping[str, Range],
    plan: Plan,
    batches: Sequence[NDArray[np.float32]],
    *,
    means: Mapping[str, NDArray[np.float64]] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Sensitivity, ...]:
    """Return every layer's sensitivity, the worst first.

    Args:
        model: a `prepared` float graph.
        ranges, plan, means: as for `quantized`; what the plan keeps is left out.
        batches: images (N, C, H, W); not those of the gate, which must not choose.
        stop: asked before each layer; layers that are left then are not in the answer.
        progress: called with layers done and in all.
    """
    reference = logits(model, batches)
    candidates = [layer for layer in layers(model) if layer.node not in plan.keep]
    found = []
    for done, layer in enumerate(candidates):
        if stop():
            break
        graph = quantized(model, ranges, _alone(model, layer, plan), means)
        judged = Judgement.of(logits(graph, batches), reference, None)
        found.append(Sensitivity(layer=layer.node, title=layer.title, error=judged.error, agreement=judged.agreement))
        progress(done + 1, len(candidates))
    return tuple(sorted(found, key=lambda one: -one.error))


def _alone(model: ModelProto, layer: Layer, plan: Plan) -> Plan:
    # What follows a layer for free (its Clip or Relu) is quantised with it, so that the range is the fused one.
    outputs = {name for node in model.graph.node if node.name == layer.node for name in node.output}
    followers = {
        node.name for node in model.graph.node if node.op_type in ("Clip", "Relu") and outputs & set(node.input)
    }
    others = {node.name for node in model.graph.node} - {layer.node} - followers
    return Plan(
        reduce_range=plan.reduce_range,
        pointwise=plan.pointwise,
        corrected=plan.corrected,
        keep=frozenset(others),
    )

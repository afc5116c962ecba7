"""A network on its way to int8: its float graph, and what was seen of its tensors on the calibration images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from effnet.deploy.quantize.graph import Plan, prepared, quantized
from effnet.deploy.quantize.judging import Judgement
from effnet.deploy.quantize.ranges import CHOICES, WATCHED, Choice, Range, Seen, observe
from effnet.deploy.quantize.running import logits
from effnet.deploy.quantize.samples import Samples
from effnet.nn import Network

if TYPE_CHECKING:
    from onnx import ModelProto

Method = Literal["ptq", "mixed", "surgery", "qat"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variant:
    """A network and how its graph becomes int8.

    Attributes:
        name: what was done to the network, for people; empty for the network as it came.
        network: in evaluation mode.
        model: its float graph, `prepared`.
        ranges: of every tensor.
        means: of each channel of every tensor.
        plan: how it becomes int8.
        choice: how the ranges were chosen, for people.
    """

    name: str
    network: Network
    model: ModelProto
    ranges: Mapping[str, Range]
    means: Mapping[str, NDArray[np.float64]]
    plan: Plan
    choice: str

    def quantized(self, keep: frozenset[str] = frozenset()) -> ModelProto:
        """Return the int8 graph, with more layers in float."""
        plan = replace(self.plan, keep=self.plan.keep | keep)
        return quantized(self.model, self.ranges, plan, self.means)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """An int8 graph that was made and judged.

    Attributes:
        method: the costliest step that it took.
        name: what it is, for people.
        variant: what it was made from.
        model: the graph.
        kept: weights of the layers that stay in float.
        judgement: on the gate's images.
        changes: what `judging.changes` says of each of them.
        moved: how far its logits lie from the float network's on calibration images, as `Judgement.error`.
        size: bytes.
        seconds: since the start, when it was ready.
        latency_ms: of one image; None until it is measured beside the others.
    """

    method: Method
    name: str
    variant: Variant
    model: ModelProto
    kept: tuple[str, ...]
    judgement: Judgement
    changes: NDArray[np.int8]
    moved: float
    size: int
    seconds: float
    latency_ms: float | None = None


def watched(model: ModelProto, samples: Samples) -> dict[str, Seen]:
    """Return what each tensor of a `prepared` graph holds on the calibration images."""
    seen = observe(model, samples.calibration_batches)
    return {name.removesuffix(WATCHED): values for name, values in seen.items()}


def calibrated(
    name: str,
    network: Network,
    model: ModelProto,
    samples: Samples,
    plan: Plan,
    overrides: Mapping[str, Range] | None = None,
    seen: Mapping[str, Seen] | None = None,
) -> Variant:
    """Return the variant whose ranges, of those that each choice gives, move the logits least.

    That is judged on the calibration images, so the gate's have no part in it.

    Args:
        model: the network's float graph, `prepared`.
        overrides: ranges that are known already; then there is nothing to choose for the other tensors.
        seen: as `watched` returns it, if it is known.
    """
    seen = watched(model, samples) if seen is None else seen
    means = {tensor: values.means for tensor, values in seen.items()}
    choices: tuple[Choice, ...] = CHOICES if overrides is None else ("extremes",)

    def variant(choice: Choice) -> Variant:
        ranges = {tensor: values.covered(choice) for tensor, values in seen.items()} | dict(overrides or {})
        return Variant(
            name=name, network=network, model=model, ranges=ranges, means=means, plan=plan, choice=_TITLES[choice]
        )

    variants = [variant(choice) for choice in choices]
    if len(variants) == 1:
        return replace(variants[0], choice="ranges learnt in training")
    batches = list(samples.calibration_batches(_COMPARED))
    reference = logits(model, batches)
    errors = [Judgement.of(logits(one.quantized(), batches), reference, None).error for one in variants]
    return variants[int(np.argmin(errors))]


_COMPARED = 64
_TITLES: dict[Choice, str] = {
    "extremes": "ranges cover everything seen",
    "percentile": "ranges leave out the outermost 0.01 %",
    "least_error": "ranges of least squared error",
}


def float_graph(data: bytes) -> ModelProto:
    """Return an exported graph, `prepared`."""
    import onnx

    return prepared(onnx.load_model_from_string(data))

"""Which values each tensor of a graph takes, and the range that 8 bits should cover of them.

    seen = observe(model, batches)
    ranges = {name: tensor.least_error() for name, tensor in seen.items()}

A range that covers everything wastes steps on outliers, a narrow one cuts off too much; `least_error` weighs the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from effnet.deploy.quantize.running import session

if TYPE_CHECKING:
    from onnx import ModelProto

Choice = Literal["extremes", "percentile", "least_error"]
CHOICES: tuple[Choice, ...] = get_args(Choice)

_BINS = 2048
_LOOKED_AT = 1 << 16
"""Values of a tensor in a batch that enter its histogram; its extremes are exact."""

_HELD_BYTES = 1 << 30
"""Of all tensors that are watched at once; fewer images run together where they would hold more."""

_PERCENTILE = 99.99
_STEPS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What 8 bits cover: the same steps from `low` to `high`; both are 0 or on their side of it."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """The values of one tensor.

    Attributes:
        low, high: the least and the greatest.
        counts: (bins,) how many lie in each of the equal bins between them.
        means: (C,) of each channel, where the tensor has four dimensions; else of all.
    """

    low: float
    high: float
    counts: NDArray[np.float64]
    means: NDArray[np.float64]

    def covered(self, choice: Choice) -> Range:
        """Return the range that the choice stands for."""
        return {"extremes": self.extremes, "percentile": self.percentile, "least_error": self.least_error}[choice]()

    def extremes(self) -> Range:
        """Return all that was seen."""
        return Range(low=min(self.low, 0.0), high=max(self.high, 0.0))

    def percentile(self, share: float = _PERCENTILE) -> Range:
        """Return what is seen but for the outermost values, `100 - share` percent on each side."""
        total = np.cumsum(self.counts) / self.counts.sum()
        outside = 1 - share / 100
        edges = self._edges()
        low = edges[int(np.searchsorted(total, outside, side="right"))]
        high = edges[min(int(np.searchsorted(total, 1 - outside, side="left")) + 1, len(edges) - 1)]
        return Range(low=min(float(low), 0.0), high=max(float(high), 0.0))

    def least_error(self) -> Range:
        """Return the share of the extremes, from all of them down to a fifth, whose mean squared error is least."""
        whole = self.extremes()
        edges = self._edges()
        values = (edges[:-1] + edges[1:]) / 2
        best, least = whole, np.inf
        for share in np.linspace(1, 0.2, 81):
            low, high = whole.low * share, whole.high * share
            step = (high - low) / _STEPS
            if step <= 0:
                return whole
            rounded = np.clip(np.round((values - low) / step), 0, _STEPS) * step + low
            error = float(self.counts @ (rounded - values) ** 2)
            if error < least:
                best, least = Range(low=low, high=high), error
        return best

    def _edges(self) -> NDArray[np.float64]:
        return np.linspace(*_span(self.low, self.high), len(self.counts) + 1)


def observe(
    model: ModelProto,
    batches: Callable[[], Iterable[NDArray[np.float32]]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Mapping[str, Seen]:
    """Run a graph on images and return what each of its float tensors held, its input and output included.

    Args:
        batches: gives the images (N, C, H, W), the same ones again when it is asked again: once for the extremes, once
            for the histograms between them.
        progress: called with batches done and in all, over both.
    """
    watched = _watched(model)
    names = [value.name for value in watched.graph.output]
    running = session(watched)
    entry = model.graph.input[0].name
    most = max(1, _HELD_BYTES // max(1, _image_bytes(watched)))
    total = 2 * sum(1 for _ in batches())
    low, high = dict.fromkeys(names, np.inf), dict.fromkeys(names, -np.inf)
    sums: dict[str, NDArray[np.float64]] = {}
    done = 0
    for batch in batches():
        for images in _pieces(batch, most):
            for name, value in zip(names, running.run(names, {entry: images}), strict=True):
                low[name], high[name] = min(low[name], float(value.min())), max(high[name], float(value.max()))
                mean = value.mean((0, 2, 3)) if value.ndim == 4 else value.mean(keepdims=True).ravel()
                sums[name] = sums.get(name, 0.0) + mean.astype(np.float64) * len(images)
        done += 1
        progress(done, total)
    counts = {name: np.zeros(_BINS) for name in names}
    count = 0
    for batch in batches():
        count += len(batch)
        for images in _pieces(batch, most):
            for name, value in zip(names, running.run(names, {entry: images}), strict=True):
                flat = value.ravel()
                flat = flat[:: max(1, flat.size * len(batch) // (_LOOKED_AT * len(images)))]
                counts[name] += np.histogram(flat.astype(np.float64), _BINS, _span(low[name], high[name]))[0]
        done += 1
        progress(done, total)
    return {n: Seen(low=low[n], high=high[n], counts=counts[n], means=sums[n] / count) for n in names}


def _pieces(batch: NDArray[np.float32], most: int) -> Iterator[NDArray[np.float32]]:
    return (batch[start : start + most] for start in range(0, len(batch), most))


def _image_bytes(watched: ModelProto) -> int:
    """Return the bytes that the outputs of a graph hold for one image, as far as their sizes are known."""
    shapes = ([axis.dim_value for axis in value.type.tensor_type.shape.dim[1:]] for value in watched.graph.output)
    return sum(4 * math.prod(shape) for shape in shapes)


def values_of(model: ModelProto, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return what every float tensor of a graph holds for some images (N, C, H, W), by name."""
    seen = _watched(model)
    names = [value.name for value in seen.graph.output]
    return dict(zip(names, session(seen).run(names, {model.graph.input[0].name: images}), strict=True))


def _span(low: float, high: float) -> tuple[float, float]:
    return low, max(high, low + 1e-6 * max(1.0, abs(low)))  # a constant tensor has a width too


def _watched(model: ModelProto) -> ModelProto:
    """Return a copy that gives every float tensor as an output, its input through an identity."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model)
    floats = onnx.TensorProto.FLOAT
    outputs = {value.name for value in inferred.graph.output}
    for value in inferred.graph.value_info:
        if value.type.tensor_type.elem_type == floats and value.name not in outputs:
            inferred.graph.output.append(value)
    entry = inferred.graph.input[0]
    copy = onnx.helper.make_node("Identity", [entry.name], [entry.name + WATCHED])
    inferred.graph.node.append(copy)
    renamed = onnx.ValueInfoProto()
    renamed.CopyFrom(entry)
    renamed.name = entry.name + WATCHED
    inferred.graph.output.append(renamed)
    return inferred


WATCHED = "::watched"

"""Running graphs with ONNX Runtime: their answers, and how long they take beside each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from effnet.errors import MissingDependencyError

if TYPE_CHECKING:
    from onnx import ModelProto

_SECONDS = 0.3
"""That each graph runs for in each round of a comparison."""


def session(model: ModelProto, threads: int | None = None) -> Any:
    """Return a graph made ready on the CPU.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError.for_extra("onnxruntime", "onnx", "int8") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def logits(
    model: ModelProto,
    batches: Iterable[NDArray[np.float32]],
    progress: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """Return what a graph answers: images (N, C, H, W), batch by batch -> (N, classes)."""
    running = session(model)
    entry = model.graph.input[0].name
    answers: list[NDArray[np.float32]] = []
    done = 0
    for batch in batches:
        answers.append(running.run(None, {entry: batch})[0])
        done += len(batch)
        progress(done)
    return np.concatenate(answers)


def latencies(
    models: Mapping[str, ModelProto], image: NDArray[np.float32], *, threads: int | None = None, rounds: int = 5
) -> dict[str, float]:
    """Return median milliseconds of each graph on one image, measured in turns, so that a slow moment hits all alike.

    Args:
        image: (1, C, H, W).
        threads: None: as many as the runtime likes.
        rounds: turns of each graph.
    """
    running = {name: (session(model, threads), model.graph.input[0].name) for name, model in models.items()}
    taken: dict[str, list[float]] = {name: [] for name in models}
    for graph, entry in running.values():
        for _ in range(3):
            graph.run(None, {entry: image})
    for number in range(rounds):
        for name in _turned(list(running), number):
            graph, entry = running[name]
            began = time.perf_counter()
            runs: list[float] = []
            while len(runs) < 5 or time.perf_counter() - began < _SECONDS:
                started = time.perf_counter()
                graph.run(None, {entry: image})
                runs.append(1e3 * (time.perf_counter() - started))
            taken[name].append(statistics.median(runs))
    return {name: statistics.median(runs) for name, runs in taken.items()}


def _turned(names: Sequence[str], number: int) -> list[str]:
    start = number % len(names)
    return [*names[start:], *names[:start]]

"""Graphs fitted to this processor, kept so that the work is done once: made on request, proved at every use.

A tuned graph is a file under `home()/tuned`, named for the graph, the processor and the version of ONNX Runtime. It
carries what the portable graph answered to a fixed image; one that answers otherwise (an image of this machine moved
to another, a damaged file) is not used.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from effnet.deploy.engines.onnxruntime_session import session, session_options
from effnet.deploy.manifest import Manifest
from effnet.errors import EffnetError
from effnet.inference.cores import instruction_set
from effnet.weights.atomic import atomic_write
from effnet.weights.store import home

VERSION = 2
"""Of what tuning does; another one makes other files."""

_ANSWER = "effnet.answer"
_TOLERANCE = 1e-4
"""Largest allowed difference to the portable graph's logits, over max(1, the largest logit)."""

_LARGEST = 512 << 20
"""Bytes of a graph that is worth keeping twice; larger networks gain nothing that could be measured."""


def tuned_graph(manifest: Manifest, graph: bytes, *, make: bool) -> bytes | None:
    """Return the graph fitted to this processor, from the cache or, with `make`, made now; None when there is none.

    Only networks with squeeze-and-excitation in float32 gain by it; making needs the onnx package.
    """
    has_gates = any(stage.block.se_ratio for stage in manifest.spec.stages)
    if not has_gates or manifest.precision != "fp32" or manifest.batch not in (None, 1) or len(graph) > _LARGEST:
        return None
    try:
        path = home() / "tuned" / f"{_key(graph)}.onnx"
        if path.is_file():
            return path.read_bytes()
        if not make or importlib.util.find_spec("onnx") is None:
            return None
        made = _made(manifest, graph)
        if made is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(made)
        return made
    except (OSError, EffnetError):  # it is an acceleration: whatever is wrong, the portable graph runs
        return None


def open_tuned(graph: bytes, threads: int, *, spinning: bool = True) -> Any | None:
    """Return a session of a tuned graph; None when it does not answer as the portable graph did."""
    options = session_options(threads, spinning=spinning)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it has been optimised
    with contextlib.suppress(Exception):  # any refusal means the same here
        opened = session(graph, options)
        kept = base64.b64decode(opened.get_modelmeta().custom_metadata_map[_ANSWER])
        if _is_close(_answer(opened), np.frombuffer(kept, "<f4")):
            return opened
    return None


def _made(manifest: Manifest, graph: bytes) -> bytes | None:
    from effnet.deploy.graph.blocked import blocked_graph, with_metadata

    blocked = blocked_graph(graph)
    if blocked is None:
        return None
    answer = _answer(session(graph, session_options(1)))
    marked = with_metadata(blocked, _ANSWER, base64.b64encode(answer.astype("<f4").tobytes()).decode())
    return marked if open_tuned(marked, 1) is not None else None


def _answer(opened: Any) -> NDArray[np.float32]:
    """Return the logits (classes,) of the fixed image."""
    (argument,) = opened.get_inputs()
    generator = np.random.default_rng(0)
    shape = (1, *argument.shape[1:])
    if argument.type == "tensor(uint8)":
        image: NDArray[Any] = generator.integers(0, 256, shape, dtype=np.uint8)
    else:
        image = generator.random(shape, np.float32) * 2 - 1
    (logits,) = opened.run(None, {argument.name: image})
    result: NDArray[np.float32] = logits[0]
    return result


def _is_close(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    if one.shape != other.shape:
        return False
    scale = max(1.0, float(np.abs(other).max()))
    return bool(np.abs(one - other).max() <= _TOLERANCE * scale)  # false for what is not a number


def _key(graph: bytes) -> str:
    parts = (str(VERSION).encode(), onnxruntime.__version__.encode(), instruction_set(), graph)
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    return hashlib.sha256(digests).hexdigest()[:32]

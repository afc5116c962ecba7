"""ONNX Runtime, the default engine on processors: quickest or tied at every size measured, and imported in 0.2 s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime

from effnet.deploy.engines.engine import Batch, Logits, Setting
from effnet.deploy.manifest import Manifest
from effnet.errors import InputError, WeightsError


class OnnxRuntimeEngine:
    """A session of ONNX Runtime on the processor."""

    name = "onnxruntime"

    def __init__(self, manifest: Manifest, graph: bytes, threads: int) -> None:
        self.threads = threads
        self._manifest = manifest
        self._session = session(graph, threads)
        sides = (self._session.get_inputs(), self._session.get_outputs())
        names = [[argument.name for argument in side] for side in sides]
        if names != [[manifest.input_name], [manifest.output_name]]:
            what = f"the graph goes from {', '.join(names[0])} to {', '.join(names[1])}, "
            what += f"its manifest says from {manifest.input_name} to {manifest.output_name}"
            raise WeightsError(what, where=manifest.name, fix="export it again")
        self.settings: Mapping[str, Setting] = {
            "version": onnxruntime.__version__,
            "threads": threads,
            "spinning": True,
            "arena": True,
        }

    def run(self, batch: Batch) -> Logits:
        """Compute a batch; as `Engine.run`."""
        try:
            (logits,) = self._session.run([self._manifest.output_name], {self._manifest.input_name: batch})
        except Exception as error:
            raise _explained(error, self._manifest, len(batch)) from None
        return logits  # type: ignore[no-any-return]


def open_graph(manifest: Manifest, payload: Mapping[str, bytes], threads: int) -> OnnxRuntimeEngine:
    """Return the engine for a bundle's graph.

    Raises:
        WeightsError: ONNX Runtime refuses the graph.
    """
    return OnnxRuntimeEngine(manifest, payload["model.onnx"], threads)


def session(graph: bytes, threads: int, *, options: Any = None) -> Any:
    """Return a session on the processor.

    Raises:
        WeightsError: ONNX Runtime refuses the graph.
    """
    options = options or onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its complaints come as errors, with our words
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        what = f"ONNX Runtime {onnxruntime.__version__} refuses the graph: {reason}"
        raise WeightsError(what, fix="export it again, or pip install --upgrade onnxruntime") from None


def _explained(error: Exception, manifest: Manifest, images: int) -> InputError:
    reason = str(error).partition("\n")[0][:200]
    if "alloc" in reason.lower():
        what = f"{images} images of {manifest.preprocess.size} pixels do not fit in the memory"
        return InputError(what, where="onnxruntime", fix="use a smaller batch")
    return InputError(f"ONNX Runtime failed: {reason}", where=manifest.name, fix="export the bundle again")

"""LiteRT (TensorFlow Lite) with XNNPACK."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from ai_edge_litert.interpreter import Interpreter

from effnet.deploy.engines.engine import Batch, Logits, Setting
from effnet.deploy.manifest import Manifest
from effnet.errors import InputError, WeightsError


class LiteRtEngine:
    """An interpreter of LiteRT."""

    name = "litert"

    def __init__(self, manifest: Manifest, graph: bytes, threads: int) -> None:
        self.threads = threads
        self._manifest = manifest
        try:
            self._interpreter = Interpreter(model_content=graph, num_threads=threads)
            self._interpreter.allocate_tensors()
            (self._input,) = (detail["index"] for detail in self._interpreter.get_input_details())
            (self._output,) = (detail["index"] for detail in self._interpreter.get_output_details())
        except Exception as error:
            reason = str(error).partition("\n")[0][:200]
            raise WeightsError(
                f"LiteRT refuses the graph: {reason}", where=manifest.name, fix="export it again"
            ) from None
        self._shape = tuple(self._interpreter.get_input_details()[0]["shape"])
        self.settings: Mapping[str, Setting] = {
            "version": version("ai-edge-litert"),
            "threads": threads,
            "delegate": "xnnpack",
        }

    def run(self, batch: Batch) -> Logits:
        """Compute a batch; as `Engine.run`."""
        try:
            if batch.shape != self._shape:
                self._interpreter.resize_tensor_input(self._input, batch.shape)
                self._interpreter.allocate_tensors()
                self._shape = batch.shape
            self._interpreter.set_tensor(self._input, batch)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0][:200]
            raise InputError(f"LiteRT failed: {reason}", where=self._manifest.name, fix="use another batch") from None
        logits: Logits = self._interpreter.get_tensor(self._output)
        return logits


def open_graph(manifest: Manifest, payload: Mapping[str, bytes], threads: int) -> LiteRtEngine:
    """Return the engine for a bundle's graph.

    Raises:
        WeightsError: LiteRT refuses the graph.
    """
    return LiteRtEngine(manifest, payload["model.tflite"], threads)

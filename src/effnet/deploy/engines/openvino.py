"""OpenVINO: an alternative on processors, strong with int8 and with many images at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino

from effnet.deploy.engines.engine import Batch, Logits, Setting
from effnet.deploy.manifest import Manifest
from effnet.errors import InputError, WeightsError


class OpenVinoEngine:
    """A compiled model of OpenVINO, with one request."""

    name = "openvino"

    def __init__(self, manifest: Manifest, payload: Mapping[str, bytes], threads: int) -> None:
        self.threads = threads
        self._manifest = manifest
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            # Left to itself it computes in bfloat16 where the processor can, which is not what was certified.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            core = openvino.Core()
            if manifest.format == "onnx":
                model = core.read_model(payload["model.onnx"])
            else:
                weights = openvino.Tensor(np.frombuffer(payload["model.bin"], np.uint8))
                model = core.read_model(payload["model.xml"], weights)
            if (len(model.inputs), len(model.outputs)) != (1, 1):
                raise ValueError(f"it has {len(model.inputs)} inputs and {len(model.outputs)} outputs")
            self._request = core.compile_model(model, "CPU", options).create_infer_request()
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            what = f"OpenVINO {openvino.__version__} refuses the graph: {reason}"
            raise WeightsError(what, fix="export it again, or pip install --upgrade openvino") from None
        self.settings: Mapping[str, Setting] = {
            "version": openvino.__version__.partition("-")[0],
            "threads": threads,
            "hint": "latency",
            "arithmetic": "f32",
        }

    def run(self, batch: Batch) -> Logits:
        """Compute a batch; as `Engine.run`."""
        try:
            results = self._request.infer({0: batch})
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            what = f"OpenVINO failed on {len(batch)} images: {reason}"
            raise InputError(what, where=self._manifest.name, fix="use a smaller batch") from None
        logits: Logits = results[0].copy()  # its own buffer is used again by the next run
        return logits


def open_graph(manifest: Manifest, payload: Mapping[str, bytes], threads: int) -> OpenVinoEngine:
    """Return the engine for a bundle's graph.

    Raises:
        WeightsError: OpenVINO refuses the graph.
    """
    return OpenVinoEngine(manifest, payload, threads)

"""Sessions of ONNX Runtime: how they are asked for here, and its refusals as our errors."""

from __future__ import annotations

from typing import Any

import onnxruntime

from effnet.errors import WeightsError


def session_options(threads: int, *, spinning: bool = True) -> Any:
    """Return the options of every session; docs/engines.md has the measurements they were chosen by.

    Args:
        threads: for one batch.
        spinning: whether those without work look for some for a moment before they sleep.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    options.log_severity_level = 4  # its complaints come as errors, with our words
    return options


def session(graph: bytes, options: Any) -> Any:
    """Return a session on the processor.

    Raises:
        WeightsError: ONNX Runtime refuses the graph.
    """
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        what = f"ONNX Runtime {onnxruntime.__version__} refuses the graph: {reason}"
        raise WeightsError(what, fix="export it again, or pip install --upgrade onnxruntime") from None

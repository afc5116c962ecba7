"""ONNX Runtime, the default engine on processors: quickest or tied at every size measured, and imported in 0.2 s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime

from effnet.deploy.engines.engine import Batch, Logits, Setting
from effnet.deploy.engines.onnxruntime_session import session, session_options
from effnet.deploy.engines.tuned import open_tuned, tuned_graph
from effnet.deploy.manifest import Manifest
from effnet.errors import InputError, WeightsError


class OnnxRuntimeEngine:
    """Sessions of ONNX Runtime on the processor: one for any batch, and one for single images where the graph is tuned.

    Each is made when it is first needed.
    """

    name = "onnxruntime"

    def __init__(
        self, manifest: Manifest, graph: bytes, threads: int, tuned: bytes | None = None, *, spinning: bool = True
    ) -> None:
        self.threads = threads
        self._manifest = manifest
        self._graph = graph
        self._spinning = spinning
        self._single = open_tuned(tuned, threads, spinning=spinning) if tuned is not None else None
        if self._single is not None:
            self._checked(self._single)
        self._any = None if self._single else self._session()
        self.settings: Mapping[str, Setting] = {
            "version": onnxruntime.__version__,
            "threads": threads,
            "graph": "tuned for this processor (single images)" if self._single else "as exported",
            "spinning": spinning,
            "arena": True,
        }

    def run(self, batch: Batch) -> Logits:
        """Compute a batch; as `Engine.run`."""
        session = self._single if len(batch) == 1 else None
        if session is None:
            session = self._any = self._any or self._session()
        try:
            (logits,) = session.run([self._manifest.output_name], {self._manifest.input_name: batch})
        except Exception as error:
            raise _explained(error, self._manifest, len(batch)) from None
        return logits  # type: ignore[no-any-return]

    def _session(self) -> Any:
        return self._checked(session(self._graph, session_options(self.threads, spinning=self._spinning)))

    def _checked(self, made: Any) -> Any:
        names = [[argument.name for argument in side] for side in (made.get_inputs(), made.get_outputs())]
        wanted = [[self._manifest.input_name], [self._manifest.output_name]]
        if names != wanted:
            what = f"the graph goes from {', '.join(names[0])} to {', '.join(names[1])}, "
            what += f"its manifest says from {wanted[0][0]} to {wanted[1][0]}"
            raise WeightsError(what, where=self._manifest.name, fix="export it again")
        return made


def open_graph(
    manifest: Manifest,
    payload: Mapping[str, bytes],
    threads: int,
    *,
    tune: bool | None = None,
    spinning: bool = True,
) -> OnnxRuntimeEngine:
    """Return the engine for a bundle's graph.

    Args:
        manifest, payload: of the bundle.
        threads: CPU threads for one batch.
        tune, spinning: as for `open_engine`.

    Raises:
        WeightsError: ONNX Runtime refuses the graph.
    """
    graph = payload["model.onnx"]
    tuned = None if tune is False else tuned_graph(manifest, graph, make=tune is True)
    return OnnxRuntimeEngine(manifest, graph, threads, tuned, spinning=spinning)


def _explained(error: Exception, manifest: Manifest, images: int) -> InputError:
    reason = str(error).partition("\n")[0][:200]
    if "alloc" in reason.lower():
        what = f"{images} images of {manifest.preprocess.size} pixels do not fit in the memory"
        return InputError(what, where="onnxruntime", fix="use a smaller batch")
    return InputError(f"ONNX Runtime failed: {reason}", where=manifest.name, fix="export the bundle again")

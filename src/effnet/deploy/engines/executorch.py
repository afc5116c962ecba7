"""ExecuTorch: the runtime for telephones, here through its Python binding."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import torch
from executorch.runtime import Runtime

from effnet.deploy.engines.engine import Batch, Logits, Setting
from effnet.deploy.manifest import Manifest
from effnet.errors import InputError, WeightsError


class ExecuTorchEngine:
    """A loaded program of ExecuTorch.

    The binding decides about threads itself; `threads` is what was asked for.
    """

    name = "executorch"

    def __init__(self, manifest: Manifest, program: bytes, threads: int) -> None:
        self.threads = threads
        self._manifest = manifest
        try:
            self._method = Runtime.get().load_program(program).load_method("forward")
        except Exception as error:
            reason = str(error).partition("\n")[0][:200]
            what = f"ExecuTorch refuses the program: {reason}"
            raise WeightsError(what, where=manifest.name, fix="export it again") from None
        self.settings: Mapping[str, Setting] = {"version": version("executorch"), "threads": "its own choice"}

    def run(self, batch: Batch) -> Logits:
        """Compute a batch; as `Engine.run`."""
        try:
            (logits,) = self._method.execute([torch.from_numpy(batch)])
        except RuntimeError as error:
            reason = str(error).partition("\n")[0][:200]
            raise InputError(
                f"ExecuTorch failed: {reason}", where=self._manifest.name, fix="use another batch"
            ) from None
        result: Logits = logits.numpy().copy()
        return result


def open_graph(manifest: Manifest, payload: Mapping[str, bytes], threads: int) -> ExecuTorchEngine:
    """Return the engine for a bundle's program.

    Raises:
        WeightsError: ExecuTorch refuses the program.
    """
    return ExecuTorchEngine(manifest, payload["model.pte"], threads)

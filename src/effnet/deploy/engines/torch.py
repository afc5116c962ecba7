"""torch as an engine: an exported program, or a network itself, eager or compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from effnet.allocator import keep_freed_memory
from effnet.deploy.engines.engine import Batch, Logits, Setting
from effnet.deploy.manifest import Manifest
from effnet.deploy.torch_program import load_program
from effnet.errors import InputError, WeightsError
from effnet.inference.runtime import for_inference, torch_threads
from effnet.nn import Network


class TorchEngine:
    """A callable of torch, run on the processor in inference mode."""

    name = "torch"

    def __init__(self, forward: Callable[[Tensor], Tensor], threads: int, form: str, *, channels_last: bool) -> None:
        self.threads = threads
        self._forward = forward
        self._channels_last = channels_last
        self.settings: Mapping[str, Setting] = {
            "version": torch.__version__,
            "threads": threads,
            "form": form,
            "memory format": "channels last" if channels_last else "contiguous",
            "allocator": "keeps freed memory" if keep_freed_memory() else "as it is",
        }

    @torch.inference_mode()
    def run(self, batch: Batch) -> Logits:
        """Compute a batch; as `Engine.run`."""
        images = torch.from_numpy(batch)
        if self._channels_last:
            images = images.to(memory_format=torch.channels_last)
        try:
            with torch_threads(self.threads):
                logits: Logits = self._forward(images).float().numpy()
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):
                raise
            raise InputError(f"{len(batch)} images do not fit in the memory", fix="use a smaller batch") from None
        return logits


def open_graph(manifest: Manifest, payload: Mapping[str, bytes], threads: int) -> TorchEngine:
    """Return the engine for a bundle's exported program.

    Raises:
        WeightsError: torch refuses the program, or it holds more than a program.
    """
    try:
        forward = load_program(payload["model.pt2"]).module()
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        what = f"torch {torch.__version__} refuses the program: {reason}"
        raise WeightsError(what, where=manifest.name, fix="export it again with this torch") from None
    return TorchEngine(forward, threads, "exported program", channels_last=not manifest.preprocessing_in_graph)


def network_engine(network: Network, threads: int, *, compiled: bool = False) -> TorchEngine:
    """Return the engine that runs a network itself: norms folded, channels last; `compiled` by torch.compile.

    Raises:
        WeightsError: it cannot be compiled here.
    """
    folded = for_inference(network, torch.device("cpu"))
    if not compiled:
        return TorchEngine(folded, threads, "eager, norms folded", channels_last=True)
    return TorchEngine(torch.compile(folded), threads, "compiled, norms folded", channels_last=True)

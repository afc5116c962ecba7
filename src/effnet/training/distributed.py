"""One process of a run, or one of many that torchrun started.

    torchrun --standalone --nproc-per-node 8 -m effnet.cli -- train photos/ --run runs/big

The `--` ends torchrun's own options: without it, it takes `--run` for one of them, cut short.

A `World` is what the rest of training knows of it: its rank, how many there are, and the few things they say to each
other. With one process all of them are free.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor

from effnet.errors import EffnetError, InputError

_TIMEOUT = timedelta(seconds=300)
"""A process that waits longer for another one gives up, so that torchrun can start all of them again."""

_LEFT: list[object] = []
"""Groups of processes that are over, kept until the end of the program.

A group ends with its last reference, and joins its threads then. They may be about to let go of a tensor, for which
they need the interpreter's lock. Python drops a reference to a group without that lock, but a DistributedDataParallel
that outlives the `with` drops its own under it, and if that is the last one, waits forever.
"""

atexit.register(_LEFT.clear)


class RankError(EffnetError):
    """Another process of the run died or does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Which process this is.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        device: where it computes.
        restarts: how often torchrun has started the run again.
    """

    rank: int = 0
    size: int = 1
    device: torch.device
    restarts: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Return each number summed over all processes."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self._talks_on)
        with _typed():
            dist.all_reduce(sums)
        return sums.tolist()

    def told(self, value: Any) -> Any:
        """Return the leading process's value (plain data) on all of them."""
        if self.size == 1:
            return value
        box = [value]
        with _typed():
            dist.broadcast_object_list(box, src=0, device=self._talks_on)
        return box[0]

    def gathered(self, value: Any) -> list[Any]:
        """Return every process's value (plain data), by rank, on all of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with _typed():
            dist.all_gather_object(values, value)
        return values

    def copy_from_leader(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors by those of the leading process; those that are shared out stay."""
        if self.size > 1:
            with _typed(), torch.no_grad():
                for tensor in tensors:
                    if not isinstance(tensor, DTensor):
                        dist.broadcast(tensor, src=0)

    @property
    def _talks_on(self) -> torch.device:
        return self.device if self.device.type == "cuda" else torch.device("cpu")


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """Yield the world of this process: that of torchrun's environment, or itself alone.

    Args:
        device: where to compute; under torchrun, `cuda` becomes the process's own device.

    Raises:
        InputError: torchrun's environment is incomplete or the other processes cannot be reached.
        RankError: another process died, inside the block.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield World(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    ours = not dist.is_initialized()
    if ours:
        try:
            _meet("nccl" if device.type == "cuda" else "gloo")
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            fix = "start with torchrun; see docs/training.md"
            raise InputError(f"cannot reach the other processes: {reason}", where="torchrun", fix=fix) from None
    try:
        yield World(
            rank=dist.get_rank(),
            size=dist.get_world_size(),
            device=device,
            restarts=_restarts(),
        )
    finally:
        if ours:
            _LEFT.append(dist.group.WORLD)
            dist.destroy_process_group()


def _meet(backend: str) -> None:
    # torchrun can start all processes again with the same store, in which the dead ones have left their addresses; so
    # each start has keys of its own.
    store, rank, size = next(iter(rendezvous("env://", timeout=_TIMEOUT)))
    store = PrefixStore(f"start {_restarts()}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def _typed() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise lost_rank(error) from None


def lost_rank(error: RuntimeError) -> RankError:
    """Return the error to raise when talking to another process failed with `error`."""
    reason = str(error).partition("\n")[0]
    fix = "torchrun --max-restarts 3 starts all again from the last checkpoint; or: effnet train --resume RUN"
    return RankError(f"another process of the run is gone: {reason}", where="torchrun", fix=fix)

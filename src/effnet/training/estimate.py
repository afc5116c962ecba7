"""About how long a run will take here, from a few of its own steps on noise."""

from __future__ import annotations

import dataclasses
import itertools
import time

import torch

from effnet.cost import cost
from effnet.data.source import Dataset
from effnet.nn import build
from effnet.training.decisions import Decided
from effnet.training.forward import autocast
from effnet.training.progressive import first_step

_MOST_MACS = 6e10
"""Multiply-accumulates that are timed at most at once: a few seconds on two slow cores."""

_BACKWARD = 3.0
"""Forward and backward passes together over a forward pass alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run will take, images and checkpoints being quick.

    Attributes:
        seconds: of all epochs, judging included.
        epoch: of the last of them.
    """

    seconds: float
    epoch: float


def estimate(decided: Decided, dataset: Dataset, device: torch.device) -> Estimate | None:
    """Return how long training takes, or None where a single image would take too long to time.

    A forward and backward pass over a few images is timed and scaled by the images and by the MACs of each stage; it
    leaves out decoding, the teacher and other processes, so read it as "at least about".
    """
    recipe, spec = decided.recipe, decided.spec.replace(classes=max(2, len(dataset.train.classes)))
    schedule = recipe.progressive_for(spec)
    sizes = [schedule.settings(stage).image_size for stage in range(schedule.stages)]
    macs = [cost(spec, resolution=size).macs for size in sizes]
    batch = min(recipe.batch.size or 1, 32, int(_MOST_MACS / (_BACKWARD * macs[-1])))
    if batch < 1:
        return None
    step, judged = _timed(decided, sizes[-1], batch, device)
    total = len(dataset.train) * recipe.epochs
    edges = [first_step(stage, total, schedule.stages) for stage in range(schedule.stages)] + [total]
    head = int(recipe.transfer.head_epochs * len(dataset.train))
    work = 0.0
    for stage, (begin, end) in enumerate(itertools.pairwise(edges)):
        # Where only the classifier learns, the layers below it are passed forward alone.
        alone = max(0, min(head, end) - begin)
        work += macs[stage] / macs[-1] * ((end - begin - alone) * step + alone * judged)
    looked_at = judged * (len(dataset.val) if dataset.val else 0)
    return Estimate(seconds=work + recipe.epochs * looked_at, epoch=step * len(dataset.train) + looked_at)


def _timed(decided: Decided, side: int, batch: int, device: torch.device) -> tuple[float, float]:
    """Return seconds an image of a training step, and of a judgement."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(decided.spec.replace(classes=10)).to(device)
        images = torch.randn(max(2, batch), decided.spec.in_channels, side, side, device=device)
    if decided.recipe.precision.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.contiguous(memory_format=torch.channels_last)
    learning, looking = [], []
    for _ in range(2):
        network.train()
        began = _now(device)
        with autocast(device, decided.recipe.precision.dtype):
            loss = network(images).float().square().mean()
        loss.backward()
        learning.append(_now(device) - began)
        network.eval()
        began = _now(device)
        with torch.no_grad(), autocast(device, decided.recipe.precision.dtype):
            network(images)
        looking.append(_now(device) - began)
    return min(learning) / len(images), min(looking) / len(images)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()

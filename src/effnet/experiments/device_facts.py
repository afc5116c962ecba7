"""What the guide asks of this device: how long a candidate takes for an image, and how long training it takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import torch

from effnet.cost import cost
from effnet.families import find
from effnet.guide.candidates import Candidate
from effnet.guide.situation import Situation
from effnet.inference.latency import measure_latency
from effnet.inference.runtime import find_device, torch_threads
from effnet.nn import build
from effnet.training import catalog

_ANCHOR = "efficientnet_b0"
_BATCH, _STEPS = 8, 3


def latency_here(*, threads: int | None = None, device: str | None = None) -> Callable[[Candidate], float]:
    """Return what the guide takes as `latency`: milliseconds for one image."""
    return lambda candidate: measure_latency(candidate.spec, threads=threads, device=device).median_ms


def training_seconds_per_mac(*, threads: int | None = None, device: str | None = None) -> float:
    """Return the seconds of training for each multiply-accumulate of a forward pass, as B0 needs them here.

    Other networks do more or less a second than B0, by up to a factor of two; it is an estimate.

    Raises:
        InputError: the device is not there.
    """
    place, spec = find_device(device), find(_ANCHOR)
    with torch_threads(threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(spec).to(place).train()
        images = torch.randn(_BATCH, 3, spec.resolution, spec.resolution, device=place)
        seconds = []
        for _ in range(_STEPS):
            began = time.perf_counter()
            network(images).sum().backward()
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            seconds.append(time.perf_counter() - began)
    return min(seconds) / _BATCH / cost(spec).macs


def training_work(situation: Situation, candidate: Candidate) -> float:
    """Return the multiply-accumulates of one forward pass of one training image in this situation."""
    if situation.from_nothing:
        small = catalog.find("small")
        stem = candidate.spec.stem
        finer = dataclasses.replace(stem, stride=small.stem_stride or stem.stride)
        return cost(candidate.spec.replace(stem=finer), resolution=small.resolution).macs
    if situation.tiny:
        return cost(candidate.spec, resolution=96).macs
    return candidate.train_macs


def train_hours_here(
    situation: Situation, *, threads: int | None = None, device: str | None = None
) -> Callable[[Candidate], float]:
    """Return what the guide takes as `train_hours`: estimated from training steps of B0, timed here.

    Raises:
        InputError: the device is not there.
    """
    images = situation.images or 0
    recipe = catalog.find("small" if situation.from_nothing else "finetune")
    rate = training_seconds_per_mac(threads=threads, device=device)
    return lambda c: rate * training_work(situation, c) * images * recipe.epochs / 3600

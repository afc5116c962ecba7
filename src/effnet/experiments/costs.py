"""What a candidate costs, in whatever the objective counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from effnet.cost import cost
from effnet.errors import InputError
from effnet.nn import build
from effnet.search.objective import CostKind
from effnet.spec import NetworkSpec

Latency = Callable[[NetworkSpec], float]


class CostMeter:
    """Counts parameters, MACs and memory in closed form, and asks others for what only a device knows."""

    def __init__(
        self, kinds: Sequence[CostKind], *, latency: Latency | None = None, step_time: Latency | None = None
    ) -> None:
        """Take the costs that are needed besides the closed forms.

        Args:
            latency, step_time: from a spec to milliseconds here.

        Raises:
            InputError: a measured cost is needed and nothing measures it.
        """
        self._measured: dict[CostKind, Latency] = {}
        for kind, meter in (("latency", latency), ("step_time", step_time)):
            if kind in kinds:
                if meter is None:
                    raise InputError(f"nothing measures {kind}", where="cost", fix="give a latency table")
                self._measured[kind] = meter  # type: ignore[index]

    def __call__(self, spec: NetworkSpec) -> dict[CostKind, float]:
        """Return every cost, by kind, in the units of `effnet.search.objective.UNITS`."""
        counted = cost(spec)
        costs: dict[CostKind, float] = {
            "macs": counted.macs,
            "params": counted.params,
            "memory": counted.total_inference_bytes,
        }
        return costs | {kind: meter(spec) for kind, meter in self._measured.items()}


def measured_step_time(*, batch: int, device: torch.device, runs: int = 3) -> Latency:
    """Return a function from a spec to the median milliseconds of a training step: forward, backward, SGD.

    Args:
        batch: images a step, at the spec's own resolution.
        device: where.
        runs: steps that count, after one that does not.
    """

    def step_time(spec: NetworkSpec) -> float:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build(spec).to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
            images = torch.randn(batch, spec.in_channels, spec.resolution, spec.resolution, device=device)
            images = images.contiguous(memory_format=torch.channels_last)
            labels = torch.randint(max(1, spec.classes), (batch,), device=device)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
            times = []
            for _ in range(runs + 1):
                began = time.perf_counter()
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(functional.cross_entropy(network(images), labels))
                optimizer.step()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                times.append((time.perf_counter() - began) * 1e3)
        return statistics.median(times[1:])

    return step_time

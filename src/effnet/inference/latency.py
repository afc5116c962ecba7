"""How long a network takes here: on this machine, now, in the form in which predictions run it.

>>> from effnet import find
>>> measure_latency(find("b0"), threads=1).median_ms  # doctest: +SKIP
41.7
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from effnet.errors import InputError
from effnet.inference.runtime import find_device, for_inference, torch_threads
from effnet.nn import Network, build
from effnet.spec import NetworkSpec

_PATIENCE_S = 2.0
_TURN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyMeasurement:
    """Milliseconds for one batch, and what they hold for.

    Attributes:
        median_ms: half of the runs took longer.
        low_ms, high_ms: 10th and 90th percentile of the runs.
        runs: how many, after the warm-up.
        resolution, batch, threads, device: what was run, and on what.
        machine: the processor's or accelerator's name, and torch's version.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    runs: int
    resolution: int
    batch: int
    threads: int
    device: str
    machine: str

    def __str__(self) -> str:
        """Render one line: `41.7 ms (40.9 to 43.0 in 20 runs)`."""
        return f"{self.median_ms:.1f} ms ({self.low_ms:.1f} to {self.high_ms:.1f} in {self.runs} runs)"


def measure_latency(
    spec: NetworkSpec,
    resolution: int | None = None,
    *,
    batch: int = 1,
    threads: int | None = None,
    repeats: int = 20,
    warmup: int = 5,
    device: str | None = None,
) -> LatencyMeasurement:
    """Build `spec` with fresh weights and time it on random images.

    Args:
        spec: the network.
        resolution: input side in pixels; the spec's own when None.
        batch: images a run.
        threads: CPU threads; torch's present number when None. Put back afterwards.
        repeats: runs that count; fewer, but three, when they take more than two seconds in all.
        warmup: runs before them.
        device: as torch writes it (`cpu`, `cuda:1`, `mps`); None: the accelerator if there is one.

    Raises:
        InputError: a number is not positive, or the device is not there.
    """
    side = spec.resolution if resolution is None else resolution
    _require_positive(resolution=side, batch=batch, repeats=repeats, threads=1 if threads is None else threads)
    place = find_device(device)
    with torch_threads(threads), torch.inference_mode(), torch.random.fork_rng(devices=[]):
        network, images = _ready(spec, side, batch, place)
        _runs(network, images, warmup, at_least=1, seconds=_PATIENCE_S / 4)
        runs = _runs(network, images, repeats, at_least=3, seconds=_PATIENCE_S)
        return _measurement(runs, side, batch, place)


def take_turns(
    runners: Sequence[Callable[[], object]],
    *,
    rounds: int = 12,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[list[float]]:
    """Return the milliseconds of each runner's runs, taken in turns, after two runs each that do not count.

    What slows the machine down then meets all of them alike. One that has used its ten seconds stays out after three.

    Args:
        runners: each does its work once and returns when it is done.
        rounds: in each of which every runner runs once.
        progress: called with rounds done, warming up counted as one, and in all.

    Raises:
        InputError: `rounds` is not positive.
    """
    _require_positive(rounds=rounds)
    for runner in runners:
        if _timed(runner) < _PATIENCE_S * 1e3 / 4:
            runner()
    progress(1, rounds + 1)
    runs: list[list[float]] = [[] for _ in runners]
    for number in range(rounds):
        for mine, runner in zip(runs, runners, strict=True):
            if len(mine) < 3 or sum(mine) < _TURN_S * 1e3:
                mine.append(_timed(runner))
        progress(number + 2, rounds + 1)
    return runs


def network_runner(spec: NetworkSpec, batch: int, place: torch.device) -> Callable[[], object]:
    """Return what runs a fresh network once on random images at its own resolution, in the form that predicts."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        network, images = _ready(spec, spec.resolution, batch, place)

    def run() -> None:
        with torch.inference_mode():
            network(images)
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        elif place.type == "mps":
            torch.mps.synchronize()

    return run


def stopwatch(
    *,
    batch: int = 1,
    threads: int | None = None,
    device: str | None = None,
    report: Callable[[NetworkSpec, LatencyMeasurement], None] | None = None,
) -> Callable[[NetworkSpec], float]:
    """Return what `effnet.budget` takes as latency: a function from a spec to its median milliseconds here.

    Args:
        batch, threads, device: as in `measure_latency`.
        report: called with each network and its measurement, as they come.
    """

    def latency(spec: NetworkSpec) -> float:
        measured = measure_latency(spec, batch=batch, threads=threads, device=device)
        if report is not None:
            report(spec, measured)
        return measured.median_ms

    return latency


def settled(network: Network, side: int) -> Network:
    """Give every norm the statistics of one noise batch.

    Without this the signal of a fresh deep network dies away, and processors are slow with numbers near zero.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(torch.randn(2, network.spec.in_channels, side, side))
    return network


def _ready(spec: NetworkSpec, side: int, batch: int, place: torch.device) -> tuple[Network, Tensor]:
    torch.manual_seed(0)
    network = for_inference(settled(build(spec), side), place)
    return network, torch.randn(batch, spec.in_channels, side, side).to(place)


def _measurement(runs: Sequence[float], side: int, batch: int, place: torch.device) -> LatencyMeasurement:
    ordered = sorted(runs)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.1, 0.9))
    return LatencyMeasurement(
        median_ms=statistics.median(ordered),
        low_ms=low,
        high_ms=high,
        runs=len(ordered),
        resolution=side,
        batch=batch,
        threads=torch.get_num_threads(),
        device=str(place),
        machine=machine_name(place),
    )


def _require_positive(**numbers: object) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} is {value!r}", where=name, fix="give a positive whole number")


def _runs(network: Network, images: Tensor, count: int, *, at_least: int, seconds: float) -> list[float]:
    runs: list[float] = []
    while len(runs) < count and (len(runs) < at_least or sum(runs) < seconds * 1e3):
        runs.append(_milliseconds(network, images))
    return runs


def _timed(runner: Callable[[], object]) -> float:
    started = time.perf_counter()
    runner()
    return (time.perf_counter() - started) * 1e3


def _milliseconds(network: Network, images: Tensor) -> float:
    started = time.perf_counter()
    network(images)
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    elif images.is_mps:
        torch.mps.synchronize()
    return (time.perf_counter() - started) * 1e3


def machine_name(device: torch.device) -> str:
    """Return the processor's or accelerator's name, the number of cores, and torch's version."""
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        cpuinfo = Path("/proc/cpuinfo")
        lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}"

"""Measuring a latency table: whole networks run as predictions run them, with a clock between their blocks."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effnet.errors import InputError
from effnet.inference.latency import machine_name, measure_latency, settled
from effnet.inference.runtime import find_device, for_inference, torch_threads
from effnet.nn import Network, build
from effnet.search.latency_table import LatencyTable, Part, parts_of
from effnet.search.space import Choices, SearchSpace
from effnet.spec import NetworkSpec

Shown = Callable[[int, int], object]

_PASSES = 12
_MOST_PASSES = 80
_SECONDS = 0.5
"""Small networks, whose passes are easily disturbed, run more often: so long, or so often."""
_WARM = 3
_ROUNDS = 2
_TURNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A table against networks that it has not seen.

    Attributes:
        predicted_ms, measured_ms: of each network.
    """

    predicted_ms: tuple[float, ...]
    measured_ms: tuple[float, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        """By how much each prediction is off, as a share of what was measured."""
        return tuple(abs(p / m - 1) for p, m in zip(self.predicted_ms, self.measured_ms, strict=True))

    @property
    def median_error(self) -> float:
        """Half of the networks are off by more."""
        return statistics.median(self.errors)

    @property
    def worst_error(self) -> float:
        """None is off by more."""
        return max(self.errors)


def specs_to_measure(space: SearchSpace, count: int, seed: int) -> list[NetworkSpec]:
    """Return points of the space in which every value of every dimension occurs about equally often.

    Raises:
        InputError: not a positive count.
    """
    if count < 1:
        raise InputError(f"{count} networks", where="networks", fix="give 1 or more, 30 for a useful table")
    rng = random.Random(f"latency {seed}")
    columns = {}
    for name, values in space.dimensions.items():
        column = [values[place % len(values)] for place in range(count)]
        rng.shuffle(column)
        columns[name] = column
    points: list[Choices] = [{name: column[i] for name, column in columns.items()} for i in range(count)]
    return [space.spec(point) for point in points]


def measure_table(
    specs: Sequence[NetworkSpec],
    *,
    batch: int = 1,
    threads: int | None = None,
    device: str | None = None,
    progress: Shown = lambda done, of: None,
) -> LatencyTable:
    """Time every part of every network, in rounds over all of them.

    Of the rounds the faster one counts, as a disturbed machine is slower, never faster; of the networks that share a
    part, their median.

    Args:
        batch: images a pass.
        threads: CPU threads; None: torch's present number.
        device: as torch writes it; None: the accelerator if there is one.
        progress: told after every network.

    Raises:
        InputError: no networks, or the device is not there.
    """
    if not specs:
        raise InputError("no networks to measure", where="specs", fix="give some, 30 for a useful table")
    place = find_device(device)
    fastest: list[list[float]] = [[] for _ in specs]
    wholes = [float("inf")] * len(specs)
    done = 0
    with torch_threads(threads), torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(_ROUNDS):
            for number, spec in enumerate(specs):
                network = for_inference(settled(build(spec), spec.resolution), place)
                images = torch.randn(batch, spec.in_channels, spec.resolution, spec.resolution).to(place)
                parts, whole = _timed(network, images)
                before = fastest[number] or parts
                fastest[number] = [min(pair) for pair in zip(before, parts, strict=True)]
                wholes[number] = min(wholes[number], whole)
                done += 1
                progress(done, _ROUNDS * len(specs))
        used = torch.get_num_threads()
    timed: dict[Part, list[float]] = {}
    for spec, parts in zip(specs, fastest, strict=True):
        for part, milliseconds in zip(parts_of(spec), parts, strict=True):
            timed.setdefault(part, []).append(milliseconds)
    return LatencyTable(
        rows={part: statistics.median(values) for part, values in timed.items()},
        factor=statistics.median(whole / sum(parts) for whole, parts in zip(wholes, fastest, strict=True)),
        batch=batch,
        threads=used,
        device=str(place),
        machine=machine_name(place),
    )


def validate(
    table: LatencyTable,
    specs: Sequence[NetworkSpec],
    *,
    threads: int | None = None,
    progress: Shown = lambda done, of: None,
) -> Validation:
    """Compare the table with whole networks, measured in three turns; the lowest median of each counts.

    A machine that something else disturbs is slower for a while, never faster.
    """
    measured = [float("inf")] * len(specs)
    for turn in range(_TURNS):
        for place, spec in enumerate(specs):
            found = measure_latency(
                spec, batch=table.batch, threads=threads or table.threads, device=table.device, repeats=_MOST_PASSES
            )
            measured[place] = min(measured[place], found.median_ms)
            progress(turn * len(specs) + place + 1, _TURNS * len(specs))
    predicted = tuple(table.predict(spec) for spec in specs)
    return Validation(predicted_ms=predicted, measured_ms=tuple(measured))


def _timed(network: Network, images: Tensor) -> tuple[list[float], float]:
    """Return the median milliseconds of each part, and of untimed whole passes that take turns with the timed ones."""
    parts = _parts(network)
    timed: list[list[float]] = [[] for _ in parts]
    wholes = []
    started = time.perf_counter()
    for turn in range(_WARM + _MOST_PASSES):
        if turn >= _WARM + _PASSES and time.perf_counter() - started > _SECONDS:
            break
        x = images
        for part, times in zip(parts, timed, strict=True):
            began = time.perf_counter()
            x = part(x)
            _wait(x)
            if turn >= _WARM:
                times.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        _wait(network(images))
        if turn >= _WARM:
            wholes.append((time.perf_counter() - began) * 1e3)
    return [statistics.median(times) for times in timed], statistics.median(wholes)


def _parts(network: Network) -> list[Callable[[Tensor], Tensor]]:
    """Return the callables that make up the network, as `parts_of` lists them."""
    layers = list(network.features)
    stages = len(network.spec.stages)
    blocks = [block for stage in layers[1 : 1 + stages] for block in _children(stage)]
    last = layers[1 + stages :]

    def head(x: Tensor) -> Tensor:
        for layer in last:
            x = layer(x)
        return network.forward_head(x)

    return [layers[0], *blocks, head]


def _children(stage: nn.Module) -> list[nn.Module]:
    return list(stage.children())


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    elif x.is_mps:
        torch.mps.synchronize()

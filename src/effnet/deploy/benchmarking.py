"""What `effnet benchmark` does: every engine on this machine on one model, in turns, after proving equal work."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from effnet.data.preprocess import to_array
from effnet.deploy.bundle import Bundle, is_bundle, open_bundle
from effnet.deploy.certificate import Work
from effnet.deploy.engines import engines_here, open_engine
from effnet.deploy.manifest import Format, Manifest
from effnet.deploy.racing import Make, Result, Run, race
from effnet.deploy.work import count, expected_work
from effnet.errors import InputError, WeightsError
from effnet.inference.cores import processor_name, usable_cores

if TYPE_CHECKING:
    from effnet.deploy.export.model import Model

TOLERANCES: Mapping[str, float] = {"fp32": 1e-3, "fp16": 5e-2}
"""Largest difference of two engines' logits, over max(1, the largest); int8 kernels may round as they like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One engine at one batch size.

    Attributes:
        engine: its name, and the form of the model it ran.
        batch: images at once.
        median_ms, low_ms, high_ms: of the rounds, for one batch.
        images_per_second: by the median.
        times_as_fast: as the first engine of the batch: the median of the rounds' ratios.
        max_relative: largest difference of its logits to the first engine's, over max(1, the largest).
        agreement: share of the images with the same first class as the first engine's.
        settings: what the engine runs with.
    """

    engine: str
    batch: int
    median_ms: float
    low_ms: float
    high_ms: float
    images_per_second: float
    times_as_fast: float
    max_relative: float
    agreement: float
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """All engines on one model.

    Attributes:
        model: what was asked for.
        described: the model in one line.
        work: what the graph does for one image; it is that of the network in closed form, or nothing is timed.
        machine: processor and cores.
        threads, rounds, seconds: how it was measured.
        rows: batch by batch, the first engine first.
    """

    model: str
    described: str
    work: Work
    machine: str
    threads: int
    rounds: int
    seconds: float
    rows: tuple[Row, ...]


def benchmark(
    model: str | os.PathLike[str],
    *,
    batches: Sequence[int] = (1, 8),
    threads: int | None = None,
    rounds: int = 7,
    seconds: float = 0.5,
    compiled: bool = False,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Benchmark:
    """Time every engine that is installed and runs `model`.

    Args:
        model: a bundle: engines for its format; or what `effnet.deploy.export` takes: torch, its ONNX graph, and the
            native engine.
        batches: numbers of images at once.
        threads: CPU threads; None: as many processors as there are to use.
        rounds: turns of each engine.
        seconds: length of a turn.
        compiled: also torch.compile, which takes a minute.
        fresh: take fresh weights for a published name.
        progress: called with (turns done, turns in all).

    Raises:
        InputError: no installed engine runs it, or an argument is impossible.
        WeightsError: the graph does less work than the network, or two engines do not agree.
    """
    used = threads or usable_cores()
    name = os.fspath(model)
    if is_bundle(name):
        bundle = open_bundle(name)
        contestants = _engines(bundle, used)
    else:
        from effnet.deploy.export.model import find_model

        found = find_model(name, fresh=fresh)
        bundle = _converted(found, "onnx")
        forms = {"torch eager": False} | ({"torch compiled": True} if compiled else {})
        torch = {form: functools.partial(_open_torch, name, fresh, used, flag) for form, flag in forms.items()}
        contestants = torch | _engines(bundle, used)
        if engines_here("native"):
            ours = _converted(found, "native")
            _checked_work(ours)
            contestants |= _engines(ours, used)
    if not contestants:
        fix = f"pip install 'effnet[{'onnx' if bundle.manifest.format == 'onnx' else bundle.manifest.format}]'"
        raise InputError(f"no installed engine runs {bundle.manifest.format} bundles", where=name, fix=fix)
    work = _checked_work(bundle)
    rows: list[Row] = []
    turns = rounds * len(contestants)
    for number, batch in enumerate(batches):

        def report(done: int, total: int, before: int = number * turns) -> None:
            progress(before + done, len(batches) * turns)

        images = _images(bundle.manifest, batch)
        rows += _rows(race(contestants, images, rounds=rounds, seconds=seconds, progress=report), bundle.manifest)
    return Benchmark(
        model=name,
        described=bundle.manifest.describe(),
        work=work,
        machine=processor_name(),
        threads=used,
        rounds=rounds,
        seconds=seconds,
        rows=tuple(rows),
    )


def _engines(bundle: Bundle, threads: int) -> dict[str, Make]:
    makes: dict[str, Make] = {}
    for name in engines_here(bundle.manifest.format):
        makes[name] = functools.partial(_open, bundle, name, threads, False)
        if name == "onnxruntime" and open_engine(bundle, name, threads, tune=True).settings["graph"] != "as exported":
            makes["onnxruntime, tuned"] = functools.partial(_open, bundle, name, threads, True)
    return makes


def _converted(found: Model, format: Format) -> Bundle:
    from effnet.deploy.export.door import convert, describe

    manifest = describe(found, format, "fp32")
    return Bundle(manifest=manifest, certificate=None, payload=convert(found.network, manifest))


def _open(bundle: Bundle, engine: str, threads: int, tune: bool) -> tuple[Run, Mapping[str, Any]]:
    opened = open_engine(bundle, engine, threads, tune=tune)
    return opened.run, opened.settings


def _open_torch(model: str, fresh: bool, threads: int, compiled: bool) -> tuple[Run, Mapping[str, Any]]:
    from effnet.deploy.engines.torch import network_engine
    from effnet.deploy.export.model import find_model

    opened = network_engine(find_model(model, fresh=fresh).network, threads, compiled=compiled)
    return opened.run, opened.settings


def _checked_work(bundle: Bundle) -> Work:
    """Return the work of the graph: what answers alike may still have left something out."""
    _, done = count(bundle.manifest.format, bundle.payload)
    expected = expected_work(bundle.manifest)
    if done.products < expected.products or done.macs != expected.macs:
        what = f"its graph does {done.products} products and {done.macs} MACs for an image, "
        what += f"its network {expected.products} and {expected.macs}"
        raise WeightsError(what, where=bundle.manifest.name, fix="export it again")
    return done


def _images(manifest: Manifest, batch: int) -> NDArray[Any]:
    size, channels = manifest.preprocess.size, manifest.spec.in_channels
    generator = np.random.default_rng(0)
    # Coarse colours made large: noise in every pixel is unlike any photograph.
    coarse = generator.integers(0, 256, (batch, 8, 8, channels), dtype=np.uint8)
    rows = np.arange(size) * 8 // size
    pixels = coarse[:, rows][:, :, rows]  # (N, 8, 8, C) -> (N, size, size, C)
    return pixels if manifest.preprocessing_in_graph else to_array(list(pixels), manifest.preprocess)


def _rows(results: Sequence[Result], manifest: Manifest) -> list[Row]:
    first = results[0]
    rows = []
    for result in results:
        scale = max(1.0, float(np.abs(first.logits).max()))
        difference = float(np.abs(result.logits - first.logits).max()) / scale
        allowed = TOLERANCES.get(manifest.precision)
        if allowed is not None and not difference <= allowed:
            what = f"{result.name} answers otherwise than {first.name}: logits differ by {difference:.2g} (relative)"
            raise WeightsError(what, where=manifest.name, fix="report it; the figures would compare different things")
        batch = len(result.logits)
        same = result.logits.argmax(axis=1) == first.logits.argmax(axis=1)
        rows.append(
            Row(
                engine=result.name,
                batch=batch,
                median_ms=result.median_ms,
                low_ms=min(result.milliseconds),
                high_ms=max(result.milliseconds),
                images_per_second=batch * 1e3 / result.median_ms,
                times_as_fast=result.ratio_to(first),
                max_relative=difference,
                agreement=float(same.mean()),
                settings=result.settings,
            )
        )
    return rows

"""Running a graph beside the network that it came from, and writing down what was seen.

The reference is the network as it was trained: PyTorch, float32, its norms not folded. So folding, the exporter and the
engine are all judged at once.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import torch
from numpy.typing import NDArray

from effnet.data.preprocess import to_array, to_batch
from effnet.deploy.bundle import Bundle, digests
from effnet.deploy.certificate import Accuracy, Certificate, Latency, Parity
from effnet.deploy.engines import Engine, open_engine
from effnet.deploy.manifest import Manifest
from effnet.deploy.probes import Probes, made
from effnet.deploy.work import count, expected_work
from effnet.errors import InputError, ParityError
from effnet.inference.latency import machine_name
from effnet.inference.runtime import torch_threads
from effnet.nn import Network
from effnet.preprocessing import Preprocess

BATCHES = (1, 3, 8)
"""Sizes at which a graph of any batch is compared: one alone, an odd one, and the usual one on a CPU."""

TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2}
"""Largest difference of a logit, over max(1, the image's largest |logit|)."""

_COMPARED = 24
"""Images compared at each batch size but one, which sees every image."""

_WITNESSES = 4
"""Pictures whose logits a certificate keeps: 40 kB for a thousand classes."""

_REFERENCE_BATCH = 8
_RUNS, _WARM_UP, _PATIENCE_S = 15, 3, 4.0
_PACKAGES = ("effnet", "torch", "onnx", "onnxruntime", "openvino", "executorch", "ai-edge-litert", "numpy")

Progress = Callable[[str, int, int], None]


def silent(_stage: str, _done: int, _total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a graph must reach.

    Attributes:
        tolerance: largest relative difference of a logit; None: not limited.
        min_agreement: least share of images with the same first class.
    """

    tolerance: float | None
    min_agreement: float = 1.0


def certify(
    bundle: Bundle,
    network: Network,
    probes: Probes,
    terms: Terms,
    *,
    engine: str = "auto",
    threads: int | None = None,
    batches: Sequence[int] = BATCHES,
    reference: NDArray[np.float32] | None = None,
    accuracy: Accuracy | None = None,
    latency: bool = True,
    progress: Progress = silent,
) -> Bundle:
    """Return `bundle` with its certificate.

    Args:
        bundle: the graph and its description, not yet certified.
        network: what the graph must compute.
        probes: images to compare on.
        terms: what it must reach.
        engine, threads: what runs the graph here, as in `open_engine`.
        batches: sizes to compare at, where the graph takes any; the last one sees every image.
        reference: what `reference_logits` said of the probes, where several graphs of one network are certified.
        accuracy: of network and graph on labelled images, measured elsewhere.
        latency: measure it too.
        progress: called with what is being done, images done and in all.

    Raises:
        ParityError: the graph does not reach its terms, or does less work than the network.
        MissingDependencyError: no engine for this format is installed.
    """
    manifest = bundle.manifest
    operators, work = count(manifest.format, bundle.payload)
    bare = dataclasses.replace(bundle, certificate=None)
    runner = open_engine(bare, engine=engine, threads=threads, tune=False)  # the graph itself, not a tuned copy
    if reference is None:
        reference = reference_logits(network, probes, manifest.preprocess, progress)
    sizes = (manifest.batch,) if manifest.batch is not None else tuple(dict.fromkeys(batches))
    rows = []
    for size in sizes:
        some = len(probes.pixels) if size == sizes[-1] else min(len(probes.pixels), max(_COMPARED, size))
        rows.append(compare(runner, manifest, probes.pixels[:some], reference[:some], size, terms, progress))
    certificate = Certificate(
        images=probes.origin,
        parity=tuple(rows),
        tolerance=terms.tolerance,
        min_agreement=terms.min_agreement,
        graph=work,
        expected=expected_work(manifest),
        operators=operators,
        sizes=_sizes(bundle, network),
        sha256=digests(manifest, bundle.payload),
        machine=machine_name(torch.device("cpu")),
        versions=installed_versions(),
        latency=_latencies(runner, manifest, network, probes) if latency else (),
        accuracy=accuracy,
        witness=_witness(network, manifest),
    )
    return dataclasses.replace(bundle, certificate=_passed(certificate, manifest))


def verify(
    bundle: Bundle, *, engine: str = "auto", threads: int | None = None, progress: Progress = silent
) -> Certificate:
    """Prove a certified bundle again, here, without the network: by what the network said of pictures that are made.

    Returns:
        The certificate with what was seen here: parity, work, versions and machine.

    Raises:
        ParityError: on this machine the graph answers otherwise, or it does less work than the network.
        InputError: the certificate keeps no answers of the network.
        MissingDependencyError: no engine for this format is installed.
    """
    manifest, said = bundle.manifest, bundle.certificate
    if said is None or not said.witness:
        fix = "compare it with the network: effnet verify BUNDLE --against MODEL"
        raise InputError("its certificate keeps no answers of the network", where=manifest.name, fix=fix)
    operators, work = count(manifest.format, bundle.payload)
    runner = open_engine(bundle, engine=engine, threads=threads)
    reference = np.array(said.witness, np.float32)
    pixels = made(len(reference), manifest.preprocess.size, manifest.spec.in_channels)
    terms = Terms(tolerance=said.tolerance, min_agreement=said.min_agreement)
    sizes = (manifest.batch,) if manifest.batch is not None else (1, 3)
    seen = dataclasses.replace(
        said,
        images=f"{len(reference)} pictures made by effnet, and what the network said of them",
        parity=tuple(compare(runner, manifest, pixels, reference, size, terms, progress) for size in sizes),
        graph=work,
        expected=expected_work(manifest),
        operators=operators,
        machine=machine_name(torch.device("cpu")),
        versions=installed_versions(),
        latency=(),
        accuracy=None,
    )
    return _passed(seen, manifest)


def _passed(certificate: Certificate, manifest: Manifest) -> Certificate:
    if not certificate.passed:
        fix = "allow more with --tolerance if you know why; else keep the model as it is and report this"
        raise ParityError("; ".join(certificate.failures()), where=f"{manifest.name} as {manifest.format}", fix=fix)
    return certificate


def _witness(network: Network, manifest: Manifest) -> tuple[tuple[float, ...], ...]:
    preprocess = manifest.preprocess
    pictures = made(_WITNESSES, preprocess.size, manifest.spec.in_channels)
    probes = Probes(pixels=pictures, origin="pictures made by effnet")
    return tuple(tuple(row) for row in reference_logits(network, probes, preprocess).tolist())


def installed_versions() -> dict[str, str]:
    """Return the versions of the packages that can matter to a graph, as far as they are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@torch.inference_mode()
def reference_logits(
    network: Network, probes: Probes, preprocess: Preprocess, progress: Progress = silent
) -> NDArray[np.float32]:
    """Return what the network itself says: (N, classes)."""
    network = network.eval()
    device = next(network.parameters()).device
    logits = []
    for chunk in _chunks(len(probes.pixels), _REFERENCE_BATCH):
        images = to_batch(probes.pixels[chunk], preprocess).to(device)
        logits.append(network(images).float().cpu().numpy())
        progress("network", chunk.stop, len(probes.pixels))
    return _finite(np.concatenate(logits), "the network")


def compare(
    engine: Engine,
    manifest: Manifest,
    pixels: Sequence[NDArray[np.uint8]],
    reference: NDArray[np.float32],
    batch: int,
    terms: Terms,
    progress: Progress = silent,
) -> Parity:
    """Run the graph on every image, `batch` at once, and compare its logits with the network's (N, classes).

    Raises:
        ParityError: its logits are not finite, or not of the network's shape.
    """
    logits = []
    for chunk in _chunks(len(pixels), batch):
        part = list(pixels[chunk])
        wanted = len(part)
        part += [part[-1]] * (batch - wanted)  # a batch that is not full is filled up with its last image
        said = engine.run(graph_input(part, manifest))
        if said.shape != (batch, manifest.spec.classes):
            what = f"the graph answers {said.shape} for {batch} images of {manifest.spec.classes} classes"
            raise ParityError(what, where=manifest.name, fix="report this")
        logits.append(said[:wanted])
        progress(f"{manifest.format}, batch {batch}", chunk.stop, len(pixels))
    return difference(_finite(np.concatenate(logits), "the graph"), reference, batch, terms)


def difference(logits: NDArray[np.float32], reference: NDArray[np.float32], batch: int, terms: Terms) -> Parity:
    """Return how far the logits (N, classes) of a graph lie from the network's."""
    delta = np.abs(logits - reference).max(axis=1)  # (N, classes) -> (N,)
    scale = np.maximum(1.0, np.abs(reference).max(axis=1))
    rows = np.arange(len(reference))
    theirs, ours = reference.argmax(axis=1), logits.argmax(axis=1)
    # How much better the network finds its own first class than the graph's: no more than the tolerance is a tie.
    lead = reference[rows, theirs] - reference[rows, ours]
    differs = (theirs != ours) & (lead > (terms.tolerance or 0.0) * scale)
    return Parity(
        batch=batch,
        images=len(reference),
        max_delta=float(delta.max()),
        max_relative=float((delta / scale).max()),
        disagreements=int(differs.sum()),
    )


def graph_input(pixels: Sequence[NDArray[np.uint8]], manifest: Manifest) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return the batch that the graph takes: pixels (N, H, W, C) as they are, or normalised (N, C, H, W)."""
    if manifest.preprocessing_in_graph:
        return np.stack(pixels)
    return to_array(pixels, manifest.preprocess)


def _finite(logits: NDArray[np.float32], whose: str) -> NDArray[np.float32]:
    if not np.isfinite(logits).all():
        raise ParityError(f"the logits of {whose} are not finite", fix="get intact weights, or export in fp32")
    return logits


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _sizes(bundle: Bundle, network: Network) -> dict[str, int]:
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    return {**{name: len(content) for name, content in bundle.payload.items()}, "network's weights": weights}


def _latencies(engine: Engine, manifest: Manifest, network: Network, probes: Probes) -> tuple[Latency, ...]:
    """Return what one batch takes in the graph and in the network itself, which take turns."""
    batch = manifest.batch or 1
    pixels = [probes.pixels[0]] * batch
    inputs, images = graph_input(pixels, manifest), to_batch(pixels, manifest.preprocess)
    images = images.to(next(network.parameters()).device)
    ways: dict[str, Callable[[], object]] = {
        engine.name: lambda: engine.run(inputs),
        "torch network": lambda: network(images),
    }
    runs: dict[str, list[float]] = {name: [] for name in ways}
    started = time.perf_counter()
    with torch.inference_mode(), torch_threads(engine.threads):
        for number in range(_RUNS + _WARM_UP):
            for name, way in ways.items():
                begun = time.perf_counter()
                way()
                if number >= _WARM_UP:
                    runs[name].append((time.perf_counter() - begun) * 1e3)
            if number >= _WARM_UP + 2 and time.perf_counter() - started > _PATIENCE_S:
                break
    return tuple(_row(name, batch, engine.threads, sorted(times)) for name, times in runs.items())


def _row(name: str, batch: int, threads: int, times: Sequence[float]) -> Latency:
    low, high = (times[round(share * (len(times) - 1))] for share in (0.1, 0.9))
    median = statistics.median(times)
    return Latency(
        engine=name, batch=batch, threads=threads, median_ms=median, low_ms=low, high_ms=high, runs=len(times)
    )

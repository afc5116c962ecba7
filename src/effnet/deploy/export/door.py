"""`export`: convert, prove, then write; or write nothing."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from effnet.deploy.bundle import Bundle, write_bundle
from effnet.deploy.export.model import Model, find_model, settled_on
from effnet.deploy.export.ownership import require_own_layers
from effnet.deploy.export.program import program
from effnet.deploy.manifest import FORMATS, MAX_BATCH, Format, Manifest, Precision
from effnet.deploy.parity import TOLERANCES, Progress, Terms, certify, installed_versions, silent
from effnet.deploy.probes import ImagesToFind, find_probes
from effnet.errors import InputError, MissingDependencyError, UnknownNameError
from effnet.nn import Network
from effnet.spec import NetworkSpec

FIXED_BATCH: frozenset[Format] = frozenset({"litert"})
"""Formats whose graphs take one number of images."""

_PACKAGES: Mapping[Format, tuple[tuple[str, str], ...]] = {
    "onnx": (("onnx", "onnx"), ("onnxscript", "onnxscript"), ("onnxruntime", "onnxruntime")),
    "openvino": (("openvino", "openvino"),),
    "executorch": (("executorch", "executorch"),),
    "litert": (("litert_torch", "litert-torch"), ("ai_edge_litert", "ai-edge-litert")),
}
"""(module, package) that converting and proving need."""

REARRANGED: frozenset[Format] = frozenset({"onnx"})
"""Formats whose graphs are rearranged here; others' converters or runtimes do that, and cannot be told not to."""


def export(
    model: str | os.PathLike[str] | Network | NetworkSpec,
    format: Format = "onnx",
    path: str | os.PathLike[str] | None = None,
    *,
    precision: Precision = "fp32",
    batch: int | None = None,
    preprocessing_in_graph: bool = False,
    size: int | None = None,
    images: ImagesToFind = None,
    tolerance: float | None = None,
    fresh: bool = False,
    threads: int | None = None,
    optimize: bool | None = None,
    opset: int | None = None,
    progress: Progress = silent,
    download: Callable[[int, int | None], None] | None = None,
) -> Bundle:
    """Convert a network, prove that the graph computes what the network does, and write both as one file.

    Args:
        model: a published name (its default weights), a tag, a model file or weights of any layout, a run folder, a
            spec (fresh weights) or a network.
        format: `onnx`, `openvino`, `torch` (torch.export), `executorch`, `litert`, or `native` (our own
            engine for CPUs).
        path: the file to write; None: the bundle is only returned.
        precision: `fp32`; or `fp16`: weights in half precision, which halves the file; input, arithmetic and logits
            stay float32.
        batch: images that the graph takes at once; None: any number (litert: 1).
        preprocessing_in_graph: the graph takes uint8 pixels (N, size, size, C) and normalises them itself.
        size: input side in pixels, if not the one that the weights were evaluated with.
        images: what to compare on (files, folders, patterns); None: a few that are always at hand.
        tolerance: largest difference of a logit over max(1, the largest |logit|); None: 1e-4 in fp32, 1e-2 in fp16.
        fresh: take fresh weights for a published name: to measure, not to use.
        threads: CPU threads of the engine that is compared and timed.
        optimize: whether to rearrange the graph so that CPUs run it sooner; what it computes stays. None: where that is
            done, which is ONNX; for another format both answers are refused.
        opset: version of ONNX's operators (18 to 23), for older or newer runtimes; None: 18.
        progress: called with what is being done, how much of it and of how much.
        download: called with (bytes done, bytes in all or None) while weights are downloaded.

    Raises:
        ParityError: the graph differs from the network by more than the tolerance, or does less work. Nothing is
            written.
        UnknownNameError, InputError, WeightsError, DownloadError: there is no such model, or an argument is impossible.
        MissingDependencyError: the format's packages are not installed.
        StorageError: the file cannot be written.
    """
    _check(format, precision, batch, tolerance)
    if optimize is not None and format not in REARRANGED:
        what = f"graphs for {format} are not rearranged here, so there is nothing to choose"
        raise InputError(what, where="optimize", fix="leave out --optimize and --plain, or export --to onnx")
    if opset is not None and format != "onnx":
        raise InputError(f"{format} has no opset", where="opset", fix="leave out --opset, or export --to onnx")
    _require_packages(format)
    if path is not None:
        _check_target(Path(path))  # before minutes of work, not after
    found = find_model(model, fresh=fresh, progress=download)
    require_own_layers(found.network)
    probes = find_probes(images, found.preprocess if size is None else found.preprocess.with_size(size))
    if fresh or isinstance(model, NetworkSpec):
        found = settled_on(found, probes.pixels)
    manifest = describe(found, format, precision, batch, preprocessing_in_graph, size)
    progress("converting", 0, 1)
    bundle = Bundle(
        manifest=manifest,
        certificate=None,
        payload=convert(found.network, manifest, optimize=optimize is not False, opset=opset),
    )
    terms = Terms(tolerance=TOLERANCES[precision] if tolerance is None else tolerance)
    certified = certify(bundle, found.network, probes, terms, threads=threads, progress=progress)
    if path is not None:
        write_bundle(certified, Path(path))
    return certified


def describe(
    model: Model,
    format: Format,
    precision: Precision,
    batch: int | None = None,
    preprocessing_in_graph: bool = False,
    size: int | None = None,
) -> Manifest:
    """Return the description of what `model` becomes; arguments as for `export`."""
    network = model.network
    return Manifest(
        name=model.name,
        format=format,
        precision=precision,
        spec=network.spec,
        preprocess=model.preprocess if size is None else model.preprocess.with_size(size),
        labels=network.labels,
        temperature=network.temperature,
        batch=1 if batch is None and format in FIXED_BATCH else batch,
        preprocessing_in_graph=preprocessing_in_graph,
        source=model.source,
        versions=installed_versions(),
    )


def convert(
    network: Network, manifest: Manifest, *, optimize: bool = True, opset: int | None = None
) -> dict[str, bytes]:
    """Return the files of the graph that `manifest` describes; `optimize` and `opset` are for ONNX.

    Raises:
        MissingDependencyError: the format's packages are not installed.
        InputError: the network cannot be written so.
    """
    converter = importlib.import_module(f"effnet.deploy.export.{manifest.format}_format")
    options: dict[str, Any] = {"optimize": optimize, "opset": opset} if manifest.format == "onnx" else {}
    payload: dict[str, bytes] = converter.convert(program(network, manifest), **options)
    return payload


def default_path(name: str, format: Format, precision: Precision) -> Path:
    """Return what a bundle is called where nobody says: `efficientnet_lite0.onnx`, `b0.fp16.litert.effnet`."""
    stem = name if precision == "fp32" else f"{name}.{precision}"
    return Path(f"{stem}.onnx" if format == "onnx" else f"{stem}.{format}.effnet")


def _require_packages(format: Format) -> None:
    """Refuse, before the work starts, what could not be converted or run after it.

    Raises:
        MissingDependencyError: a package is not installed.
    """
    for module, package in _PACKAGES.get(format, ()):
        if importlib.util.find_spec(module) is None:
            raise MissingDependencyError.for_extra(package, format, f"exporting to {format}")


def _check(format: str, precision: str, batch: object, tolerance: object) -> None:
    if format not in FORMATS:
        raise UnknownNameError.among("format", str(format), FORMATS, see=f"known: {', '.join(FORMATS)}")
    if precision not in TOLERANCES:
        fix = "int8 is made by effnet quantize" if precision == "int8" else f"use one of {', '.join(TOLERANCES)}"
        raise InputError(f"precision is {precision!r}", where="precision", fix=fix)
    whole = isinstance(batch, int) and not isinstance(batch, bool)
    if batch is not None and not (whole and 1 <= batch <= MAX_BATCH):  # type: ignore[operator]
        raise InputError(f"batch is {batch!r}", where="batch", fix=f"give a whole number from 1 to {MAX_BATCH}")
    real = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if tolerance is not None and not (real and 0 <= tolerance < math.inf):  # type: ignore[operator]
        raise InputError(f"tolerance is {tolerance!r}", where="tolerance", fix="give a number from 0, such as 1e-4")


def _check_target(path: Path) -> None:
    if path.is_dir():
        raise InputError("is a folder", where=str(path), fix="name a file in it")
    if not path.parent.is_dir():
        raise InputError("its folder does not exist", where=str(path), fix=f"create it: mkdir -p '{path.parent}'")

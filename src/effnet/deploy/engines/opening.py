"""The one door to the engines: which can run a bundle, which are installed, and opening one."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from effnet.deploy.bundle import Bundle
from effnet.deploy.engines.batches import CheckedEngine
from effnet.deploy.engines.engine import Engine
from effnet.deploy.manifest import Format
from effnet.errors import InputError, MissingDependencyError, UnknownNameError
from effnet.inference.cores import usable_cores


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One runtime: the formats it runs, best first, its package (ours: None), and the extra that installs it.

    Without an extra the package comes with effnet itself.
    """

    formats: tuple[Format, ...]
    package: str | None
    extra: str | None


ENGINES: Mapping[str, _Kind] = {
    "onnxruntime": _Kind(formats=("onnx",), package="onnxruntime", extra="onnx"),
    "openvino": _Kind(formats=("openvino", "onnx"), package="openvino", extra="openvino"),
    "torch": _Kind(formats=("torch",), package="torch", extra=None),
    "executorch": _Kind(formats=("executorch",), package="executorch", extra="executorch"),
    "litert": _Kind(formats=("litert",), package="ai_edge_litert", extra="litert"),
    "native": _Kind(formats=("native",), package=None, extra="native"),
}
"""Every engine by name; the first that runs a format is the one that `auto` takes."""


def engines_here(format: Format) -> tuple[str, ...]:
    """Return the names of the installed engines that run `format`, the default first."""
    return tuple(name for name in _able(format) if _is_here(ENGINES[name]))


def open_engine(
    bundle: Bundle,
    engine: str = "auto",
    threads: int | None = None,
    *,
    tune: bool | None = None,
    spinning: bool = True,
) -> Engine:
    """Make a bundle's graph ready to run here.

    Args:
        bundle: what to run.
        engine: a key of `ENGINES`, or `auto`: the first installed one that runs the bundle's format.
        threads: CPU threads for one batch; None: as many processors as this process may use.
        tune: whether to run the graph fitted to this processor, where the engine can (ONNX Runtime, networks with
            squeeze-and-excitation). True: spend a second or two on it if that was not done before; None: use it if
            that was done; False: never.
        spinning: whether ONNX Runtime's threads without work look for some before they sleep: quicker where nobody else
            wants the processors.

    Raises:
        UnknownNameError: no such engine.
        InputError: the engine does not run this format, or `threads` is impossible.
        MissingDependencyError: its package is not installed.
        WeightsError: the runtime refuses the graph.
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads is {threads!r}", where="threads", fix="give a whole number from 1")
    manifest = bundle.manifest
    name = _chosen(engine, manifest.format)
    kind = ENGINES[name]
    if kind.package is not None and not _is_installed(kind.package):
        purpose = f"running {manifest.format} bundles"
        if kind.extra is None:
            what = f"{purpose} needs the package {kind.package}"
            raise MissingDependencyError(what, fix=f"pip install {kind.package}")
        raise MissingDependencyError.for_extra(kind.package, kind.extra, purpose)
    module = importlib.import_module(f"effnet.deploy.engines.{name}")
    options = {"tune": tune, "spinning": spinning} if name == "onnxruntime" else {}
    opened: Engine = module.open_graph(manifest, bundle.payload, threads or usable_cores(), **options)
    return CheckedEngine(opened, manifest)


def _able(format: Format) -> list[str]:
    return [name for name, kind in ENGINES.items() if format in kind.formats]


def _chosen(engine: str, format: Format) -> str:
    if engine != "auto":
        if engine not in ENGINES:
            raise UnknownNameError.among("engine", engine, ["auto", *ENGINES])
        if format not in ENGINES[engine].formats:
            fix = f"use {' or '.join(_able(format))}, or export for {engine}"
            raise InputError(f"does not run {format} bundles", where=engine, fix=fix)
        return engine
    return next(iter(engines_here(format)), _able(format)[0])


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _is_here(kind: _Kind) -> bool:
    if kind.package is not None:
        return _is_installed(kind.package)
    from effnet.deploy.native.compiling import compiler

    return compiler() is not None

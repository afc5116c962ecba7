"""`effnet serve`: answer over HTTP."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from effnet.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from effnet.deploy.server.launch import Started
    from effnet.deploy.server.model import ServedModel
    from effnet.deploy.server.settings import AccessLog

_PACKAGES = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "httptools": "httptools",
    "prometheus_client": "prometheus-client",
}
_MIB = 1 << 20
_UNCONFINED = "limited, but not confined: this system cannot take calls from them"


def serve(
    bundle: Annotated[Path, Argument(help="A bundle that `effnet export` wrote: .onnx or .effnet.")],
    host: Annotated[str, Option("--host", help="Address to listen on; a token opens others.")] = "127.0.0.1",
    port: Annotated[int, Option("--port", "-p", help="Port to listen on; 0 takes a free one.")] = 8000,
    name: Annotated[
        list[str] | None,
        Option("--name", metavar="HOST", help="Name under which clients know the server; repeatable."),
    ] = None,
    token: Annotated[
        str | None,
        Option("--token", envvar="EFFNET_TOKEN", show_envvar=False, help="Clients must send it; or set EFFNET_TOKEN."),
    ] = None,
    engine: Annotated[str, Option("--engine", help="What runs the bundle: auto, onnxruntime, openvino, ...")] = "auto",
    threads: Annotated[int | None, Option("--threads", min=1, help="CPU threads of the engine.")] = None,
    spin: Annotated[
        bool, Option("--spin/--no-spin", help="ONNX Runtime's idle threads look for work before they sleep.")
    ] = False,
    max_batch: Annotated[int, Option("--max-batch", min=1, help="Images that the engine may see at once.")] = 8,
    deadline_ms: Annotated[
        int | None, Option("--deadline-ms", min=1, help="For an answer; else 10 times one image, at least 1000.")
    ] = None,
    queue: Annotated[int, Option("--queue", min=1, help="Requests inside at once, at most.")] = 64,
    client_rate: Annotated[
        float | None, Option("--client-rate", help="Requests a second of one client, in the long run; else any number.")
    ] = None,
    client_burst: Annotated[
        int, Option("--client-burst", min=1, help="With --client-rate: how many at once after a pause.")
    ] = 10,
    client_inside: Annotated[
        int | None, Option("--client-inside", min=1, help="Requests of one client inside at once; else any number.")
    ] = None,
    proxy: Annotated[
        list[str] | None,
        Option("--proxy", metavar="NETWORK", help="Address or network whose X-Forwarded-For is believed; repeatable."),
    ] = None,
    decoders: Annotated[int | None, Option("--decoders", min=1, help="Processes that decode; else one a core.")] = None,
    connections: Annotated[int, Option("--connections", min=1, help="Open connections, at most.")] = 1024,
    max_mib: Annotated[int, Option("--max-mib", min=1, help="MiB of a request's body, at most.")] = 32,
    opening_seconds: Annotated[
        float, Option("--opening-seconds", help="For the bundle to be opened and run once, also at SIGHUP.")
    ] = 120.0,
    explain: Annotated[
        Path | None, Option("--explain", metavar="MODEL", help="Model file of the bundle: heat maps; needs torch.")
    ] = None,
    log: Annotated[str, Option("--log", help="Lines on standard error: text, json or none.")] = "text",
) -> None:
    """Serve a bundle: POST /predict, a page for people at /, /metrics, /healthz, /readyz, /openapi.json.

    Stop it with SIGTERM or Ctrl-C: what is inside is finished first. SIGHUP loads the bundle again; when the new file
    is not good the old one stays. Exit status 2: a wrong option, or an address that would be open without a token.
    """
    from effnet.deploy.server.settings import ServerSettings

    settings = ServerSettings(
        host=host,
        port=port,
        names=tuple(name or ()),
        token=token or None,
        max_batch=max_batch,
        deadline=None if deadline_ms is None else deadline_ms / 1000,
        queue=queue,
        client_rate=client_rate,
        client_burst=client_burst,
        client_inside=client_inside,
        proxies=tuple(proxy or ()),
        decoders=decoders,
        connections=connections,
        max_bytes=max_mib * _MIB,
        opening_seconds=opening_seconds,
        access_log=_log(log),
    )
    for module, package in _PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            raise MissingDependencyError.for_extra(package, "serve", "effnet serve")
    from effnet.deploy.server.bundles import open_served
    from effnet.deploy.server.explaining import Explainer
    from effnet.deploy.server.launch import serve as run
    from effnet.deploy.server.trial import try_bundle

    def load() -> ServedModel:
        return open_served(bundle, engine=engine, threads=threads, spinning=spin)

    def reload() -> ServedModel:
        try_bundle(bundle, seconds=settings.opening_seconds, engine=engine, threads=threads, spinning=spin)
        return load()

    run(
        load,
        settings,
        reload=reload,
        explainer=None if explain is None else lambda served: Explainer.load(explain, served, threads=threads),
        started=_banner,
    )


def _log(name: str) -> AccessLog:
    kinds: dict[str, AccessLog] = {"text": "text", "json": "json", "none": "none"}
    if name not in kinds:
        raise InputError(f"log {name!r}", where="--log", fix=f"use one of {', '.join(kinds)}")
    return kinds[name]


def _banner(started: Started) -> None:
    model, timing, settings = started.model, started.timing, started.settings
    engine = ", ".join(f"{name} {value}" for name, value in model.settings.items())
    times = ", ".join(f"{size}: {1000 * seconds:.1f} ms" for size, seconds in timing.seconds.items())
    lines = (
        f"effnet serves {model.name} at {started.url}",
        f"  engine    {engine}",
        f"  batches   {times}; at most {timing.batch} at once",
        f"  limits    {started.deadline:g} s an answer, {settings.queue} requests inside, "
        f"{settings.decoder_count} decoders, {settings.max_bytes // _MIB} MiB a body",
        f"  access    {'with the token' if settings.token else 'this machine only, no token'}, "
        f"{settings.connections} connections",
        f"  decoders  {'confined by the system' if started.confined else _UNCONFINED}",
    )
    with contextlib.suppress(OSError):  # nobody reads: serve nevertheless
        sys.stderr.write("\n".join(lines) + "\n")  # one write: the log's thread writes too
        sys.stderr.flush()

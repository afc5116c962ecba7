"""`effnet export`: a trained network as one certified file for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer import Argument, Option

from effnet.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from effnet.deploy.bundle import Bundle


def export(
    model: Annotated[
        str,
        Argument(help="A name (lite0), a tag, a model or weights file, a run folder, or with --fresh a spec file."),
    ],
    to: Annotated[
        str, Option("--to", help="onnx, openvino, torch (torch.export), executorch, litert or native.")
    ] = "onnx",
    output: Annotated[
        Path | None, Option("--output", "-o", help="The file to write; default: the model's name in this folder.")
    ] = None,
    precision: Annotated[str, Option("--precision", help="fp32, or fp16 for weights of half the size.")] = "fp32",
    batch: Annotated[
        int | None, Option("--batch", min=1, help="Images the graph takes at once; default: any number (litert: 1).")
    ] = None,
    in_graph: Annotated[
        bool, Option("--preprocess-in-graph", help="Normalise in the graph: it takes uint8 pixels (N, H, W, C).")
    ] = False,
    size: Annotated[int | None, Option("--size", min=1, help="Input side in pixels, if not the weights' own.")] = None,
    images: Annotated[
        list[str] | None,
        Option("--images", metavar="PATH", help="Compare on these files, folders or patterns; may be repeated."),
    ] = None,
    tolerance: Annotated[
        float | None,
        Option("--tolerance", min=0, help="Largest difference of a logit, over max(1, the largest |logit|)."),
    ] = None,
    fresh: Annotated[bool, Option("--fresh", help="Take untrained weights: to measure, not to use.")] = False,
    threads: Annotated[int | None, Option("--threads", min=1, help="CPU threads of the engine.")] = None,
    optimize: Annotated[
        bool | None,
        Option("--optimize/--plain", help="Rearrange the graph for CPUs; only for ONNX, and then the default."),
    ] = None,
    opset: Annotated[
        int | None, Option("--opset", help="Version of ONNX's operators, 18 to 23; default: 18, for old runtimes too.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print the manifest and the certificate as JSON.")] = False,
) -> None:
    """Export a network, prove that the result computes the same, and write both as one file.

    The graph runs beside the network on real images at several batch sizes; its operators and multiply-accumulates are
    counted. Beyond the tolerance (1e-4 in fp32, 1e-2 in fp16) nothing is written and the exit status is 1.
    """
    from effnet.cli.progress import stage_bar
    from effnet.deploy.export import default_path
    from effnet.deploy.export import export as make

    subject: Any = _spec(model) if fresh and _is_spec(model) else model
    format, kind = cast(Any, to), cast(Any, precision)  # checked by export, with suggestions
    path = output or default_path(_name(model, subject), format, kind)
    with stage_bar() as progress:
        bundle = make(
            subject,
            format,
            path,
            precision=kind,
            batch=batch,
            preprocessing_in_graph=in_graph,
            size=size,
            images=images,
            tolerance=tolerance,
            fresh=fresh,
            threads=threads,
            optimize=optimize,
            opset=opset,
            progress=progress,
            download=lambda done, total: progress("downloading", done, total or 0),
        )
    show(bundle, path, as_json=as_json)


def show(bundle: Bundle, path: Path, *, as_json: bool) -> None:
    """Print a bundle's description and certificate, for people or programs."""
    import json

    certificate = bundle.certificate
    assert certificate is not None
    if as_json:
        from effnet.cli.arguments import as_json as text

        manifest = json.loads(bundle.manifest.to_json())
        facts = {"path": str(path), "manifest": manifest, "certificate": json.loads(certificate.to_json())}
        typer.echo(text(facts))
        return
    typer.echo(f"{path}: {bundle.manifest.describe()}")
    typer.echo(certificate.describe())


def _is_spec(model: str) -> bool:
    return Path(model).suffix.lower() == ".json"


def _spec(model: str) -> Any:
    from effnet.cli.arguments import network

    return network(model)


def _name(model: str, subject: Any) -> str:
    """Return what to call the file: the published network's full name, a spec's, or the stem of a file or folder."""
    from effnet.families import catalog

    if not isinstance(subject, str):
        return str(subject.name)
    place = Path(model)
    if place.exists():
        stem = place.resolve().name if place.is_dir() else place.stem
        if not stem:
            raise InputError("has no name", where=model, fix="say where to write: -o FILE")
        return stem
    try:
        return catalog.find(model).name
    except UnknownNameError:
        return place.name  # a tag; what is none is refused by export itself, with suggestions

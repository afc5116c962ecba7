"""`effnet draw`: a network's anatomy as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, echo

from effnet.errors import InputError

if TYPE_CHECKING:
    from effnet.report.anatomy import Anatomy
    from effnet.spec import NetworkSpec

_ENDINGS = (".svg", ".png", ".html")


def draw(
    models: Annotated[
        list[str],
        Argument(metavar="NAME|FILE [NAME|FILE]", help="Published names, spec files, model files or runs; one or two."),
    ],
    output: Annotated[
        Path | None, Option("--output", "-o", help="A .svg, .png or .html file, or - for SVG on standard output.")
    ] = None,
    resolution: Annotated[
        int | None, Option("--resolution", help="Input side in pixels, if not each network's own.")
    ] = None,
    edits: Annotated[
        list[str] | None,
        Option("--set", metavar="PLACE.FIELD=VALUE", help="Edit the last network first: stage3.kernel=5. Repeatable."),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print parts, layers and receptive fields as JSON.")] = False,
) -> None:
    """Draw stages with shapes, costs and receptive fields, each layer's cost, and the blocks.

    Two networks stand side by side, stages that belong together in one row, and what differs is marked. Without
    --output the picture is written to NAME.svg.
    """
    from effnet.editing import apply_edits
    from effnet.report.anatomy import anatomy
    from effnet.report.anatomy_diagram import draw_one, draw_two

    if len(models) > 2:
        raise InputError(f"{len(models)} networks", where="draw", fix="give one or two")
    if output is not None and str(output) != "-" and output.suffix.lower() not in _ENDINGS:
        raise InputError("pictures are .svg, .png or .html", where=str(output), fix="choose one of these endings")
    specs = [_spec(model) for model in models]
    if edits:
        specs[-1] = apply_edits(specs[-1], edits)
    networks = [anatomy(spec, resolution) for spec in specs]
    if as_json and output is None:
        echo(_json(networks))
        return
    picture = draw_one(networks[0]) if len(networks) == 1 else draw_two(*networks)
    if str(output) == "-":
        echo(picture, nl=False)
        return
    target = output or Path(f"{_file_name(specs)}.svg")
    _write(target, picture, networks)
    echo(_json(networks) if as_json else f"wrote {target}")


def _spec(model: str) -> NetworkSpec:
    from effnet.cli.arguments import network

    return network(model)


def _file_name(specs: list[NetworkSpec]) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(spec.name for spec in specs))[:100].lstrip(".") or "network"


def _write(target: Path, picture: str, networks: list[Anatomy]) -> None:
    from effnet.report.anatomy_page import render
    from effnet.report.raster import png
    from effnet.weights.atomic import atomic_write

    ending = target.suffix.lower()
    content = picture.encode() if ending == ".svg" else b""
    if ending == ".png":
        content = png(picture)
    elif ending == ".html":
        content = render(networks, picture).encode()
    with atomic_write(target) as temporary:
        temporary.write_bytes(content)


def _json(networks: list[Anatomy]) -> str:
    from effnet.cli.arguments import as_json

    bodies = [network.to_dict() for network in networks]
    return as_json(bodies[0] if len(bodies) == 1 else bodies)

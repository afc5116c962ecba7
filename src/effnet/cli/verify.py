"""`effnet verify`: prove a bundle that somebody else made, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from effnet.errors import InputError


def verify(
    bundle: Annotated[Path, Argument(help="What effnet export wrote.")],
    against: Annotated[
        str | None, Option("--against", metavar="MODEL", help="Compare with this model itself: a name, tag or file.")
    ] = None,
    images: Annotated[
        list[str] | None,
        Option("--images", metavar="PATH", help="With --against: compare on these files, folders or patterns."),
    ] = None,
    engine: Annotated[
        str, Option("--engine", help="onnxruntime, openvino, torch, executorch, litert, native or auto.")
    ] = "auto",
    threads: Annotated[int | None, Option("--threads", min=1, help="CPU threads of the engine.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print the manifest and what was seen here as JSON.")] = False,
) -> None:
    """Check a bundle: its files, its work, and that it answers here as the network did.

    Without --against the graph is asked about a few made pictures, of which the certificate keeps what the network
    said. With it the network runs too, on your own images. Exit status: 0 when everything holds, 1 when it does not.
    """
    if images and against is None:
        fix = "name the model too: --against MODEL"
        raise InputError("images need the network to compare with", where="--images", fix=fix)

    import dataclasses

    from effnet.cli.export import show
    from effnet.cli.progress import stage_bar
    from effnet.deploy.bundle import open_bundle
    from effnet.deploy.parity import Terms, certify
    from effnet.deploy.parity import verify as prove

    opened = open_bundle(bundle)
    with stage_bar() as progress:
        if against is None:
            seen = prove(opened, engine=engine, threads=threads, progress=progress)
        else:
            from effnet.deploy.export.model import find_model
            from effnet.deploy.probes import find_probes

            said = opened.certificate
            assert said is not None
            terms = Terms(tolerance=said.tolerance, min_agreement=said.min_agreement)
            probes = find_probes(images, opened.manifest.preprocess)
            network = find_model(against).network
            proved = certify(opened, network, probes, terms, engine=engine, threads=threads, progress=progress)
            assert proved.certificate is not None
            seen = proved.certificate
    show(dataclasses.replace(opened, certificate=seen), bundle, as_json=as_json)

"""`effnet explain`: where on these images is the evidence for the answer?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from typer import Argument, Exit, Option, echo

from effnet.errors import ImageError, InputError

if TYPE_CHECKING:
    from effnet.inference.classifier import Classifier
    from effnet.inference.explain import Explanation
    from effnet.inference.explain.explaining import AnyMethod

_OUTPUT = Path("explanation.png")


def explain(
    model: Annotated[
        str, Argument(help="A name (lite0, b4), a tag of `effnet weights list`, a model file, or a bundle.")
    ],
    images: Annotated[list[str], Argument(metavar="IMAGE...", help="Image files, folders or glob patterns.")],
    beside: Annotated[
        list[str] | None,
        Option("--beside", metavar="MODEL", help="Another model, shown next to the first. Repeatable."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        Option("--class", "--classes", metavar="CLASS", help="Explain this class, by name or number. Repeatable."),
    ] = None,
    top: Annotated[int, Option("--top", "-k", min=1, help="How many of the most probable classes to explain.")] = 1,
    method: Annotated[
        str, Option("--method", help="grad-cam, hirescam, layercam, cam, or occlusion (needs no gradients).")
    ] = "grad-cam",
    stage: Annotated[
        str | None, Option("--stage", help="Whose output: stem, 1, 2, ... or head; default: the last.")
    ] = None,
    check: Annotated[
        bool, Option("--check", help="Cover parts of the image and lose the weights: can the map be trusted?")
    ] = False,
    output: Annotated[
        Path | None,
        Option("--output", "-o", help="A .png, .jpg or .html file; default: explanation.png (none with --json)."),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print maps and figures as JSON.")] = False,
    size: Annotated[int | None, Option("--size", min=1, help="Input side in pixels, if not the weights' own.")] = None,
    device: Annotated[str | None, Option("--device", help="cpu, cuda, ...; else the fastest there is.")] = None,
) -> None:
    """Show where on images the evidence for the most probable classes lies.

    Classes, and models given with --beside, stand side by side; images stand below each other. An image that cannot
    be read is reported on standard error and left out; the exit status is then 1.
    """
    target = output if output is not None or as_json else _OUTPUT
    if target is not None and target.suffix.lower() != ".html":
        from effnet.inference.explain.sheet import sheet_format

        sheet_format(target)
    from effnet.deploy.loading import load
    from effnet.inference.explain import ANY_METHOD
    from effnet.inference.sources import expand

    if method not in ANY_METHOD:
        raise InputError(f"there is no method {method!r}", where="--method", fix=f"use {', '.join(ANY_METHOD)}")
    files = expand(images, foreign=True)
    models = [load(name, device=device, size=size) for name in (model, *(beside or []))]
    rows, failed = [], 0
    for number, file in enumerate(files, 1):
        with _bar(f"{number} of {len(files)}", len(models)) as progress:
            try:
                rows.append(_row(models, file, classes, top, cast("AnyMethod", method), stage, check, progress))
            except ImageError as error:
                failed += 1
                echo(f"effnet: {error}", err=True)
    if rows and target is not None:
        _write(rows, target, title=", ".join((model, *(beside or []))))
    if as_json:
        from effnet.cli.arguments import as_json as text_of

        echo(text_of([explanation.to_dict() for row in rows for explanation in row]))
    else:
        _print(rows)
        if rows and target is not None:
            echo(f"wrote {target}")
    if failed:
        raise Exit(1)


def _row(
    models: Sequence[Classifier],
    file: str,
    classes: Sequence[str] | None,
    top: int,
    method: AnyMethod,
    stage: str | None,
    check: bool,
    progress: Callable[[int, int, int], None],
) -> list[Explanation]:
    from effnet.inference.explain import explain as explained

    row: list[Explanation] = []
    for place, model in enumerate(models):

        def advance(done: int, total: int, place: int = place) -> None:
            progress(place, done, total)

        row += explained(
            model, file, classes=classes, top=top, method=method, stage=stage, check=check, progress=advance
        )
    return row


def _print(rows: Sequence[Sequence[Explanation]]) -> None:
    from effnet.inference.rendering import printable
    from effnet.report.tables import text_table

    checked = any(explanation.check is not None for row in rows for explanation in row)
    headers = ["image", "model", "class", "probability", "map from", "to", "peak x, y"]
    headers += ["occlusion", "deletion", "(random)", "insertion", "(random)", "weights lost", "verdict"] * checked
    cells = []
    for row in rows:
        for explanation in row:
            x, y = explanation.peak()
            line = [
                printable(Path(explanation.source or "image").name),
                explanation.model,
                printable(explanation.target.label),
                f"{explanation.target.probability:.2%}",
                f"{explanation.heat.min():.3g}",
                f"{explanation.heat.max():.3g}",
                f"{x:.0f}, {y:.0f}",
            ]
            if (found := explanation.check) is not None:
                line += [
                    "" if found.rank_correlation is None else f"{found.rank_correlation:+.2f}",
                    f"{found.deletion:.3f}",
                    f"{found.random_deletion:.3f}",
                    f"{found.insertion:.3f}",
                    f"{found.random_insertion:.3f}",
                    f"{found.randomised[-1][1]:+.2f}" if found.randomised else "",
                    found.verdict,
                ]
            cells.append(line)
    if cells:
        echo(text_table(headers, cells, left=3))


def _write(rows: Sequence[Sequence[Explanation]], target: Path, *, title: str) -> None:
    from effnet.inference.explain.sheet import write_sheet

    if target.suffix.lower() != ".html":
        write_sheet(rows, target)
        return
    from effnet.inference.explain.shown import image_shown
    from effnet.report.explanation import render
    from effnet.weights.atomic import atomic_write

    text = render([image_shown(row) for row in rows], title=f"What {title} looked at")
    with atomic_write(target) as temporary:
        temporary.write_text(text, "utf-8", "surrogateescape")


@contextmanager
def _bar(title: str, models: int) -> Iterator[Callable[[int, int, int], None]]:
    """Yield what shows the images that checks have run, for (model, done, total), if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda place, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task: Any = bar.add_task(f"image {title}", total=None)
        yield lambda place, done, total: bar.update(task, completed=place * total + done, total=models * total)

"""`effnet explain`: where on these images is the evidence for the answer?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from typer import Argument, Exit, Option, echo

from effnet.cli.warned import warnings_on_stderr
from effnet.errors import ImageError, InputError
from effnet.report.tables import percent

if TYPE_CHECKING:
    from effnet.inference.classifier import Classifier
    from effnet.inference.explain import Explanation
    from effnet.inference.explain.explaining import AnyMethod
    from effnet.inference.explain.explanation import Check

_OUTPUT = Path("explanation.png")

_LEGEND = """\
covering    the map against how far the answer falls where the image is covered:
            1 is agreement, 0.4 enough of it, below 0 contradiction
deletion    mean probability while what the map points at is removed first,
            against random orders: less is better
insertion   the same while it is shown first: more is better
no weights  likeness of the map after the network's weights are lost: below 0.4,
            or the map shows the image and not what was learned
"""


def explain(
    model: Annotated[
        str, Argument(help="A name (lite0), a tag of `effnet weights list`, a model file, a run or a bundle.")
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
    with warnings_on_stderr():
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
    from effnet.report.tables import text_table

    found = [explanation for row in rows for explanation in row]
    if not found:
        return
    several = len({explanation.model for explanation in found}) > 1
    checks = [(str(number), e.check) for number, e in enumerate(found, 1) if e.check is not None]
    headers = [*["no."] * bool(checks), "image", *["model"] * several, "class", "probability", "peak x, y"]
    cells = [
        [*[str(number)] * bool(checks), *_names(e, several), percent(e.target.probability), _peak(e)]
        for number, e in enumerate(found, 1)
    ]
    echo(text_table(headers, cells, left=len(headers) - 2))
    if checks:
        headers = ["no.", "covering", "deletion", "insertion", "no weights", "hold", "verdict"]
        echo("\n" + text_table(headers, [[number, *_figures(check)] for number, check in checks]) + "\n\n" + _LEGEND)


def _names(explanation: Explanation, several: bool) -> list[str]:
    from effnet.inference.rendering import printable

    names = [Path(explanation.source or "image").name, *[explanation.model] * several, explanation.target.label]
    longest = (15, 14, 14) if several else (24, 24)
    shown = zip(map(printable, names), longest, strict=True)
    return [name if len(name) <= most else f"{name[: most - 3]}..." for name, most in shown]


def _peak(explanation: Explanation) -> str:
    x, y = explanation.peak()
    return f"{x:.0f}, {y:.0f}"


def _figures(check: Check) -> list[str]:
    passed = check.passed
    return [
        "" if check.rank_correlation is None else f"{check.rank_correlation:+.2f}",
        f"{check.deletion:.2f} {'<' if check.deletion < check.random_deletion else '>='} {check.random_deletion:.2f}",
        f"{check.insertion:.2f} {'>' if check.insertion > check.random_insertion else '<='} "
        f"{check.random_insertion:.2f}",
        f"{check.randomised[-1][1]:+.2f}" if check.randomised else "",
        f"{sum(passed)}/{len(passed)}",
        check.verdict.partition(" (")[0],
    ]


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

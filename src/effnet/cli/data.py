"""`effnet data`: looking at images before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from effnet.cli.progress import image_bar

if TYPE_CHECKING:
    from effnet.data.doctor import Checkup, Finding
    from effnet.data.source import Dataset
    from effnet.report.doctor import ShownFinding

app = typer.Typer(help="Look at images before training on them.", no_args_is_help=True)

_SHOWN = 5
_PICTURED = 6


@app.callback()
def data() -> None:
    """Look at images before training on them."""


@app.command()
def check(
    data: str = typer.Argument(..., help="Folder, table (TABLE:label=COLUMN,images=FOLDER), archive, shards, digits."),
    model: str = typer.Option("b0", help="Network that will be trained, for the size it wants."),
    report: Path | None = typer.Option(None, help="Write a page with pictures of what was found."),
    fix_list: Path | None = typer.Option(None, help="Write the names of images to remove, one a line."),
    strict: bool = typer.Option(False, "--strict", help="Fail on warnings too."),
    json: bool = typer.Option(False, "--json", help="Print everything found as JSON."),
) -> None:
    """Find unreadable, repeated, leaking and mislabelled images; exit 1 when there are errors."""
    from effnet.cli.arguments import as_json, network
    from effnet.data import doctor
    from effnet.data.sources import open_dataset

    resolution = network(model).resolution
    dataset = open_dataset(data)
    with image_bar() as progress:
        checkup = doctor.check(dataset, resolution=resolution, progress=progress)
    if report is not None:
        _write_report(report, data, dataset, checkup, resolution)
    if fix_list is not None:
        from effnet.weights.atomic import atomic_write

        with atomic_write(fix_list) as temp:
            temp.write_text("".join(f"{name}\n" for name in checkup.removable), "utf-8", "surrogateescape")
    if json:
        typer.echo(as_json(_plain(checkup)))
    else:
        _print(checkup)
    if checkup.worst == "error" or (strict and checkup.worst == "warning"):
        raise typer.Exit(1)


def _plain(checkup: Checkup) -> dict[str, Any]:
    return {
        "classes": list(checkup.classes),
        "counts": checkup.counts,
        "findings": [
            {
                "severity": f.severity,
                "kind": f.kind,
                "what": f.what,
                "fix": f.fix,
                "groups": [list(g) for g in f.groups],
            }
            for f in checkup.findings
        ],
        "removable": list(checkup.removable),
    }


def _print(checkup: Checkup) -> None:
    for part, numbers in checkup.counts.items():
        typer.echo(f"{part}: {sum(numbers)} images in {len(checkup.classes)} classes")
    for finding in checkup.findings:
        typer.echo(f"{finding.severity}: {finding.what}")
        for group in finding.groups[:_SHOWN]:
            typer.echo(f"    {' = '.join(group)}")
        if len(finding.groups) > _SHOWN:
            typer.echo(f"    and {len(finding.groups) - _SHOWN} more")
        typer.echo(f"    fix: {finding.fix}")
    if not checkup.findings:
        typer.echo("nothing found")


def _write_report(path: Path, data: str, dataset: Dataset, checkup: Checkup, resolution: int) -> None:
    from effnet.report.doctor import render
    from effnet.weights.atomic import atomic_write

    shown = [_shown(finding, dataset) for finding in checkup.findings]
    content = render(f"Check of {data}", shown, checkup.counts, checkup.classes, checkup.sizes, resolution)
    with atomic_write(path) as temp:
        temp.write_text(content, "utf-8", "surrogateescape")


def _shown(finding: Finding, dataset: Dataset) -> ShownFinding:
    from effnet.inference.evaluation import thumbnail
    from effnet.report.doctor import ShownFinding

    pictures: list[tuple[bytes, str]] = []
    if "contradicting" in finding.kind or "leaking" in finding.kind or "repeated" in finding.kind:
        places = {
            f"{part}/{source.name(index)}": (source, index)
            for part, source in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test))
            if source is not None
            for index in range(len(source))
        }
        for name in [name for group in finding.groups for name in group][:_PICTURED]:
            pictures.append((thumbnail(*places[name]), name))
    return ShownFinding(
        severity=finding.severity, what=finding.what, fix=finding.fix, groups=finding.groups, pictures=pictures
    )

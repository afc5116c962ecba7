"""`effnet demo`: real photographs, real weights, four networks side by side, one report."""

from __future__ import annotations

from pathlib import Path

import typer


def demo(
    output: Path = typer.Option(Path("demo-output"), "--output", "-o", help="Folder for report.html."),
) -> None:
    """Classify bundled photographs with real weights and compare four networks; writes a report."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from effnet.demo import COMPARED, HEADERS, ROUNDS, demonstrate
    from effnet.report.tables import text_table

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=2 + len(COMPARED) * ROUNDS)

        def advance(step: str) -> None:
            progress.update(task, description=step, advance=1)

        result = demonstrate(output, advance=advance)

    for prediction in result.predictions:
        scores = [(score.label, f"{score.probability:.1%}") for score in prediction.scores]
        typer.echo(f"\n{Path(str(prediction.source)).name}")
        typer.echo(str(prediction.error) if prediction.error else text_table(("label", "probability"), scores))
    typer.echo(f"\n{text_table(HEADERS, [row.cells() for row in result.compared])}")
    typer.echo(f"latency: {result.machine}; the networks took turns, median of {ROUNDS} rounds")
    typer.echo(f"\nreport: {result.report}")

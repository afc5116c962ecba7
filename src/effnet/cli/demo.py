"""`effnet demo`: real photographs, real weights, four networks side by side, one report."""

from __future__ import annotations

from pathlib import Path

import typer


def demo(
    output: Path = typer.Option(Path("demo-output"), "--output", "-o", help="Folder for report.html."),  # noqa: B008
) -> None:
    """Classify bundled photographs with real weights and compare four networks; writes a report."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table

    from effnet.demo import COMPARED, ROUNDS, demonstrate

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=2 + len(COMPARED) * ROUNDS)

        def advance(step: str) -> None:
            progress.update(task, description=step, advance=1)

        result = demonstrate(output, advance=advance)

    for prediction in result.predictions:
        table = Table(title=Path(str(prediction.source)).name, title_justify="left", show_header=False)
        if prediction.error is not None:
            table.add_row(str(prediction.error))
        for score in prediction.scores:
            table.add_row(score.label, f"{score.probability:.1%}")
        console.print(table)
    table = Table(title="side by side", title_justify="left")
    for header in ("network", "px", "parameters (M)", "MACs (G)", "top-1 (%)", "latency here (ms)"):
        table.add_column(header, justify="left" if header == "network" else "right")
    for row in result.compared:
        table.add_row(
            row.name,
            str(row.resolution),
            f"{row.params / 1e6:.2f}",
            f"{row.macs / 1e9:.2f}",
            f"{row.top1:.1f} @ {row.top1_resolution}",
            f"{row.latency_ms:.1f}",
        )
    console.print(table)
    console.print(f"latency: {result.machine}; networks took turns, median of {ROUNDS} rounds", highlight=False)
    console.print(f"report: {result.report}", highlight=False, soft_wrap=True)

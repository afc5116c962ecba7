"""`effnet demo`: a training on digits, real photographs, real weights, four networks side by side, one report."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def demo(
    output: Path = typer.Option(
        Path("demo-output"), "--output", "-o", help="Folder for the report and the training run."
    ),
) -> None:
    """Fine-tune on digits, classify photographs with real weights, compare four networks; writes a report."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from effnet.demo import COMPARED, DATA, HEADERS, MODEL, ROUNDS, demonstrate
    from effnet.report.tables import text_table
    from effnet.training.display import display_for
    from effnet.training.events import Event, Finished

    typer.echo(f"fine-tuning {MODEL} on the {DATA} (a minute or two on two cores)\n")
    display = display_for(sys.stdout)

    def observe(event: Event) -> None:
        display(event)
        if isinstance(event, Finished):
            progress.start()

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task("starting", total=1 + len(COMPARED) * ROUNDS)

    def advance(step: str) -> None:
        progress.update(task, description=step, advance=1)

    try:
        result = demonstrate(output, observers=[observe], advance=advance)
    finally:
        progress.stop()

    rows = [
        (truth, str(answer.label), f"{answer.probability:.1%}")
        for truth, answer in zip(result.true_digits, result.digits, strict=True)
    ]
    typer.echo(f"\n{text_table(('digit', 'predicted', 'probability'), rows)}")
    judged = "-" if result.run.score is None else result.run.score.top1_text
    typer.echo(f"{judged} of the digits kept back; the run: {result.run.folder}")
    for prediction in result.predictions:
        scores = [(score.label, f"{score.probability:.1%}") for score in prediction.scores]
        typer.echo(f"\n{Path(str(prediction.source)).name}")
        typer.echo(str(prediction.error) if prediction.error else text_table(("label", "probability"), scores))
    typer.echo(f"\n{text_table(HEADERS, [row.cells() for row in result.compared])}")
    typer.echo(f"latency: {result.machine}; the networks took turns, median of {ROUNDS} rounds")
    typer.echo(f"\nreport: {result.report}")

"""`effnet quantize`: the fastest int8 graph that loses no more than is allowed, or a refusal with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from effnet.cli.progress import stage_bar

if TYPE_CHECKING:
    from effnet.deploy.quantize.door import Outcome


def quantize(
    model: str = typer.Argument(..., help="A published name, a tag, a model file, or a run folder."),
    data: str = typer.Option(..., help="Images of the kind that the model is for, as for train; classes are optional."),
    output: Path | None = typer.Option(None, "--output", "-o", help="File to write; default: MODEL.int8.onnx here."),
    max_drop: float = typer.Option(0.5, help="Points of top-1 that may be lost; without labels, of agreement."),
    min_agreement: float = typer.Option(0.0, help="Percent of images whose first class must stay."),
    method: str = typer.Option(
        "auto", help="auto takes the steps that are needed; or ptq, mixed, surgery or qat alone."
    ),
    max_minutes: float = typer.Option(10.0, help="After this time no further step is begun."),
    calibration: int = typer.Option(256, min=8, help="Images to calibrate with, at most."),
    images: int = typer.Option(1000, min=8, help="Held-out images to judge by, at most."),
    seed: int = typer.Option(0, help="Of what is held out, and of training."),
    reduce_range: bool | None = typer.Option(
        None,
        "--reduce-range/--full-range",
        help="7 or 8 bits for weights; default: what this processor needs. Older x86 processors need 7.",
    ),
    in_graph: bool = typer.Option(
        False, "--preprocess-in-graph", help="Normalise in the graph: it takes uint8 pixels (N, H, W, C)."
    ),
    threads: int | None = typer.Option(None, min=1, help="CPU threads of the latency measurements."),
    report: Path | None = typer.Option(None, help="Write a page with the front, the layers and the reasons."),
    json: bool = typer.Option(False, "--json", help="Print every figure as JSON."),
) -> None:
    """Make an int8 graph that is proved to lose little; what loses more is refused and not written."""
    from effnet.deploy.quantize.door import GateError
    from effnet.deploy.quantize.door import quantize as make

    target = output or Path(f"{Path(model).stem}.int8.onnx")
    if report is not None:
        from effnet.report.training_charts import figure
        from effnet.weights.atomic import require_target

        require_target(report)
        figure(1, 1)  # that matplotlib is not there is better known before the work
    try:
        with stage_bar() as progress:
            outcome = make(
                model,
                data,
                target,
                max_drop=max_drop,
                min_agreement=min_agreement,
                method=cast(Any, method),
                max_minutes=max_minutes,
                calibration=calibration,
                images=images,
                seed=seed,
                threads=threads,
                reduce_range=reduce_range,
                preprocessing_in_graph=in_graph,
                progress=progress,
            )
    except GateError as error:
        _show(error.outcome, None, report, json)
        raise
    _show(outcome, target, report, json)


def _show(outcome: Outcome, target: Path | None, report: Path | None, json: bool) -> None:
    from effnet.report.quantization import render, summary

    figures = outcome.to_dict()
    if report is not None:
        from effnet.training.run_folder import command_line
        from effnet.weights.atomic import atomic_write

        page = render(figures, command_line())
        with atomic_write(report) as temp:
            temp.write_text(page, "utf-8", "surrogateescape")
    if json:
        from effnet.cli.arguments import as_json

        typer.echo(as_json({**figures, "file": str(target) if target else None}))
        return
    typer.echo(summary(figures))
    if target is not None:
        typer.echo(f"\nwritten   {target}\nuse it    effnet predict {target} IMAGE")

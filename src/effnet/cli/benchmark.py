"""`effnet benchmark`: which engine is quickest here?"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, echo

if TYPE_CHECKING:
    from effnet.deploy.benchmarking import Benchmark


def benchmark(
    models: Annotated[list[str], Argument(metavar="MODEL...", help="Bundles, names (lite0, b0) or model files.")],
    batch: Annotated[
        list[int] | None, Option("--batch", "-b", min=1, help="Images at once; repeatable. Default: 1 and 8.")
    ] = None,
    threads: Annotated[int | None, Option("--threads", min=1, help="CPU threads; default: all there are.")] = None,
    rounds: Annotated[int, Option("--rounds", min=1, help="Turns of each engine.")] = 7,
    seconds: Annotated[float, Option("--seconds", min=0.0, help="Length of a turn.")] = 0.5,
    compiled: Annotated[bool, Option("--compile", help="Also torch.compile (takes a minute).")] = False,
    fresh: Annotated[bool, Option("--fresh", help="Random weights for a name: speed is the same.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON: every figure and all settings.")] = False,
    output: Annotated[Path | None, Option("--output", "-o", help="Write the JSON to this file too.")] = None,
) -> None:
    """Compare all engines on this machine on the same model: one image at a time, and many.

    Engines take short turns in processes of their own, so that the ratios hold on a busy machine. Before anything is
    timed, the graph's work is checked against the network's closed form, and every engine's answers against the
    first engine's.
    """
    from effnet.cli.arguments import as_json as dumped
    from effnet.cli.progress import image_bar
    from effnet.deploy.benchmarking import benchmark as measure

    results = []
    for model in models:
        with image_bar() as progress:
            results.append(
                measure(
                    model,
                    batches=batch or (1, 8),
                    threads=threads,
                    rounds=rounds,
                    seconds=seconds,
                    compiled=compiled,
                    fresh=fresh,
                    progress=progress,
                )
            )
        if not as_json:
            echo(_text(results[-1]))
    document = [_plain(result) for result in results]
    if as_json:
        echo(dumped(document))
    if output is not None:
        from effnet.weights.atomic import atomic_write

        with atomic_write(output) as temporary:
            temporary.write_text(dumped(document) + "\n", encoding="utf-8")


def _plain(result: Benchmark) -> dict[str, Any]:
    values = dataclasses.asdict(result)
    return values | {"rows": [dict(row) | {"settings": dict(row["settings"])} for row in values["rows"]]}


def _text(result: Benchmark) -> str:
    from effnet.quantities import billions
    from effnet.report.tables import text_table

    rows = [
        (
            row.engine,
            str(row.batch),
            f"{row.median_ms:.2f}",
            f"{row.low_ms:.2f}-{row.high_ms:.2f}",
            f"{row.images_per_second:.1f}",
            f"{row.times_as_fast:.2f}",
            f"{row.max_relative:.0e}",
            f"{row.agreement:.0%}",
        )
        for row in result.rows
    ]
    headers = ("engine", "batch", "ms", "low-high", "images/s", "times as fast", "difference", "same class")
    seen: dict[str, str] = {}
    for row in result.rows:
        seen.setdefault(row.engine, ", ".join(f"{name} {value}" for name, value in row.settings.items()))
    return "\n".join(
        [
            result.described,
            f"{result.work.products} convolutions and matrix products, {billions(result.work.macs)} MACs an image",
            f"{result.machine}; {result.threads} threads; {result.rounds} rounds of {result.seconds:g} s",
            "",
            text_table(headers, rows),
            "",
            *(f"{engine}: {settings}" for engine, settings in seen.items()),
        ]
    )

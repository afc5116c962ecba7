"""Fine-tuning accuracy and time: data and models by name, several seeds, the default recipe and nothing tuned per run.

    python benchmarks/finetune_accuracy.py PHOTOGRAPHS --models lite0 lite2 --seeds 0 1 2
    python benchmarks/finetune_accuracy.py digits --models lite0 --seeds 0 1 2

Three figures a run: top-1 of the averaged weights after the last epoch, which no choice has touched; the best epoch's,
which is what `best.safetensors` holds and is a little flattered, as the same images choose it and judge it; and the
whole wall time of the call, report included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe

import effnet
from effnet.training.events import Evaluated, Event


def measured(data: str, model: str, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train once."""
    scores: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Evaluated):
            scores.append(event.metrics["top1"])

    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        run = effnet.fit(data, model=model, seed=seed, run=Path(folder) / "run", observers=[watch], **settings)
        seconds = time.monotonic() - began
    return {"model": model, "seed": seed, "last_top1": scores[-1], "best_top1": run.best, "seconds": round(seconds, 1)}


def main() -> None:
    """Train every model with every seed, models taking turns, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--models", nargs="+", default=["lite0"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    runs = []
    for seed in arguments.seeds:
        for model in arguments.models:
            runs.append(measured(arguments.data, model, seed, {}))
            print(runs[-1], flush=True)
    summary = {}
    for model in arguments.models:
        mine = [run for run in runs if run["model"] == model]
        summary[model] = {
            key: {"mean": statistics.mean(run[key] for run in mine), "all": [run[key] for run in mine]}
            for key in ("last_top1", "best_top1", "seconds")
        }
        print(model, {key: round(value["mean"], 2) for key, value in summary[model].items()})
    name = Path(arguments.data).name
    output = arguments.output or Path(__file__).parent / "results" / f"finetune_accuracy_{name}.json"
    result = {"machine": describe("torch", "effnet"), "data": name, "summary": summary, "runs": runs}
    output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

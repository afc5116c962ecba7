"""Progressive learning against a fixed image size: same images, epochs, seeds, network and last-stage settings.

    python benchmarks/progressive_learning.py cifar10:PHOTOGRAPHS

Fine-tunes Lite0 from ImageNet weights on a part of CIFAR-10, images enlarged to `--resolution`. The kinds take
turns, seed by seed. Time is that of training steps and evaluations alone (what a run calls its seconds), top-1 that of
the averaged weights after the last epoch. Whatever comes out is written down.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

import effnet
from effnet.data.source import Dataset, Source
from effnet.data.sources import SubSource, open_dataset
from effnet.training.events import Evaluated, Event

KINDS: dict[str, dict[str, Any]] = {
    "fixed": {"progressive": {"stages": 1}},
    "two_stages": {"progressive": {"stages": 2, "image_size": 64}},
    "four_stages": {"progressive": {"stages": 4}},
}


def part(source: Source, per_class: int) -> Source:
    """Return the first images of every class."""
    chosen = [np.flatnonzero(source.labels == label)[:per_class] for label in range(len(source.classes))]
    return SubSource(source, np.sort(np.concatenate(chosen)))


def measured(data: Dataset, kind: str, seed: int, resolution: int, epochs: int) -> dict[str, Any]:
    """Train once."""
    scores: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Evaluated):
            scores.append(event.metrics["top1"])

    settings = KINDS[kind] | {"model": "lite0", "resolution": resolution, "epochs": epochs, "batch": {"size": 32}}
    with tempfile.TemporaryDirectory() as folder:
        run = effnet.fit(data, "finetune", seed=seed, run=Path(folder) / "run", observers=[watch], **settings)
    return {"kind": kind, "seed": seed, "top1": scores[-1], "seconds": round(run.seconds, 1)}


def main() -> None:
    """Train both kinds with every seed and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--train-per-class", type=int, default=250)
    parser.add_argument("--val-per-class", type=int, default=100)
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "progressive_learning.json")
    arguments = parser.parse_args()
    whole = open_dataset(arguments.data)
    judged = whole.test or whole.val
    assert judged is not None
    data = Dataset("cifar10 part", part(whole.train, arguments.train_per_class), part(judged, arguments.val_per_class))
    runs = []
    for seed in arguments.seeds:
        for kind in KINDS:
            runs.append(measured(data, kind, seed, arguments.resolution, arguments.epochs))
            print(runs[-1], flush=True)
    summary = {
        kind: {
            key: {
                "mean": statistics.mean(run[key] for run in runs if run["kind"] == kind),
                "stdev": statistics.stdev(run[key] for run in runs if run["kind"] == kind),
            }
            for key in ("top1", "seconds")
        }
        for kind in KINDS
    }
    times = {kind: [run["seconds"] for run in runs if run["kind"] == kind] for kind in KINDS}
    result = {
        "machine": describe("torch", "effnet"),
        "setting": {key: value for key, value in vars(arguments).items() if key not in ("data", "output")},
        "fixed_seconds_over_these": {
            kind: statistics.median(fixed / own for fixed, own in zip(times["fixed"], times[kind], strict=True))
            for kind in KINDS
        },
        "summary": summary,
        "runs": runs,
    }
    print(json.dumps({key: result[key] for key in ("fixed_seconds_over_these", "summary")}, indent=2))
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

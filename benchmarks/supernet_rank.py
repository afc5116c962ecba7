"""What a supernet's ranking is worth: trained again for the space of a finished search, against its control candidates.

python benchmarks/supernet_rank.py RUN [--epochs 30]

RUN is a folder that `effnet search ... --control N` left. Its N short trainings are the truth; Kendall's tau with them
is written to `results/supernet_rank.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from machine import describe
from rich.progress import track

from effnet.data.sources import open_dataset, per_class
from effnet.experiments.batches import load_batches
from effnet.experiments.experiment_folder import ExperimentFolder
from effnet.experiments.search_plan import SearchPlan
from effnet.experiments.supernet import Supernet
from effnet.inference.runtime import find_device
from effnet.search.ranking import kendall
from effnet.training.fit import judged_with


def main() -> None:
    """Train, rank, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    given = parser.parse_args()
    plan = SearchPlan.from_dict(ExperimentFolder(given.run).open_plan()["plan"])
    control = [
        candidate
        for candidate in json.loads((given.run / "results.json").read_text("utf-8"))["control"]
        if candidate["state"] == "complete"
    ]
    device = find_device(None)
    data = per_class(open_dataset(plan.data, seed=plan.seed), train=plan.train_per_class, val=plan.val_per_class)
    assert data.val is not None
    as_judged = judged_with(None, plan.recipe, plan.space.base)
    batches = load_batches(data.train, as_judged, device=device, size=plan.recipe.batch.size or 64, seed=plan.seed)
    calibration = load_batches(data.train, as_judged, device=device, most=256, seed=plan.seed)
    judged = load_batches(data.val, as_judged, device=device, size=128)
    supernet = Supernet(plan.space, classes=len(data.train.classes), seed=plan.seed, device=device)
    begun = time.perf_counter()
    supernet.train(
        batches,
        epochs=given.epochs,
        seed=plan.seed,
        progress=lambda done, of: print(f"step {done}/{of}", flush=True) if done % 50 == 0 else None,
    )
    trained = time.perf_counter() - begun
    accuracies = [supernet.evaluate(one["choices"], calibration, judged) for one in track(control, "ranking")]
    truth = [float(candidate["accuracy"]) for candidate in control]
    relation = kendall(accuracies, truth, seed=plan.seed)
    result = {
        "machine": describe(),
        "epochs": given.epochs,
        "candidates": len(control),
        "training_seconds": round(trained, 1),
        "ranking_seconds": round(time.perf_counter() - begun - trained, 1),
        "tau": round(relation.tau, 4),
        "tau_95": [round(relation.low, 4), round(relation.high, 4)],
        "median_supernet_accuracy": statistics.median(accuracies),
        "supernet_accuracies": [round(value, 2) for value in accuracies],
        "short_training_accuracies": truth,
    }
    file = Path(__file__).parent / "results" / "supernet_rank.json"
    file.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

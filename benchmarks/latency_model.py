"""How far computed latency is from measured latency, and what a search of 10,000 candidates costs.

    python benchmarks/latency_model.py

Tables are measured on random networks of the papers' space around B0, at 224 px and at 64 px; the networks they are
judged by are other points of the space, and points of B0's compound curve. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from machine import describe

from effnet.cost import cost
from effnet.experiments.block_latency import Validation, measure_table, specs_to_measure, validate
from effnet.families import find
from effnet.scaling import compound
from effnet.search.entropy import entropy
from effnet.search.latency_table import LatencyTable
from effnet.search.screening import screen
from effnet.search.space import SearchSpace
from effnet.spec import NetworkSpec

THREADS = 2


def errors(checked: Validation) -> dict[str, Any]:
    """Return the errors of a validation, in percent."""
    return {
        "median_error_percent": round(100 * checked.median_error, 2),
        "worst_error_percent": round(100 * checked.worst_error, 2),
        "predicted_ms": [round(value, 2) for value in checked.predicted_ms],
        "measured_ms": [round(value, 2) for value in checked.measured_ms],
    }


def screened(space: SearchSpace, table: LatencyTable, target: float) -> dict[str, Any]:
    """Search 10,000 candidates by computed latency and entropy, on one core."""

    def costs(spec: NetworkSpec) -> Any:
        counted = cost(spec)
        return {"macs": counted.macs, "params": counted.params, "latency": table.predict(spec)}

    began, cpu = time.perf_counter(), time.process_time()
    found = screen(space, costs, entropy, cost="latency", target=target, within=0.1, candidates=10_000)
    return {
        "candidates": found.looked_at,
        "near_the_target": found.in_window,
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(time.process_time() - cpu, 1),
        "best_score": round(found.best[0].score, 1),
    }


def main() -> None:
    """Measure both tables and write what came out."""
    os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:THREADS]))
    base = find("b0")
    result: dict[str, Any] = {"machine": describe("torch"), "batch": 1, "threads": THREADS, "dtype": "float32"}
    for side, networks in ((224, 30), (64, 40)):
        space = SearchSpace.around(base.replace(resolution=side, train_resolution=side))
        began = time.perf_counter()
        table = measure_table(specs_to_measure(space, networks, 0), threads=THREADS)
        part: dict[str, Any] = {"networks": networks, "rows": len(table.rows), "factor": round(table.factor, 4)}
        part["seconds"] = round(time.perf_counter() - began, 1)
        part["unseen_networks"] = errors(validate(table, specs_to_measure(space, 20, 1)))
        print(side, part["unseen_networks"]["median_error_percent"], flush=True)
        if side == 224:
            curve = [compound(base, phi / 2) for phi in range(-8, 3)]
            part["compound_curve"] = errors(validate(table, curve))
            torch.set_num_threads(1)
            part["screening"] = screened(space, table, table.predict(base))
            torch.set_num_threads(THREADS)
        result[f"{side}_px"] = part
    file = Path(__file__).parent / "results" / "latency_model.json"
    file.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "machine"}, indent=1)[:1500])


if __name__ == "__main__":
    main()

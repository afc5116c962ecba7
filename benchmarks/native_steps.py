"""Where the native engine's time goes: each step's share, and how near its products come to what the processor can do.

    python benchmarks/native_steps.py b0 v2-s --threads 1

Beside them stands the best matrix product of torch on as many threads, measured in the same run. A depthwise step that
also does the expansion before it counts the products of both. With Winograd's algorithm a step may pass any peak: its
products are counted as the sum as it is written needs them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from machine import describe

from effnet.deploy.bundle import Bundle
from effnet.deploy.engines.native import NativeEngine
from effnet.deploy.export.door import convert
from effnet.deploy.export.door import describe as described
from effnet.deploy.export.model import find_model
from effnet.inference.runtime import torch_threads

RESULTS = Path(__file__).parent / "results" / "native_steps.json"


def engine_of(model: str, threads: int) -> NativeEngine:
    found = find_model(model, fresh=True)
    manifest = described(found, "native", "fp32")
    bundle = Bundle(manifest=manifest, certificate=None, payload=convert(found.network, manifest))
    return NativeEngine(manifest, bundle.payload, threads)


def matrix_product(threads: int) -> float:
    """Return GFLOP/s of torch's best product of two 2048 x 2048 matrices."""
    matrix = torch.randn(2048, 2048)
    with torch_threads(threads):
        times = []
        for _ in range(8):
            begun = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - begun)
    return 2 * 2048**3 / min(times) / 1e9


def measure(model: str, threads: int, rounds: int) -> dict[str, object]:
    engine = engine_of(model, threads)
    first = engine.plan.maps[0]
    engine.run(
        np.random.default_rng(0).standard_normal((1, first.channels, first.height, first.width)).astype(np.float32)
    )
    rows = [engine.seconds_of_steps() for _ in range(rounds)]
    seconds = [statistics.median(column) for column in zip(*rows, strict=True)]
    kinds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    macs = 0
    for step, spent in zip(engine.plan.steps, seconds, strict=True):
        macs += engine.plan.macs(step)
        if spent < 2e-6 and step.kind == "convolution":
            continue  # joined: its products are the next step's
        name = f"{step.kind} {step.kernel}x{step.kernel}" if step.kernel > 1 else step.kind
        kinds[name][0] += spent
        kinds[name][1] += macs
        macs = 0
    return {
        "model": model,
        "threads": threads,
        "milliseconds": round(sum(seconds) * 1e3, 3),
        "torch_matrix_product_gflops": round(matrix_product(threads), 1),
        "steps": {
            name: {
                "share": round(spent / sum(seconds), 3),
                "milliseconds": round(spent * 1e3, 3),
                "gflops": round(2 * products / spent / 1e9, 1),
            }
            for name, (spent, products) in sorted(kinds.items(), key=lambda item: -item[1][0])
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    cells = [measure(model, threads, arguments.rounds) for model in arguments.models for threads in arguments.threads]
    document = {"what": "milliseconds of one image, step by step", "machine": describe("torch"), "cells": cells}
    print(json.dumps(document, indent=2))
    arguments.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

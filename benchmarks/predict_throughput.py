"""Does predicting from files cost more than the network and the decoder it is made of?

Bare: one thread decodes, resizes and crops every file with the library's own decoder; then the folded network, with all
of torch's threads, runs over the prepared batches. Its time is the sum of the two. Predict: `Predictor.predict_iter`
over the same files, its results written as JSON, as `effnet predict --json` does. Both use the same batch size; bare is
also measured with batches of 32. Rounds are interleaved; the ratio is the median of the rounds' ratios.
Bar: at least 0.90. Importing torch and loading the weights, about 3 s, are outside both.

    python benchmarks/predict_throughput.py PHOTOGRAPHS [--model lite0] [--rounds 7]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import describe

import effnet
from effnet.data.decode import decode
from effnet.data.preprocess import to_batch, to_pixels
from effnet.inference.predictor import Predictor
from effnet.inference.rendering import write_json
from effnet.inference.sources import expand

RESULTS = Path(__file__).parent / "results" / "predict_throughput.json"
BAR = 0.90


def bare(model: Predictor, files: tuple[str, ...], batch: int) -> tuple[float, float]:
    """Return seconds of decoding and of the network."""
    started = time.perf_counter()
    pixels = [to_pixels(decode(Path(file)), model.preprocess) for file in files]
    decoded = time.perf_counter()
    batches = [to_batch(pixels[i : i + batch], model.preprocess) for i in range(0, len(pixels), batch)]
    ready = time.perf_counter()
    with torch.inference_mode():
        for images in batches:
            model.logits(images)
    return decoded - started, time.perf_counter() - ready


def predict(model: Predictor, files: tuple[str, ...]) -> float:
    """Return seconds of the whole way from files to JSON."""
    started = time.perf_counter()
    write_json(model.predict_iter(files), io.StringIO())
    return time.perf_counter() - started


def measure(model: Predictor, files: tuple[str, ...], rounds: int) -> dict[str, object]:
    times: dict[str, list[float]] = {"bare": [], "bare_batch_32": [], "predict": []}
    parts: dict[str, list[float]] = {"decode": [], "network": []}

    def run_bare() -> None:
        decoding, network = bare(model, files, model.batch)
        parts["decode"].append(decoding)
        parts["network"].append(network)
        times["bare"].append(decoding + network)

    turns: list[Callable[[], None]] = [
        run_bare,
        lambda: times["predict"].append(predict(model, files)),
        lambda: times["bare_batch_32"].append(sum(bare(model, files, 32))),
    ]
    predict(model, files[:32])  # warm up
    for number in range(rounds):
        for turn in turns[number % 3 :] + turns[: number % 3]:
            turn()
        print(f"round {number + 1}: " + ", ".join(f"{key} {len(files) / t[-1]:.1f}/s" for key, t in times.items()))
    ratios = [slow / fast for slow, fast in zip(times["bare"], times["predict"], strict=True)]
    return {
        "images": len(files),
        "batch": model.batch,
        "rounds": rounds,
        "images_per_second": {key: round(len(files) / statistics.median(t), 1) for key, t in (times | parts).items()},
        "predict_over_bare": round(statistics.median(ratios), 3),
        "predict_over_bare_lowest_and_highest": [round(min(ratios), 3), round(max(ratios), 3)],
        "bar": BAR,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--model", default="lite0")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    model = effnet.load(arguments.model, device="cpu")
    result = {
        "what": "predicting from files against decoding first and running the network after",
        "model": model.spec.name,
        "preprocess": model.preprocess.to_dict(),
        "threads": torch.get_num_threads(),
        "machine": describe("torch", "pillow", "numpy"),
        **measure(model, expand([arguments.photographs]), arguments.rounds),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

"""What int8 costs and gains, with images that calibrate and images that judge kept apart.

    python benchmarks/int8_gate.py lite0 PHOTOGRAPHS          folder of files named NNNN_*, NNNN being the class's index
    python benchmarks/int8_gate.py silu PHOTOGRAPHS           folder with train/CLASS and val/CLASS

`lite0`: Lite0's published weights. The photographs are cut into four folds; each fold is judged by a graph that was
calibrated on the other three, so every photograph is judged once by a graph that never saw it, and the figures pool all
of them. Once with weights of 8 bits and once with 7 (processors without dot products of bytes), and beside each the
same graph with the usual choices: ranges that cover everything seen, no correction of biases.

`silu`: a network with SE and SiLU. No published EfficientNet weights with either are in the package index, so one is
made: Lite0's weights under SiLU and fresh SE, fine-tuned on the training photographs. It is then quantised by
`effnet.deploy.quantize`, calibrated on training photographs and judged by the validation ones.

Latencies are medians of interleaved rounds on one image, float graph optimised as `effnet export` does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe as machine

import effnet
from effnet.creation import assemble
from effnet.data.source import Dataset
from effnet.deploy.export.door import convert, describe
from effnet.deploy.export.model import find_model
from effnet.deploy.quantize.door import GateError, quantize
from effnet.deploy.quantize.graph import Plan
from effnet.deploy.quantize.judging import Judgement
from effnet.deploy.quantize.running import latencies, logits
from effnet.deploy.quantize.samples import Files, open_samples
from effnet.deploy.quantize.surgery import with_fresh_statistics
from effnet.deploy.quantize.variants import calibrated, float_graph, watched
from effnet.nn import Network, build
from effnet.weights import modelfile
from effnet.weights.loading import load_weights

RESULTS = Path(__file__).parent / "results"
FOLDS = 4
CALIBRATION = 128


class Numbered(Files):
    """Photographs whose names begin with the class's index."""

    def __init__(self, files: tuple[str, ...], classes: tuple[str, ...]) -> None:
        super().__init__(files)
        self.classes = classes
        self.labels = np.array([int(Path(file).name[:4]) for file in files], np.int64)


def lite0(folder: Path, rounds: int) -> dict[str, Any]:
    found = find_model("lite0")
    network = found.network
    assert network.labels is not None
    files = np.array(sorted(map(str, folder.glob("[0-9]*"))))
    folds = np.random.default_rng(0).permutation(len(files)) % FOLDS
    manifest = describe(found, "onnx", "fp32")
    model = float_graph(convert(network, manifest, optimize=False)["model.onnx"])
    fast = float_graph(convert(network, manifest, optimize=True)["model.onnx"])
    ways = {
        "int8": Plan(corrected=True),
        "int8, 7-bit weights": Plan(corrected=True, reduce_range=True),
        "usual": Plan(),
        "usual, 7-bit weights": Plan(reduce_range=True),
    }
    answers: dict[str, list[Any]] = {name: [] for name in ("float", "labels", *ways)}
    choices: dict[str, list[str]] = {name: [] for name in ways}
    graphs: dict[str, Any] = {}
    for fold in range(FOLDS):
        parts = (tuple(files[folds != fold]), tuple(files[folds == fold]))
        data = Dataset("photographs", *(Numbered(part, network.labels) for part in parts))
        samples = open_samples(
            data, found.preprocess, names=network.labels, outputs=network.spec.classes, calibration=CALIBRATION
        )
        seen = watched(model, samples)
        answers["labels"].append(samples.labels)
        answers["float"].append(logits(fast, samples.gate_batches()))
        for name, plan in ways.items():
            extremes = {tensor: values.extremes() for tensor, values in seen.items()}
            fixed = extremes if name.startswith("usual") else None
            variant = calibrated("", network, model, samples, plan, overrides=fixed, seen=seen)
            choices[name].append("extremes" if fixed else variant.choice)
            graphs[name] = variant.quantized()
            answers[name].append(logits(graphs[name], samples.gate_batches()))
            print(fold, name, flush=True)
    whole = {name: np.concatenate(parts) for name, parts in answers.items()}
    image, threads = next(samples.gate_batches())[:1], torch.get_num_threads()
    taken = [latencies({"float": fast, **graphs}, image, threads=threads, rounds=1) for _ in range(rounds)]
    result: dict[str, Any] = {
        "images": len(files),
        "folds": FOLDS,
        "calibration_images": CALIBRATION,
        "float_size": fast.ByteSize(),
    }
    for name in ways:
        judged = Judgement.of(whole[name], whole["float"], whole["labels"])
        times = sorted(one["float"] / one[name] for one in taken)
        result[name] = {
            **dataclasses.asdict(judged),
            "drop": judged.drop,
            "uncertainty": judged.uncertainty,
            "ranges": choices[name],
            "size": graphs[name].ByteSize(),
            "median_ms": statistics.median(one[name] for one in taken),
            "times_float": statistics.median(times),
            "times_float_low_high": [times[0], times[-1]],
        }
    result["float_ms"] = statistics.median(one["float"] for one in taken)
    return result


def silu(
    folder: Path, model: Path | None, epochs: int, minutes: float, gate: float, page: Path | None, method: Any
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        result: dict[str, Any] = {"trained": "given with --model, not made by this run"}
        if model is None:
            began = time.monotonic()
            run = train(folder, Path(temporary), epochs)
            model = run.model
            result = {"trained": {"epochs": epochs, "seconds": round(time.monotonic() - began), "best_top1": run.best}}
        try:
            threads = torch.get_num_threads()
            outcome = quantize(
                model, folder, max_drop=gate, method=method, max_minutes=minutes, threads=threads, progress=say
            )
            result |= outcome.to_dict()
        except GateError as error:
            result |= {"refusal": str(error), **error.outcome.to_dict()}
        if page is not None:
            from effnet.report.quantization import render

            page.write_text(render(result, "python benchmarks/int8_gate.py silu PHOTOGRAPHS"))
        return result


_said: list[str] = []


def say(stage: str, done: int, total: int) -> None:
    if not _said or _said[-1] != stage:
        _said.append(stage)
        print(time.strftime("%X"), stage, flush=True)


def train(folder: Path, place: Path, epochs: int) -> effnet.Run:
    """Fine-tune Lite0's weights under SiLU and SE on the photographs, at 128 px."""
    lite = load_weights(None, "lite0")
    spec = lite.spec.with_conventions(activation="silu", norm_momentum=0.1).replace(name="lite0_silu_se")
    for number in range(1, len(spec.stages) + 1):
        spec = spec.with_stage(number, se_ratio=0.25)
    network = transplanted(assemble(lite), build(spec))
    preprocess = lite.preprocess.with_size(128)
    samples = open_samples(folder, preprocess, names=None, outputs=1000)
    with_fresh_statistics(network, samples.calibration_batches())
    start = place / "start.safetensors"
    state = network.state_dict()
    modelfile.save(start, modelfile.ModelFile(spec=spec, state=state, preprocess=preprocess, labels=lite.labels))
    return effnet.fit(
        folder,
        "finetune",
        spec=spec,
        weights=str(start),
        resolution=128,
        epochs=epochs,
        lr=0.006,
        transfer={"head_epochs": min(1, epochs - 1)},
        optimizer={"layer_decay": 1.0},
        batch={"size": 32},
        run=place / "run",
        device="cpu",
    )


def transplanted(lite: Network, gated: Network) -> Network:
    """Give a network with SE the weights of the one without; gates begin nearly open."""
    old, new = lite.state_dict(), gated.state_dict()
    last = {name.rpartition(".block.")[0]: 0 for name in old if ".block." in name}
    for name in old:
        block, _, rest = name.rpartition(".block.")
        if block:
            last[block] = max(last[block], int(rest.partition(".")[0]))
    for name, tensor in old.items():
        block, _, rest = name.rpartition(".block.")
        index, _, tail = rest.partition(".")
        # The gate stands before the projection, the block's last unit.
        moved = f"{block}.block.{int(index) + 1}.{tail}" if block and int(index) == last[block] else name
        new[moved] = tensor
    for name in new:
        if name.endswith("fc2.bias"):
            new[name] = torch.full_like(new[name], 2.0)
    gated.load_state_dict(new)
    return gated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=("lite0", "silu"))
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--max-drop", type=float, default=1.0)
    parser.add_argument("--model", type=Path, help="a model file of an earlier run, instead of training")
    parser.add_argument(
        "--method", default="auto", help="of effnet quantize; others than auto have a file of their own"
    )
    parser.add_argument("--note", help="what should be known of the measurement, for the results")
    parser.add_argument("--page", type=Path, help="write the page of the silu run here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.which == "lite0":
        figures = lite0(arguments.photographs, arguments.rounds)
    else:
        how = (arguments.model, arguments.epochs, arguments.minutes, arguments.max_drop, arguments.page)
        how = (*how, arguments.method)
        figures = silu(arguments.photographs, *how)
    name = arguments.which if arguments.method == "auto" else f"{arguments.which}_{arguments.method}"
    path = RESULTS / f"int8_gate_{name}.json"
    head: dict[str, Any] = {
        "machine": machine("effnet", "torch", "onnx", "onnxruntime"),
        "threads": arguments.threads,
        "batch": 1,
    }
    if arguments.note:
        head["note"] = arguments.note
    path.write_text(json.dumps(head | figures, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(head | figures, indent=1, ensure_ascii=False)[:3000])


if __name__ == "__main__":
    main()

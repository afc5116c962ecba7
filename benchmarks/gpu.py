"""The kernels on a GPU: ceilings, every kernel on every shape, whole networks, memory, accuracy per minute.

    python benchmarks/gpu.py --list                    # the parts
    python benchmarks/gpu.py                           # every part not yet measured, until --minutes are over
    python benchmarks/gpu.py --part kernels:b0 --part infer:b0
    python benchmarks/gpu.py --part accuracy --data path/to/images
    python benchmarks/gpu.py --write-choices           # the table that kernels="auto" reads, from the `blocks` parts
    python benchmarks/gpu.py --dry-run                 # the same code on a CPU, tiny, through torch: no figures

Each part writes its own file and is skipped where that exists (`--again` measures anew); a part of many shapes goes on
where it stopped. Stops before what would not fit: call it again, compilers keep their caches between calls.
timm and torchvision are peers, not dependencies: those that load take part.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from gpu_accuracy import accuracy
from gpu_ceilings import ceilings
from gpu_kernels import measured
from gpu_networks import block, inference, training
from gpu_shapes import MODELS, Shape, shapes
from gpu_timing import Bench, OutOfTimeError
from machine import describe

RESULTS = Path(__file__).parent / "results" / "gpu"
CHOICES = Path(__file__).parents[1] / "src" / "effnet" / "kernels" / "choices.json"
PARTS = (
    "ceilings",
    *(f"kernels:{m}" for m in ("b0", "v2-s")),
    *(f"{kind}:{m}" for m in MODELS for kind in ("infer", "latency", "train")),
    *(f"kernels:{m}" for m in ("b4", "b7", "v2-m", "v2-l")),
    *(f"blocks:{m}" for m in MODELS),
    "accuracy",
)
EXPECTED_SECONDS = {
    "ceilings": 30,
    "kernels": 20,
    "blocks": 15,
    "infer": 240,
    "latency": 180,
    "train": 300,
    "accuracy": 300,
}
"""What must be left for a part (of kernels and blocks: for one shape) to be begun: compiling is most of it."""


def main() -> None:
    arguments = parsed()
    if arguments.list:
        print("\n".join(PARTS))
        return
    folder = arguments.output / "dry" if arguments.dry_run else arguments.output
    if arguments.write_choices:
        write_choices(folder, CHOICES)
        return
    if not arguments.dry_run and not torch.cuda.is_available():
        print(
            "No GPU: torch sees no CUDA device, so nothing was measured. Fix: run on one, or --dry-run to try the code."
        )
        sys.exit(1)
    deadline = time.monotonic() + arguments.minutes * 60
    device = torch.device("cpu" if arguments.dry_run else "cuda")
    bench = Bench(device=device, rounds=arguments.rounds, deadline=float("inf") if arguments.dry_run else deadline)
    folder.mkdir(parents=True, exist_ok=True)
    for part in arguments.part or [p for p in PARTS if p != "accuracy" or arguments.data]:
        if deadline - time.monotonic() < EXPECTED_SECONDS[part.partition(":")[0]] and not arguments.dry_run:
            print(f"stopping before {part}: call again")
            break
        try:
            run(part, folder, bench, arguments, deadline)
        except OutOfTimeError:
            print(f"{part}: time is over while compiling; call again, the compilers' caches are warm")
            break
    draw(folder)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--write-choices", action="store_true")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--data", type=Path, help="labelled images for the accuracy part")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


def run(part: str, folder: Path, bench: Bench, arguments: argparse.Namespace, deadline: float) -> None:
    path = folder / f"{part.replace(':', '-')}.json"
    kind, _, model = part.partition(":")
    before = json.loads(path.read_text()) if path.exists() and not arguments.again else None
    if before and before["complete"]:
        print(f"{part}: measured already")
        return
    print(f"{part} ...", flush=True)
    torch.manual_seed(0)
    result: object
    complete = True
    if kind in ("kernels", "blocks"):
        done = before["result"] if before else []
        result, complete = by_shape(
            kind, model, bench, folder, done, deadline, lambda rows: save(path, rows, bench, False)
        )
    elif kind == "ceilings":
        result = ceilings(bench)
    elif kind == "accuracy":
        if arguments.data is None:
            print("accuracy: give --data, a folder or archive of labelled images")
            return
        result = [row for k in ("triton", "torch") for row in accuracy(
            arguments.data, bench, k, 1 if bench.dry else arguments.epochs, 32 if bench.dry else arguments.side,
            1 if bench.dry else arguments.seeds)]  # fmt: skip
    elif kind == "train":
        result = training(model, bench)
    else:
        result = inference(model, bench, 1 if kind == "latency" else None)
    save(path, result, bench, complete)
    print(f"{part}: {json.dumps(result)[:600]}", flush=True)


def by_shape(
    kind: str, model: str, bench: Bench, folder: Path, done: list[dict[str, object]], deadline: float,
    save_rows: Callable[[object], None],
) -> tuple[list[dict[str, object]], bool]:  # fmt: skip
    """Measure the shapes not yet in `done`, saving after each; False where time ran out."""
    ceiling = folder / "ceilings.json"
    bandwidth = json.loads(ceiling.read_text())["result"]["copy_gb_per_second"] if ceiling.exists() else None
    names = {row["shape"] for row in done}
    wanted = shapes(model, 2 if bench.dry else None)
    if bench.dry:
        wanted = [tiny(shape) for shape in wanted[:3] + wanted[-2:]]
    for shape in wanted:
        if shape.name in names or (kind == "kernels" and shape.kind not in ("mbconv", "fused_mbconv")):
            continue
        if not bench.dry and deadline - time.monotonic() < EXPECTED_SECONDS[kind]:
            return done, False
        done = [*done, *(measured(shape, bench, bandwidth) if kind == "kernels" else [block(shape, bench)])]
        save_rows(done)
        print(f"  {shape.name}: {done[-1]}", flush=True)
    return done, True


def tiny(shape: Shape) -> Shape:
    values = {name: getattr(shape, name) for name in Shape.__dataclass_fields__}
    return Shape(**values | {"in_size": 8, "out_size": -(-8 // shape.stride), "batch": 2})


def save(path: Path, result: object, bench: Bench, complete: bool) -> None:
    head = describe("torch")
    if not bench.dry:
        head |= {
            "gpu": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "triton": __import__("triton").__version__,
        }
    text = (
        {"what": "dry run on a CPU: figures mean nothing"} if bench.dry else {"what": "medians of interleaved rounds"}
    )
    path.write_text(json.dumps(text | {"machine": head, "complete": complete, "result": result}, indent=1) + "\n")


def write_choices(folder: Path, table: Path) -> None:
    """Put the measured blocks into the table of `kernels="auto"`, beside those of other GPUs."""
    measured_rows = [
        row
        for path in sorted(folder.glob("blocks-*.json"))
        for measured_block in json.loads(path.read_text())["result"]
        for row in measured_block["rows"]
    ]  # fmt: skip
    if not measured_rows:
        print(f"No blocks measured in {folder}. Fix: --part blocks:b0 first")
        sys.exit(1)
    old = json.loads(table.read_text())
    devices = {row["device"] for row in measured_rows}
    if "dry run" in devices:
        print("These rows are of a dry run; the table stays as it is")
        sys.exit(1)
    rows = [row for row in old["rows"] if row["device"] not in devices] + measured_rows
    note = "Measured by benchmarks/gpu.py --part blocks:MODEL --write-choices; the ratio is torch's time over ours."
    table.write_text(json.dumps({"note": note, "rows": rows}, indent=1) + "\n")
    print(f"{len(measured_rows)} rows of {', '.join(sorted(devices))} written")


def draw(folder: Path) -> None:
    """Draw each network's images per second, best first, where matplotlib is installed."""
    files = sorted([*folder.glob("infer-*.json"), *folder.glob("train-*.json")])
    results = [(path.stem, json.loads(path.read_text())) for path in files]
    if not results:
        return
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no chart: matplotlib is not installed")
        return
    figure, axes = pyplot.subplots(len(results), 1, figsize=(9, 1.9 * len(results)), squeeze=False)
    for axis, (name, part) in zip(axes[:, 0], results, strict=True):
        speeds = sorted(part["result"]["images_per_second"].items(), key=lambda item: item[1])
        colours = ["#0072b2" if label.startswith("effnet-triton") else "#9aa4ae" for label, _ in speeds]
        axis.barh([label for label, _ in speeds], [value for _, value in speeds], color=colours)
        axis.set_title(
            f"{name}, batch {part['result']['batch']}: images per second ({part['what']})", fontsize=9, loc="left"
        )
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(folder / "networks.png", dpi=130)
    pyplot.close(figure)


if __name__ == "__main__":
    main()

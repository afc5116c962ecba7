"""Is a training step slower than that of torchvision's or timm's model, and does it need more memory?

EfficientNet-B0, float32, channels last, RMSProp of torch, random images: forward, cross entropy, backward, update. The
networks take turns, two steps each after one to warm up; a ratio is the median of the rounds' ratios. Peak memory is
that of a process of its own that takes three steps, less what the process had before it built the network.

torchvision and timm are peers, not dependencies. Their wheels want another build of torch, so they are installed
elsewhere without it, and torchvision's missing operators are declared so that its Python can be imported:

    pip install --no-deps --target peers torchvision timm
    PYTHONPATH=peers python benchmarks/training_step.py [--batch 32] [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import describe
from torch import Tensor, nn

import effnet

RESULTS = Path(__file__).parent / "results" / "training_step.json"


def _effnet() -> nn.Module:
    return effnet.build(effnet.find("b0"))


def _timm() -> nn.Module:
    _declare_operators()
    import timm

    network: nn.Module = timm.create_model("efficientnet_b0", drop_path_rate=0.2, drop_rate=0.2)
    return network


def _torchvision() -> nn.Module:
    _declare_operators()
    from torchvision.models import efficientnet_b0

    network: nn.Module = efficientnet_b0()
    return network


def _declare_operators() -> None:
    if not _LIBRARIES:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in _OPERATORS:
            library.define(f"{name}(Tensor self) -> Tensor")  # never called: only their names must exist
        _LIBRARIES.append(library)  # an operator lives as long as its library


_LIBRARIES: list[torch.library.Library] = []
_POOLS = ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d")
_OPERATORS = ("nms", "qnms", "qroi_align", *_POOLS, *(f"_{name}_backward" for name in _POOLS))
NETWORKS: dict[str, Callable[[], nn.Module]] = {"effnet": _effnet, "timm": _timm, "torchvision": _torchvision}


def stepper(name: str, images: Tensor, labels: Tensor) -> Callable[[], None]:
    network = NETWORKS[name]().train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def batch_of(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, 224, 224, generator=generator).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(1000, (size,), generator=generator)


def peak_gb(name: str, size: int) -> float:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--peak", name, "--batch", str(size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured_peak(name: str, size: int) -> float:
    images, labels = batch_of(size)
    NETWORKS[name]()  # its imports
    before = high_water()
    step = stepper(name, images, labels)
    for _ in range(3):
        step()
    return high_water() - before


def high_water() -> float:
    """Return the most memory that this program has had, in GB (Linux); `ru_maxrss` would include its parent's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peak", choices=NETWORKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print(measured_peak(arguments.peak, arguments.batch))
        return
    images, labels = batch_of(arguments.batch)
    steps = {name: stepper(name, images, labels) for name in NETWORKS}
    times: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for number in range(arguments.rounds + 1):
        for name in names[number % 3 :] + names[: number % 3]:
            steps[name]()
            began = time.perf_counter()
            steps[name]()
            steps[name]()
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - began) / 2)
        print({name: round(t[-1], 3) for name, t in times.items() if t})
    ours = times.pop("effnet")
    result = {
        "what": "seconds of a training step of B0 at 224 px, float32, channels last",
        "batch": arguments.batch,
        "rounds": arguments.rounds,
        "threads": torch.get_num_threads(),
        "machine": describe("torch", "timm", "torchvision"),
        "seconds": {"effnet": round(statistics.median(ours), 3)}
        | {name: round(statistics.median(theirs), 3) for name, theirs in times.items()},
        "times_as_fast_as": {
            name: round(statistics.median(t / o for t, o in zip(theirs, ours, strict=True)), 3)
            for name, theirs in times.items()
        },
        "peak_gb": {name: round(peak_gb(name, arguments.batch), 2) for name in NETWORKS},
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

"""How much memory a network takes here while it predicts: the high water mark of a process of its own.

On an accelerator its allocator tells. On a CPU only the system knows, and only of whole processes, so the network runs
in a fresh one (`python -m effnet.inference.memory`), which says by how much it grew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from effnet.inference.runtime import find_device, for_inference, torch_threads
from effnet.nn import build
from effnet.spec import NetworkSpec

_SECONDS = 300.0
_RESET_PEAK = "5"
"""What Linux takes at /proc/self/clear_refs to begin the high water mark anew (proc(5))."""


def measure_memory(spec: NetworkSpec, *, threads: int | None = None, device: str | None = None) -> int | None:
    """Return the most bytes that predicting one image takes, weights included; None where the system does not tell.

    Raises:
        InputError: the device is not there.
    """
    place = find_device(device)
    if place.type == "cuda":
        return _on_accelerator(spec, place)
    if place.type != "cpu" or not Path("/proc/self/clear_refs").exists():
        return None
    command = [sys.executable, "-m", "effnet.inference.memory", str(threads or 0)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(
            command, input=spec.to_json(), capture_output=True, text=True, timeout=_SECONDS, env=environment, check=True
        )
        return int(done.stdout.split()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None  # killed for memory, or a system that forbids it: unknown is the honest answer


def _on_accelerator(spec: NetworkSpec, place: torch.device) -> int:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(place)
    with torch.inference_mode(), torch.random.fork_rng():
        network = for_inference(build(spec).eval(), place)
        images = torch.randn(1, spec.in_channels, spec.resolution, spec.resolution, device=place)
        torch.cuda.reset_peak_memory_stats(place)
        network(images)
        torch.cuda.synchronize(place)
    return int(torch.cuda.max_memory_allocated(place) - before)


def _on_cpu(spec: NetworkSpec, threads: int | None) -> int:
    place = torch.device("cpu")
    with torch.inference_mode(), torch_threads(threads):
        torch.nn.functional.conv2d(torch.randn(1, 8, 8, 8), torch.randn(8, 8, 3, 3))  # what torch itself loads lazily
        before = _status("VmRSS")
        network = for_inference(build(spec).eval(), place)
        images = torch.randn(1, spec.in_channels, spec.resolution, spec.resolution)
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
        for _ in range(2):
            network(images)
    return _status("VmHWM") - before


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(key)


if __name__ == "__main__":
    print(_on_cpu(NetworkSpec.from_json(sys.stdin.read()), int(sys.argv[1]) or None))  # noqa: T201

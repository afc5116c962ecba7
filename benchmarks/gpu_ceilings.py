"""What this GPU gives at best: copy bandwidth, bfloat16 and float32 products; and whether large maps are right."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from gpu_timing import Bench

from effnet import kernels


def ceilings(bench: Bench) -> dict[str, object]:
    megabytes = 4 if bench.dry else 2048
    source = torch.empty(megabytes * 1_000_000, dtype=torch.uint8, device=bench.device).fill_(1)
    target = torch.empty_like(source)
    side = 256 if bench.dry else 8192
    half = torch.randn(side, side, device=bench.device, dtype=torch.bfloat16)
    full = torch.randn(side // 2, side // 2, device=bench.device)
    medians = bench.medians(
        {"copy": lambda: target.copy_(source), "bfloat16": lambda: half @ half, "float32": lambda: full @ full}
    )
    return {
        "copy_gb_per_second": round(2 * source.numel() / 1e9 / medians["copy"], 1),
        "bfloat16_tflops": round(2 * side**3 / 1e12 / medians["bfloat16"], 1),
        "float32_tflops": round(2 * (side // 2) ** 3 / 1e12 / medians["float32"], 2),
        "launch_microseconds": round(bench.seconds(lambda: half[:1, :1].neg(), 100) * 1e6, 2),
        "beyond_2_31_elements": None if bench.dry else large_maps(bench.device),
    }


@torch.no_grad()
def large_maps(device: torch.device) -> dict[str, object]:
    """Whether the last sample of a depthwise convolution over more than 2**31 elements is right."""
    channels, side = 96, 112
    samples = 2**31 // (channels * side * side) + 2
    x = torch.empty(
        samples, channels, side, side, device=device, dtype=torch.bfloat16, memory_format=torch.channels_last
    )
    x[-1:].normal_()
    weight = torch.randn(channels, 1, 3, 3, device=device, dtype=torch.bfloat16)
    taps = weight.flatten(1).t()
    expected = F.conv2d(x[-1:].double(), weight.double(), padding=1, groups=channels)
    found: dict[str, object] = {"samples": samples}
    runs = {
        "cudnn": lambda: F.conv2d(x, weight, padding=1, groups=channels),
        "ours": lambda: kernels.depthwise(x, taps, 1, 1, 1, torch.zeros(channels, device=device))[0],
    }
    for name, run in runs.items():
        try:
            found[name] = float((run()[-1:].double() - expected).norm() / expected.norm())
        except RuntimeError as error:
            found[name] = str(error).partition("\n")[0][:200]
        torch.cuda.empty_cache()
    return found

"""Every kernel compiles for an A100 and an H100 on a machine without either, and keeps within its registers.

A spilled register is a trip to memory in the inner loop, so none may spill, in any tile that a published network asks
for. The bound on registers is what lets at least eight warps share a multiprocessor (65,536 registers).
"""

from __future__ import annotations

from typing import Any

import pytest

triton = pytest.importorskip("triton", reason="Triton has no wheel for this system")

from effnet.kernels.programs import depthwise, norm, pointwise, product, squeeze  # noqa: E402
from effnet.kernels.tiles import (  # noqa: E402
    backward_tile,
    forward_tile,
    gradient_tile,
    product_tile,
    row_tile,
    source_tile,
    training_tile,
)
from tests.kernels import cross_compile  # noqa: E402
from tests.kernels.cross_compile import compiled  # noqa: E402

pytestmark = pytest.mark.skipif(
    not (cross_compile.TOOLS / "cuobjdump").exists(), reason="this Triton brings no cuobjdump"
)
GPUS = (80, 90)
BF16 = dict.fromkeys(("x", "g", "y", "dx", "residual"), "*bf16")
MAPS = {"wide": (96, 56), "narrow": (1152, 7)}
"""(channels, side) of B0's widest depthwise map and of its last ones: different tiles."""


def within(usage: cross_compile.Usage, warps: int, registers: int) -> None:
    assert usage.local_loads == usage.local_stores == usage.stack == 0, f"spills: {usage}"
    assert usage.registers <= registers, usage
    assert 65536 // (usage.registers * 32) >= max(8, warps), usage


@pytest.mark.parametrize("map_", MAPS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("gpu", GPUS)
def test_depthwise(gpu: int, kernel: int, stride: int, map_: str) -> None:
    channels, side = MAPS[map_]
    tile = forward_tile(kernel, stride, side, side, channels)
    sizes = {
        "K": kernel,
        "S": stride,
        "FAST": True,
        "EIGHT": True,
        "BW": tile.width,
        "BC": tile.channels,
        "RH": tile.height,
    }
    training = {"NORM": True, "STATS": True, "BIAS": False, "SILU": False, "POOL": False}
    inference = {"NORM": False, "STATS": False, "BIAS": True, "SILU": True, "POOL": True}
    for flags in (training, inference):
        usage = compiled(depthwise.forward_kernel, BF16, sizes | flags, tile.warps, gpu)
        within(usage, tile.warps, 168)
        assert usage.wide_loads > 0, "a thread loads eight bfloat16 at once"
    tile = backward_tile(side, channels)
    sizes = {
        "K": kernel,
        "S": stride,
        "FAST": True,
        "EIGHT": True,
        "BW": tile.width,
        "BC": tile.channels,
        "RH": tile.height,
    }
    # k = 5 keeps 2 x 25 sums a thread: the price of reading both maps once.
    usage = compiled(depthwise.backward_kernel, BF16, sizes | {"NORM": True}, tile.warps, gpu)
    within(usage, tile.warps, 168 if kernel == 3 else 255)


NORM_KERNELS: list[tuple[Any, dict[str, bool]]] = [
    (norm.statistics_kernel, {"EIGHT": True}),
    (norm.norm_act_kernel, {"SILU": True, "SCALE": True, "RESIDUAL": True, "FAST": True, "EIGHT": True}),
    (norm.sums_kernel, {"SILU": True, "SCALE": True, "SHIFT": True, "FAST": True, "EIGHT": True}),
    (norm.grad_kernel, {"SILU": True, "SCALE": True, "SHIFT": True, "BATCH": True, "FAST": True, "EIGHT": True}),
    (norm.pool_kernel, {"SILU": True, "TIMES": True, "FAST": True, "EIGHT": True}),
]


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize(("kernel", "flags"), NORM_KERNELS, ids=lambda v: getattr(v, "__name__", None))
def test_norm(kernel: Any, flags: dict[str, bool], gpu: int) -> None:
    tile = row_tile(96)
    usage = compiled(kernel, BF16, flags | {"BM": tile.rows, "BC": tile.channels}, tile.warps, gpu)
    within(usage, tile.warps, 128)
    assert usage.wide_loads > 0, "a thread loads eight bfloat16 at once"


@pytest.mark.parametrize("gpu", GPUS)
def test_finish_and_squeeze(gpu: int) -> None:
    scalars = {"count": "fp32", "momentum": "fp32", "eps": "fp32", "unbiased": "fp32", "share": "fp32"}
    within(compiled(norm.finish_kernel, scalars, {"BC": 256}, 4, gpu), 4, 64)
    for squeeze_lanes in (16, 64, 256):
        sizes = {"BS": squeeze_lanes, "BC": 4096 // squeeze_lanes, "BO": min(128, 8192 // squeeze_lanes)}
        within(compiled(squeeze.squeeze_kernel, scalars, sizes, 4, gpu), 4, 255)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize(
    ("pixels", "channels", "outputs"), [(256 * 784, 240, 40), (256 * 49, 1152, 320), (49, 192, 1152)]
)
def test_pointwise(gpu: int, pixels: int, channels: int, outputs: int) -> None:
    tile = product_tile(pixels, outputs, channels)
    flags = {
        "SILU": True,
        "GATE": True,
        "RESIDUAL": True,
        "FAST": True,
        "EIGHT": True,
        "PRECISION": "ieee",
        "WIDEN": False,
    }
    sizes = {"BM": tile.rows, "BN": tile.outputs, "BK": tile.channels}
    types = BF16 | {"weight": "*bf16"}
    usage = compiled(pointwise.pointwise_kernel, types, flags | sizes, tile.warps, gpu, num_stages=3)
    within(usage, tile.warps, 255)
    assert usage.shared <= 160 * 1024, "an A100 multiprocessor has 164 KB"


PRODUCTS = {
    "expand": (56 * 56, 24, 144),
    "expand-most": (28 * 28, 40, 240),
    "project": (28 * 28, 240, 40),
    "project-first": (112 * 112, 32, 16),
    "expand-wide": (7 * 7, 192, 1152),
    "project-wide": (7 * 7, 1152, 320),
}
"""Of B0: pixels of a sample, channels and results."""


NUMERICS = {"bfloat16": ("*bf16", 2, "ieee"), "float32": ("*fp32", 4, "ieee"), "tensor float32": ("*fp32", 4, "tf32")}
"""Pointer and bytes of a map's elements, and how float32 is multiplied."""


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("dtype", NUMERICS)
@pytest.mark.parametrize("shape", PRODUCTS)
def test_products_of_training(gpu: int, dtype: str, shape: str) -> None:
    area, channels, outputs = PRODUCTS[shape]
    pointer, bytes_each, precision = NUMERICS[dtype]
    types = dict.fromkeys(BF16, pointer)
    numerics = {"FAST": bytes_each == 2, "PRECISION": precision, "WIDEN": False, "EIGHT": True}
    normed = shape.startswith("project")
    tile = training_tile(area, outputs, channels, bytes_each)
    sizes = {"BM": tile.rows, "BN": tile.outputs, "BK": tile.channels}
    flags = numerics | {"NORM": normed, "GATE": normed} | sizes
    usages = [(tile.warps, compiled(product.product_kernel, types, flags, tile.warps, gpu, num_stages=2))]
    # A projection's own norm has no SiLU; drop path scales its samples. An expansion takes dz as it comes.
    flags = numerics | {"SILU": False, "SCALE": normed, "BATCH": True, "NORM": normed, "GATE": normed}
    gradients = gradient_tile(area, 256 * area, outputs, channels, bytes_each)
    types |= {"count": "fp32"}
    sizes = {"BM": gradients.rows, "BN": gradients.outputs, "BK": gradients.channels, "SOURCE": gradients.source}
    usage = compiled(product.gradients_kernel, types, flags | sizes, gradients.warps, gpu, num_stages=1)
    usages.append((gradients.warps, usage))
    if not gradients.source:
        other = source_tile(area, channels)
        sizes = {"BM": other.rows, "BN": other.channels, "BK": other.outputs}
        usage = compiled(product.source_kernel, types, flags | sizes, other.warps, gpu, num_stages=2)
        usages.append((other.warps, usage))
    for warps, usage in usages:
        within(usage, warps, 255)
        assert usage.shared <= 99 * 1024, "what a program has on the GPUs with least, such as the RTX 3090 and 4090"


@pytest.mark.parametrize("bytes_each", [2, 4])
def test_products_fit_the_shared_memory_of_the_smallest_gpus(bytes_each: int) -> None:
    """Three stages of both operands; 99 KB a program on GPUs such as the RTX 3090 and 4090."""
    for pixels in (49, 64 * 64, 256 * 112 * 112):
        for outputs in (16, 128, 1280):
            tile = product_tile(pixels, outputs, 1152, bytes_each)
            assert 3 * (tile.rows + tile.outputs) * tile.channels * bytes_each <= 99 * 1024, tile

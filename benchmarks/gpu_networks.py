"""Whole networks and single blocks on a GPU: ours against torch's operators, timm and torchvision, also compiled."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable

import torch
from gpu_shapes import BATCHES, MODELS, TIMM, TORCHVISION, Shape
from gpu_timing import Bench, Work, worked
from torch import Tensor, nn

import effnet
from effnet.inference.graphs import GraphedNetwork
from effnet.nn import FusedMBConv, MBConv, fold_norms, set_kernels

Build = Callable[[], nn.Module]
OURS = ("triton", "triton-maps", "torch")
"""All kernels; without the matrix products of training (Plan A against Plan B); none."""
FORMS = {"eager": None, "compile": "default", "max-autotune": "max-autotune"}


def networks(model: str, dry: bool) -> tuple[dict[str, Build], dict[str, str]]:
    """Return how to build each library's `model`, and why those that are missing are."""

    def ours(kernels: str) -> Build:
        return lambda: effnet.create(effnet.find(model).replace(classes=1000), kernels=kernels)

    builds = {f"effnet-{kernels}": ours(kernels) for kernels in OURS}
    missing: dict[str, str] = {}
    for library, module, names in (("timm", "timm", TIMM), ("torchvision", "torchvision.models", TORCHVISION)):
        try:
            package = importlib.import_module(module)
        except (ImportError, RuntimeError, AttributeError) as error:
            missing[library] = str(error).partition("\n")[0]
            continue
        name = names[model]
        make = package.create_model if library == "timm" else getattr(package, name)
        builds[library] = (lambda make=make, name=name: make(name)) if library == "timm" else make
    return builds, missing


def images(model: str, bench: Bench, batch: int) -> Tensor:
    side = 64 if bench.dry else MODELS[model]
    dtype = torch.float32
    x = torch.randn(batch, 3, side, side, device=bench.device, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last)


def inference(model: str, bench: Bench, batch: int | None = None) -> dict[str, object]:
    """Images per second in bfloat16, norms folded for ours; batch 1 also as CUDA graphs."""
    size = batch or (2 if bench.dry else BATCHES[model])
    builds, missing = networks(model, bench.dry)
    del builds["effnet-triton-maps"]  # folded, both are the same
    x = images(model, bench, size).bfloat16()
    candidates: dict[str, Work] = {}
    for library, build in builds.items():
        network = build().eval().to(bench.device)
        if library.startswith("effnet"):
            network = fold_norms(network)
        network = network.to(torch.bfloat16).to(memory_format=torch.channels_last)
        for form, mode in forms(library, bench):
            runner = network if mode is None else torch.compile(network, mode=mode, dynamic=False)
            candidates[f"{library} {form}"] = without_gradients(runner, x)
        if size == 1 and not bench.dry and library.startswith("effnet"):
            candidates[f"{library} graph"] = without_gradients(GraphedNetwork(network, bench.device), x)
    return compared(candidates, missing, bench, model, size)


def training(model: str, bench: Bench) -> dict[str, object]:
    """Images per second of forward, backward and update under bfloat16 autocast; peak and saved memory."""
    size = 2 if bench.dry else max(8, BATCHES[model] // 2)
    builds, missing = networks(model, bench.dry)
    x = images(model, bench, size)
    labels = torch.randint(1000, (size,), device=bench.device)
    candidates: dict[str, Work] = {}
    memory: dict[str, dict[str, float]] = {}
    for library, build in builds.items():
        for form, mode in forms(library, bench):
            step, forward = stepper(build().to(bench.device), mode, x, labels)
            name = f"{library} {form}"
            candidates[name] = step
            if not bench.dry:
                good, _ = worked({name: step}, bench.deadline)
                if good:
                    memory[name] = memory_of(step, forward)
    return compared(candidates, missing, bench, model, size) | {"memory_gb": memory}


def stepper(network: nn.Module, mode: str | None, x: Tensor, labels: Tensor) -> tuple[Work, Callable[[], Tensor]]:
    network = network.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, fused=x.is_cuda)
    runner = network if mode is None else torch.compile(network, mode=mode, dynamic=False)

    def forward() -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return nn.functional.cross_entropy(runner(x), labels)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        forward().backward()
        optimizer.step()

    return step, forward


def memory_of(step: Work, forward: Callable[[], Tensor]) -> dict[str, float]:
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    loss = forward()
    saved = torch.cuda.memory_allocated() - before
    del loss
    step()
    return {"peak": round(torch.cuda.max_memory_allocated() / 1e9, 3), "saved": round(saved / 1e9, 3)}


def block(shape: Shape, bench: Bench) -> dict[str, object]:
    """One block, training step and folded inference, torch's operators against ours: rows of the `auto` table."""
    size = 2 if bench.dry else shape.batch
    side = 8 if bench.dry else shape.in_size
    x = torch.randn(size, shape.in_channels, side, side, device=bench.device)
    x = x.contiguous(memory_format=torch.channels_last)
    kind = MBConv if shape.kind == "mbconv" else FusedMBConv
    ratio = shape.squeeze_channels / shape.in_channels
    seconds: dict[str, dict[str, float]] = {"train": {}, "infer": {}}
    work: dict[str, dict[str, Work]] = {"train": {}, "infer": {}}
    for kernels in OURS:
        module = kind(
            shape.in_channels, shape.out_channels, stride=shape.stride, kernel_size=shape.kernel,
            se_ratio=ratio, mid_channels=shape.mid_channels,
        ).to(bench.device).to(memory_format=torch.channels_last)  # fmt: skip
        set_kernels(module, kernels)
        work["train"][kernels] = block_step(module.train(), x)
        folded = fold_norms(module).to(torch.bfloat16)
        if kernels != "triton-maps":  # folded, both are the same
            work["infer"][kernels] = without_gradients(folded, x.bfloat16())
    for phase, candidates in work.items():
        seconds[phase] = bench.medians(candidates)
    device = "dry run" if bench.dry else torch.cuda.get_device_name()
    row = {"device": device, "kind": shape.kind, "kernel": shape.kernel, "stride": shape.stride}
    row |= {"channels": shape.mid_channels, "pixels": shape.batch * shape.in_size**2}
    rows = [
        row | {"phase": phase, "kernels": kernels, "ratio": round(times["torch"] / seconds_of_ours, 3)}
        for phase, times in seconds.items()
        for kernels, seconds_of_ours in times.items()
        if kernels != "torch"
    ]
    return {"shape": shape.name, "rows": rows}


def block_step(module: nn.Module, x: Tensor) -> Work:
    x = x.clone().requires_grad_()

    def step() -> None:
        with torch.autocast(x.device.type, torch.bfloat16):
            y = module(x)
        y.backward(torch.ones_like(y))

    return step


def without_gradients(runner: Callable[[Tensor], Tensor], x: Tensor) -> Work:
    def work() -> Tensor:
        with torch.inference_mode():
            return runner(x)

    return work


def forms(library: str, bench: Bench) -> list[tuple[str, str | None]]:
    """Compiled forms are left out of a dry run; ours compile too, with our operators as they are."""
    if bench.dry:
        return [("eager", None)]
    return [(f, m) for f, m in FORMS.items() if not (library.startswith("effnet-triton") and f == "max-autotune")]


def compared(
    candidates: dict[str, Work], missing: dict[str, str], bench: Bench, model: str, batch: int
) -> dict[str, object]:
    good, failures = worked(candidates, bench.deadline)
    medians = bench.medians(good)
    ours = {n: t for n, t in medians.items() if n.startswith("effnet-triton")}
    peers = {n: t for n, t in medians.items() if not n.startswith("effnet")} or {
        n: t for n, t in medians.items() if n.startswith("effnet-torch")
    }
    result: dict[str, object] = {"model": model, "batch": batch, "missing": missing, "failed": failures}
    result["images_per_second"] = {name: round(batch / value, 1) for name, value in medians.items()}
    if ours and peers:
        mine, theirs = min(ours, key=ours.__getitem__), min(peers, key=peers.__getitem__)
        result |= {"best_ours": mine, "best_peer": theirs, "times_as_fast": round(peers[theirs] / ours[mine], 3)}
    plans = [medians.get(f"effnet-{kernels} eager") for kernels in ("triton-maps", "triton")]
    if plans[0] and plans[1]:
        result["products_times_as_fast_as_maps_only"] = round(plans[0] / plans[1], 3)
    gc.collect()
    torch._dynamo.reset()
    if not bench.dry:
        torch.cuda.empty_cache()
    return result

"""Accuracy per minute: four ways to spend training time on small images that stay on the GPU, three seeds each.

    fixed          every epoch at the final side
    progressive    the side grows from half to the final one
    ramped         progressive, dropout growing with it (V2 section 4.2)
    equal time     fixed, for as many seconds as `progressive` took

Compare within the run only: the images are a folder's JPEGs, resized once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from gpu_timing import Bench
from torch import Tensor, nn

import effnet
from effnet.data.decode import decode
from effnet.data.preprocess import to_pixels
from effnet.data.sources.door import open_dataset
from effnet.preprocessing import Preprocess

ARMS = ("fixed", "progressive", "ramped", "equal time")


def accuracy(data: Path, bench: Bench, kernels: str, epochs: int, side: int, seeds: int) -> list[dict[str, object]]:
    dataset = open_dataset(data)
    train, val = (
        on_device(source, side, bench.device, 64 if bench.dry else None) for source in (dataset.train, dataset.val)
    )
    rows = []
    for seed in range(seeds):
        spent = 0.0
        for arm in ARMS:
            limit = spent if arm == "equal time" else None
            row = trained(arm, train, val, kernels, epochs, side, seed, limit)
            spent = row["seconds"] if arm == "progressive" else spent
            rows.append(row)
            print(row, flush=True)
    return rows


def on_device(source: object, side: int, device: torch.device, limit: int | None) -> tuple[Tensor, Tensor]:
    """Decode every image once to uint8 (N, side, side, 3)."""
    prepared = Preprocess(size=side, crop=1.0)
    count = len(source.labels)  # type: ignore[attr-defined]
    places = range(0, count, 1 if limit is None else max(1, count // limit))  # of every class
    pixels = [torch.tensor(to_pixels(decode(source.read(i)), prepared)) for i in places]  # type: ignore[attr-defined]
    labels = torch.tensor([source.labels[i] for i in places])  # type: ignore[attr-defined]
    return torch.stack(pixels).to(device), labels.to(device)


def trained(
    arm: str,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    kernels: str,
    epochs: int,
    side: int,
    seed: int,
    limit: float | None,
) -> dict[str, object]:
    torch.manual_seed(seed)
    images, labels = train
    network = effnet.create(effnet.find("v2-b0").replace(classes=int(labels.max()) + 1), kernels=kernels)
    network = network.to(images.device).to(memory_format=torch.channels_last)
    batch = min(512, len(images) // 2)
    steps = epochs * (len(images) // batch)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.5 * batch / 512, momentum=0.9, weight_decay=5e-5, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5 * batch / 512, total_steps=steps)
    began = time.perf_counter()
    done = 0
    for done, (x, y) in enumerate(islice(batches(images, labels, batch), steps), 1):
        share = done / steps
        if arm in ("progressive", "ramped"):
            x = F.interpolate(x, size=max(16, round(side * (0.5 + 0.5 * min(share / 0.75, 1)) / 16) * 16))
        if arm == "ramped":
            network.classifier[0].p = 0.1 + 0.3 * share
        network.train()
        with torch.autocast(images.device.type, torch.bfloat16):
            loss = F.cross_entropy(network(x.contiguous(memory_format=torch.channels_last)), y, label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if limit is not None and time.perf_counter() - began >= limit:
            break
    if images.is_cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    return {
        "arm": arm,
        "seed": seed,
        "kernels": kernels,
        "steps": done,
        "seconds": round(seconds, 2),
        "top1": top1(network, val),
    }


def batches(images: Tensor, labels: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled, flipped batches for ever, normalised, (N, 3, side, side)."""
    while True:
        order = torch.randperm(len(images), device=images.device)
        for start in range(0, len(images) - batch + 1, batch):
            chosen = order[start : start + batch]
            x = normalised(images[chosen])
            flip = torch.rand(batch, 1, 1, 1, device=x.device) < 0.5
            yield torch.where(flip, x.flip(3), x), labels[chosen]


def normalised(pixels: Tensor) -> Tensor:
    return (pixels.permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.25


@torch.no_grad()
def top1(network: nn.Module, val: tuple[Tensor, Tensor]) -> float:
    network.eval()
    images, labels = val
    answers = [network(normalised(part)).argmax(1) for part in images.split(512)]
    return round(100 * float((torch.cat(answers) == labels).float().mean()), 2)

"""Is the loader faster than the pipeline everybody writes, and what does its speed do to the pixels?

Plain: a torch `DataLoader` over a data set that opens a file with Pillow, decodes it whole, cuts and resizes the box in
one bicubic `resize(box=...)`, flips, and normalises each image as floats; the default collation stacks them. Ours:
`Loader.batches` and `normalise`. Both draw the same boxes and flips, read the same files and use as many worker
processes, whose start is inside the time. Judging (`to_pixels`) is compared with a plain resize and central crop.

Rounds are interleaved; a ratio is the median of the rounds' ratios, by wall clock and by processor seconds of the
process and its workers, which other programs on the machine disturb less. `threads` is `Loader` with 0 workers.
Bars, on wall clock: at least 1.3 at 224 px and 1.5 at 128 px.

Pixel differences, in levels of 0 to 255, are those of every value of every image against the plain one.

    python benchmarks/loader_throughput.py PHOTOGRAPHS [--rounds 5] [--workers 1 2] [--note "what else was running"]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from machine import describe
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from effnet.data.augment import Augmentation
from effnet.data.loading import Loader, normalise
from effnet.data.randomness import generator
from effnet.data.request import Request
from effnet.preprocessing import Preprocess

RESULTS = Path(__file__).parent / "results" / "loader_throughput.json"
BARS = {224: 1.3, 128: 1.5}
BATCH = 32
SEED = 0
AUGMENTATION = Augmentation()


class Files:
    """The photographs as a source."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.classes = ("photograph",)
        self.labels = np.zeros(len(paths), np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Path:
        return self.paths[index]

    def name(self, index: int) -> str:
        return self.paths[index].name


class Plain(Dataset[Tensor]):
    """One normalised image an item, made with Pillow and numpy alone."""

    def __init__(self, paths: list[Path], preprocess: Preprocess, *, training: bool) -> None:
        self.paths, self.preprocess, self.training = paths, preprocess, training
        self.mean = np.array(preprocess.mean, np.float32)
        self.std = np.array(preprocess.std, np.float32)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        values = np.asarray(self.pixels(index), np.float32) / 255
        return torch.from_numpy(((values - self.mean) / self.std).transpose(2, 0, 1))

    def pixels(self, index: int) -> NDArray[np.uint8]:
        image = Image.open(self.paths[index]).convert("RGB")
        size, side = self.preprocess.size, self.preprocess.resize_to
        if self.training:
            drawn = AUGMENTATION.draw(generator(SEED, 0, index), *image.size, size)
            image = image.resize((size, size), Image.Resampling.BICUBIC, box=drawn.box.edges)
            return np.asarray(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if drawn.flip else image)
        wide, high = (int(side * length / min(image.size)) for length in image.size)
        image = image.resize((wide, high), Image.Resampling.BICUBIC)
        left, top = round((wide - size) / 2), round((high - size) / 2)
        return np.asarray(image.crop((left, top, left + size, top + size)))


def plain(data: Plain, workers: int) -> Iterable[Tensor]:
    return DataLoader(data, batch_size=BATCH, num_workers=workers, prefetch_factor=3 if workers else None)


def ours(paths: list[Path], preprocess: Preprocess, workers: int, *, training: bool) -> Iterable[Tensor]:
    """Yield uint8 (N, H, W, C)."""
    augmentation = AUGMENTATION if training else None
    loader = Loader(Files(paths), preprocess, augmentation=augmentation, seed=SEED, workers=workers)
    starts = range(0, len(paths), BATCH)
    numbers = (tuple(range(start, min(start + BATCH, len(paths)))) for start in starts)
    requests = (Request(epoch=0, indices=indices, image_size=preprocess.size) for indices in numbers)
    yield from (loaded.images for loaded in loader.batches(requests))
    loader.close()


def processor_seconds() -> float:
    """Return what this process and its ended children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(batches: Callable[[], Iterable[Tensor]]) -> tuple[float, float]:
    """Return seconds by wall clock and by processor, to the end of the workers."""
    began, used = time.perf_counter(), processor_seconds()
    for _ in batches():
        pass
    return time.perf_counter() - began, processor_seconds() - used


def compared(
    paths: list[Path], preprocess: Preprocess, workers: int, rounds: int, *, training: bool
) -> dict[str, object]:
    data = Plain(paths, preprocess, training=training)

    def normalised(processes: int) -> Iterable[Tensor]:
        return (normalise(images, preprocess) for images in ours(paths, preprocess, processes, training=training))

    ways: dict[str, Callable[[], Iterable[Tensor]]] = {
        "plain": lambda: plain(data, workers),
        "ours": lambda: normalised(workers),
        "threads": lambda: normalised(0),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        for name in names[number % 3 :] + names[: number % 3]:
            times[name].append(timed(ways[name]))
    pairs = list(zip(times["plain"], times["ours"], strict=True))
    wall = [theirs[0] / own[0] for theirs, own in pairs]
    return {
        "size": preprocess.size,
        "training": training,
        "workers": workers,
        "images_per_second": {
            name: round(len(paths) / statistics.median(wall for wall, _ in t), 1) for name, t in times.items()
        },
        "processor_ms_per_image": {
            name: round(1000 * statistics.median(used for _, used in t) / len(paths), 2) for name, t in times.items()
        },
        "ratio": round(statistics.median(wall), 3),
        "ratio_lowest_and_highest": [round(min(wall), 3), round(max(wall), 3)],
        "processor_ratio": round(statistics.median(theirs[1] / own[1] for theirs, own in pairs), 3),
        "bar": BARS.get(preprocess.size) if training else None,
    }


def differences(paths: list[Path], preprocess: Preprocess, *, training: bool) -> dict[str, object]:
    """Return how far our pixels are from the plain ones."""
    data = Plain(paths, preprocess, training=training)
    counts = np.zeros(256, np.int64)
    worst_mean, same, index = 0.0, 0, 0
    for images in ours(paths, preprocess, 0, training=training):
        for image in images.numpy():
            levels = np.abs(image.astype(np.int16) - data.pixels(index))
            counts += np.bincount(levels.reshape(-1), minlength=256)
            worst_mean, same, index = max(worst_mean, float(levels.mean())), same + (not levels.any()), index + 1
    share = counts.cumsum() / counts.sum()
    return {
        "size": preprocess.size,
        "training": training,
        "mean": round(float((counts * np.arange(256)).sum() / counts.sum()), 3),
        "p99": int(np.searchsorted(share, 0.99)),
        "max": int(np.flatnonzero(counts)[-1]),
        "largest_mean_of_an_image": round(worst_mean, 2),
        "identical_images": round(same / len(paths), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--note", default="")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(path for path in arguments.photographs.iterdir() if path.suffix.lower() in (".jpeg", ".jpg"))
    kinds = [(Preprocess(size=size), training) for size, training in ((224, True), (128, True), (224, False))]
    rows = []
    load = os.getloadavg()[0]
    for preprocess, training in kinds:
        for workers in arguments.workers:
            rows.append(compared(paths, preprocess, workers, arguments.rounds, training=training))
            print(rows[-1], flush=True)
    result = {
        "what": "our loader against a plain Pillow pipeline, ratio = plain's time over ours",
        "images": len(paths),
        "batch": BATCH,
        "rounds": arguments.rounds,
        "machine": describe("torch", "pillow", "numpy"),
        "load_before": round(load, 2),
        "note": arguments.note,
        "throughput": rows,
        "pixel_differences": [differences(paths, preprocess, training=training) for preprocess, training in kinds],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result["pixel_differences"], indent=2))


if __name__ == "__main__":
    main()

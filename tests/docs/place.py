"""The folder and the stand-ins with which every page is run: the same code on small data, in seconds.

What is replaced, and nothing else:

- `photos/` and the single photographs that pages name are small drawn images of three classes;
- weights that would be downloaded are random numbers of the right shapes;
- a training lasts one epoch at 32 px with a batch of 4.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import effnet
from effnet.nn import build
from effnet.training import fit as fitting
from effnet.training.recipe import Recipe
from effnet.weights import layouts, store
from effnet.weights.published import PublishedWeights
from tests.tiny import save_tiny_model

CLASSES = ("ant", "bee", "cat")
PARTS = {"train": 5, "val": 7, "test": 3}
SINGLES = ("photo.jpg", "new.jpg", "cat.jpg", "dog.jpg", "image.jpg")
BUNDLE = "model.onnx"
SIDE, EPOCHS, BATCH = 32, 1, 4


def draw(label: int, seed: int, side: int = 96) -> Image.Image:
    """Return a small picture of a class: a disc, a square or a cross in its own colour, somewhere on a noisy ground."""
    rng = np.random.default_rng((label, seed))
    image = Image.fromarray(rng.integers(0, 90, (side, side, 3), dtype=np.uint8))
    pen = ImageDraw.Draw(image)
    x, y = (int(v) for v in rng.integers(8, side // 2, 2))
    size = side // 3
    colour = tuple(220 if channel == label else 60 for channel in range(3))
    if label == 0:
        pen.ellipse((x, y, x + size, y + size), fill=colour)
    elif label == 1:
        pen.rectangle((x, y, x + size, y + size), fill=colour)
    else:
        pen.line((x, y, x + size, y + size), fill=colour, width=8)
        pen.line((x, y + size, x + size, y), fill=colour, width=8)
    return image


def furnish(folder: Path) -> None:
    """Put into `folder` what the pages take for granted."""
    for part, count in PARTS.items():
        for label, name in enumerate(CLASSES):
            for number in range(count):
                path = folder / "photos" / part / name / f"{name}_{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                draw(label, 100 * len(part) + number).save(path)
    for number, name in enumerate(SINGLES):
        draw(number % 3, 900 + number).save(folder / name)
    save_tiny_model(folder / "model.safetensors")


def furnish_bundle(path: Path) -> None:
    """Export the tiny model, for pages that begin with a bundle."""
    from effnet.cli import main

    try:
        main(["export", "model.safetensors", "--output", str(path)])
    except SystemExit as stop:
        assert not stop.code


def shrink(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Install the stand-ins."""
    monkeypatch.setattr(store, "fetch", functools.partial(random_weights, cache, store.fetch))
    whole = fitting.fit

    def small_fit(data: Any, recipe: Any = None, **keywords: Any) -> Any:
        small: dict[str, Any] = {
            "epochs": EPOCHS,
            "resolution": SIDE,
            "batch": {"size": BATCH},
            "transfer": {"head_epochs": 0},
        }
        if isinstance(recipe, Recipe):
            recipe, small = _smaller(recipe), {}
        for name, value in small.items():
            given = keywords.get(name)
            keywords[name] = {**given, **value} if isinstance(given, dict) else value
        return whole(data, recipe, **{"device": "cpu", **keywords})

    monkeypatch.setattr(fitting, "fit", small_fit)
    monkeypatch.setattr(effnet, "fit", small_fit)


def _smaller(recipe: Recipe) -> Recipe:
    batch = dataclasses.replace(recipe.batch, size=BATCH)
    transfer = dataclasses.replace(recipe.transfer, head_epochs=0)
    return dataclasses.replace(recipe, epochs=EPOCHS, resolution=SIDE, batch=batch, transfer=transfer)


def random_weights(cache: Path, fetch: Any, weights: PublishedWeights, **keywords: Any) -> Path:
    """Return a file like that of `weights` with random numbers in it; packages that are installed are read."""
    if weights.package is not None:
        path: Path = fetch(weights, **keywords)
        return path
    path = cache / f"{weights.tag}.pth"
    if not path.exists():
        network = build(weights.network)
        layout = weights.layout if weights.layout in ("torchvision", "timm", "lukemelas") else "torchvision"
        torch.save(layouts.from_native(network.state_dict(), network.spec, layout), path)
    return path

"""A short run with everything on, and how its outcome is compared."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from effnet.training.recipe import Recipe

RECIPE = Recipe.from_dict(
    {
        "epochs": 4,
        "lr": 0.05,
        "resolution": 32,
        "batch": {"size": 8},
        "schedule": {"decay": "cosine", "warmup_epochs": 0.5},
        "augmentation": {"crop_area": 0.5, "policy": "randaugment", "magnitude": 8, "mixup": 0.2, "cutmix": 0.2},
        "regularisation": {"dropout": 0.3, "drop_path": 0.2},
        "progressive": {"stages": 3, "image_size": 16, "multiple": 8, "batch_scale": 1.5},
        "optimizer": {"clip_norm": 1.0, "layer_decay": 0.9},
        "precision": {"dtype": "float32"},
    }
)


def digest(value: Any) -> str:
    """Hash nested state with every bit of it; wall-clock seconds aside."""
    hasher = hashlib.sha256()

    def add(key: str, part: Any) -> None:
        if key in ("seconds", "stage_costs"):
            return
        hasher.update(key.encode())
        if isinstance(part, Tensor):
            hasher.update(part.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(part, dict):
            for name in sorted(part, key=str):
                add(str(name), part[name])
        else:
            hasher.update(repr(part).encode())

    add("", value)
    return hasher.hexdigest()


def frozen(value: Any) -> Any:
    """Copy nested state, as writing and reading a checkpoint does."""
    if isinstance(value, Tensor):
        return value.detach().clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {name: frozen(part) for name, part in value.items()}
    return list(value) if isinstance(value, list) else value

"""What a recipe leaves open, decided by the data and the device, each with its reason.

Whatever the person has set stays. A decision is a sentence that can be disputed, not a constant hidden in a loop.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from effnet.available_memory import available_memory
from effnet.cost import cost
from effnet.data.facts import median_side
from effnet.data.sampling import IMBALANCED, Sampling
from effnet.data.source import Dataset
from effnet.errors import EffnetError, UnknownNameError
from effnet.families import catalog
from effnet.guide.default_network import default_network
from effnet.quantities import size_text
from effnet.spec import NetworkSpec
from effnet.training import catalog as recipes
from effnet.training.events import Decision
from effnet.training.forward import require_precision
from effnet.training.recipe import Recipe
from effnet.training.score import Chooser
from effnet.training.starting_recipe import PLAIN, starting_recipe
from effnet.weights import published, store

_TINY = 64
"""Pixels: the median shorter side below which images hold too little for a network's own resolution."""

_SIGNS = 16
"""Pixels of a side up to which images are signs rather than photographs."""

_MEMORY_SHARE = 0.6
"""Of the available memory that a batch may take: the closed form leaves out workspaces and the allocator's slack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A recipe without open settings, its network, and why they are so."""

    recipe: Recipe
    spec: NetworkSpec
    decisions: tuple[Decision, ...]


def decide(
    recipe: Recipe | None,
    dataset: Dataset,
    *,
    device: torch.device,
    spec: NetworkSpec | None = None,
    memory_bytes: int | None = None,
    processes: int = 1,
    settings: dict[str, Any] | None = None,
) -> Decided:
    """Return the recipe with everything decided.

    Args:
        recipe: None: chosen by the data.
        dataset: to train on.
        device: to train on.
        spec: the network, if not the one that the recipe names.
        memory_bytes: available on the device; None: asked of it.
        processes: that share the batch.
        settings: changes to the recipe, as `Recipe.from_dict` takes them.

    Raises:
        EffnetError: a setting is impossible, or the model unknown.
    """
    side, images = median_side(dataset.train), len(dataset.train)
    recipe, notes = starting_recipe(recipe, spec, settings, tiny=side <= _TINY)
    open_ = _Open(recipe=recipe, notes=notes)
    _suited_to_images(open_, dataset, side)
    _suited_to_balance(open_, dataset)
    if spec is None and open_.recipe.model is None:
        changed, reason = _with_model(open_.recipe, images, device)
        open_.decide("model", changed.model, reason, changed)
    network = spec or network_of(open_.recipe)
    open_.recipe = dataclasses.replace(open_.recipe, model=network.name)
    if open_.recipe.resolution is None:
        size = network.train_resolution or network.resolution
        reason = "the network's own"
        if side <= _TINY:
            size = min(size, 96 if side > 16 else 64)
            reason = f"images of {side} px hold no more; enlarged this far, the network's weights still see shapes"
        open_.decide("resolution", f"{size} px", reason, dataclasses.replace(open_.recipe, resolution=size))
    _suited_to_arithmetic(open_, device)
    if open_.recipe.batch.size is None:
        free = free_memory(device) if memory_bytes is None else memory_bytes
        size, reason = _batch(network, open_.recipe, images, device, free)
        size *= processes
        batch = dataclasses.replace(open_.recipe.batch, size=size)
        open_.decide("batch.size", size, reason, dataclasses.replace(open_.recipe, batch=batch))
    return Decided(recipe=open_.recipe, spec=network, decisions=tuple(open_.notes))


@dataclass(slots=True, kw_only=True)
class _Open:
    """A recipe on its way to having no open settings."""

    recipe: Recipe
    notes: list[Decision]

    def decide(self, setting: str, value: object, reason: str, recipe: Recipe) -> None:
        """Take the changed recipe, and note what is changed and why."""
        self.recipe = recipe
        self.notes.append(Decision(setting=setting, value=str(value), reason=reason))


def _suited_to_images(open_: _Open, dataset: Dataset, side: int) -> None:
    plain, recipe = recipes.find(PLAIN), open_.recipe  # what somebody has changed in it is left as they want it
    known = recipe.name in (PLAIN, "scratch", "small")
    if dataset.name == "digits" and known and recipe.augmentation == recipes.find(recipe.name).augmentation:
        part = dataclasses.replace(recipe.augmentation, flip=0.0, crop="whole")
        reason = "a mirrored or cut digit is another sign"
        open_.decide("augmentation", "flip=0 crop=whole", reason, dataclasses.replace(recipe, augmentation=part))
    recipe = open_.recipe
    if side <= _SIGNS and recipe.name == plain.name and recipe.optimizer == plain.optimizer:
        part_of = dataclasses.replace(recipe.optimizer, layer_decay=1.0)
        recipe = dataclasses.replace(recipe, optimizer=part_of, lr=0.02 if recipe.lr == plain.lr else recipe.lr)
        reason = f"images of {side} px look like nothing in ImageNet, so the lower layers must learn as well"
        open_.decide("optimizer", f"layer_decay=1 lr={recipe.lr:g}", reason, recipe)


def _suited_to_balance(open_: _Open, dataset: Dataset) -> None:
    """Decide how often each class is drawn and what the best network is chosen by."""
    recipe, classes = open_.recipe, dataset.train.classes
    counts = np.bincount(dataset.train.labels, minlength=len(classes))
    filled = np.flatnonzero(counts)
    least, most = (int(pick(counts[filled])) for pick in (np.min, np.max))
    uneven = most >= IMBALANCED * least
    small = classes[int(filled[np.argmin(counts[filled])])]
    told = f"the largest class has {most} images, {small} {least}"
    if recipe.batch.sampling == "auto":
        sharded = getattr(dataset.train, "shards", None) is not None
        sampling: Sampling = "balanced" if uneven and not sharded else "natural"
        recipe = dataclasses.replace(recipe, batch=dataclasses.replace(recipe.batch, sampling=sampling))
        if not uneven:
            open_.recipe = recipe
        elif sharded:
            reason = f"{told}, but shards are read in their order: rare classes may never be answered"
            open_.decide("batch.sampling", sampling, reason, recipe)
        else:
            reason = f"{told}: every class is drawn equally often, or the small ones would never be answered"
            open_.decide("batch.sampling", sampling, reason, recipe)
    elif uneven and recipe.batch.sampling == "natural":
        reason = f"as you set it; {told}, so the small ones may never be answered (balanced draws all equally often)"
        open_.decide("batch.sampling", "natural", reason, recipe)
    if open_.recipe.judged_by == "auto":
        judged: Chooser = "mean_of_classes" if uneven else "top1"
        recipe = dataclasses.replace(open_.recipe, judged_by=judged)
        if not uneven:
            open_.recipe = recipe
        else:
            reason = f"{told}: by top-1 a network that always answers the largest would be chosen"
            open_.decide("judged_by", judged, reason, recipe)


def _suited_to_arithmetic(open_: _Open, device: torch.device) -> None:
    recipe = open_.recipe
    if recipe.precision.dtype == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        precision = dataclasses.replace(recipe.precision, dtype="bfloat16" if fast else "float32")
        reason = "GPUs that have it are fast at it"
        if not fast:
            reason = "exact everywhere; whether bfloat16 is faster here is not known (--set precision.dtype=bfloat16)"
        open_.decide("precision.dtype", precision.dtype, reason, dataclasses.replace(recipe, precision=precision))
    require_precision(device, open_.recipe.precision.dtype)


def network_of(recipe: Recipe) -> NetworkSpec:
    """Return the network that a recipe names, with the stem it asks for.

    Raises:
        UnknownNameError: there is none of that name.
    """
    network = catalog.find(str(recipe.model))
    if recipe.stem_stride is not None:
        network = network.replace(stem=dataclasses.replace(network.stem, stride=recipe.stem_stride))
    return network


def largest_batch(spec: NetworkSpec, resolution: int, memory_bytes: int, dtype: str = "float32") -> int:
    """Return the largest batch whose training needs at most `memory_bytes`, by the closed form; 0 if not even 1 does.

    Args:
        dtype: of the forward and backward pass.
    """
    kind: Any = dtype if dtype in ("float32", "bfloat16", "float16") else "float32"
    # What a batch needs grows linearly: weights and optimizer once, activations for each image.
    one, two = (cost(spec, resolution=resolution, batch=n, dtype=kind).total_training_bytes or 0 for n in (1, 2))
    if one > memory_bytes:
        return 0
    return 1 + (memory_bytes - one) // max(1, two - one)


def free_memory(device: torch.device) -> int:
    """Return the bytes of memory of the device that this process may still take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def default_workers(device: torch.device) -> int:
    """Return how many loader processes suit the machine: none on a CPU, where threads share it with the network."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.type == "cpu" else max(1, min(16, cores - 1))


def _with_model(recipe: Recipe, images: int, device: torch.device) -> tuple[Recipe, str]:
    name, reason = default_network(images, accelerator=device.type != "cpu")
    reason += "; effnet recommend --data DATA weighs accuracy and your limits"
    if recipe.weights == "imagenet" and not _is_at_hand(name) and store.is_offline():
        at_hand = [known for known in catalog.names() if _is_at_hand(known)]
        if at_hand:
            name, reason = at_hand[0], "its weights are here, and downloading is switched off"
    return dataclasses.replace(recipe, model=name), reason


def _is_at_hand(name: str) -> bool:
    try:
        return store.is_here(published.default(name))
    except (UnknownNameError, EffnetError):
        return False


def _batch(spec: NetworkSpec, recipe: Recipe, images: int, device: torch.device, memory: int) -> tuple[int, str]:
    assert recipe.resolution is not None
    fits = largest_batch(spec, recipe.resolution, int(memory * _MEMORY_SHARE), recipe.precision.dtype)
    # Small steps generalise on small data and many of them are needed; large ones only feed an accelerator.
    useful = 32 if device.type == "cpu" else 256
    wanted = min(useful, max(8, images // 6))
    size = 1 << (max(1, min(wanted, fits)).bit_length() - 1)
    if size < wanted and fits < wanted:
        return size, f"what {size_text(memory)} of available memory holds"
    return size, f"{fits} would fit; {images} images and this device need no more"

"""The order in which an epoch visits the images: a pure function of the seed and the epoch.

Nothing is remembered between epochs, so a run that is resumed, or watched by another number of loader processes, sees
the same images in the same order.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from effnet.data.randomness import Purpose, generator
from effnet.errors import InputError

Sampling = Literal["natural", "balanced"]

IMBALANCED = 5
"""Times that the largest class has more images than the smallest from which a network learns to leave the small ones
out: they cost it little loss."""

_WINDOW = 8
"""Shards whose images are shuffled together: enough to mix, few enough to lie on a small disk at once."""


def epoch_order(
    labels: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    sampling: Sampling = "natural",
    shards: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return (N,) numbers of images, in the order of one epoch over N images.

    Args:
        labels: (N,) class of each image.
        seed: of the run.
        epoch: from 0.
        sampling: `natural` visits every image once; `balanced` draws each class equally often (within one), repeating
            the images of rare classes and leaving out some of the others, different ones each epoch.
        shards: (S,) number of the first image of each shard, from 0, for data that is read shard by shard: shards are
            visited in a random order, and only images of a few neighbours in that order are mixed.

    Raises:
        InputError: no images, or balanced sampling of shards, which would need all of them at once.
    """
    if not len(labels):
        raise InputError("no images", where="labels", fix="give at least one")
    rng = generator(seed, epoch, purpose=Purpose.ORDER)
    if sampling == "balanced":
        if shards is not None:
            fix = "use natural sampling, or balance the shards when they are written"
            raise InputError("shards cannot be sampled by class", where="batch.sampling", fix=fix)
        return _balanced(labels, rng)
    if shards is None:
        return rng.permutation(len(labels))
    edges = np.append(shards, len(labels))
    visits = rng.permutation(len(shards))
    windows = (visits[start : start + _WINDOW] for start in range(0, len(visits), _WINDOW))
    mixed = (np.concatenate([np.arange(edges[s], edges[s + 1]) for s in window]) for window in windows)
    return np.concatenate([rng.permutation(images) for images in mixed])


def _balanced(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    present = np.unique(labels)
    wanted = np.full(len(present), len(labels) // len(present))
    # Which classes get one more is random too, so that over the epochs all get as many.
    wanted[rng.permutation(len(present))[: len(labels) % len(present)]] += 1
    drawn = []
    for label, count in zip(present, wanted, strict=True):
        images = np.flatnonzero(labels == label)
        whole = [rng.permutation(images) for _ in range(-(-int(count) // len(images)))]
        drawn.append(np.concatenate(whole)[:count] if whole else images[:0])
    return rng.permutation(np.concatenate(drawn))

"""Parts of a source: some of its images, and the split into images to learn from and to judge by."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effnet.data.source import Dataset, Source
from effnet.errors import InputError


class SubSource:
    """Some images of another source, in the order given."""

    def __init__(self, source: Source, indices: NDArray[np.int64]) -> None:
        self._source = source
        self._indices = np.asarray(indices, np.int64)
        self.classes = source.classes
        self.labels = np.asarray(source.labels)[self._indices]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._indices)

    def read(self, index: int) -> bytes | Path:
        """Return the image's file or content."""
        return self._source.read(int(self._indices[index]))

    def name(self, index: int) -> str:
        """Return what to call the image."""
        return self._source.name(int(self._indices[index]))


def per_class(dataset: Dataset, *, train: int | None = None, val: int | None = None) -> Dataset:
    """Return the dataset with at most so many images of each class, the first ones; None keeps all.

    Raises:
        InputError: not a positive number.
    """

    def part(source: Source, most: int) -> Source:
        chosen = [np.flatnonzero(np.asarray(source.labels) == label)[:most] for label in range(len(source.classes))]
        return SubSource(source, np.sort(np.concatenate(chosen)))

    for name, number in (("train", train), ("val", val)):
        if number is not None and number < 1:
            raise InputError(f"{number} images of a class", where=name, fix="give 1 or more")
    return dataclasses.replace(
        dataset,
        train=dataset.train if train is None else part(dataset.train, train),
        val=dataset.val if val is None or dataset.val is None else part(dataset.val, val),
    )


def with_validation(dataset: Dataset, *, seed: int, share: float) -> Dataset:
    """Return the dataset with a `val` part: its own, or a share of the images to train on.

    The share is taken class by class, at least one image of each class that has two. Which images it takes is decided
    by a hash of the seed and the image's name, so that images added later do not move those that are there, and a run
    that is resumed finds the same split.

    Raises:
        InputError: the share is not between 0 and 1, or no class has two images.
    """
    if dataset.val is not None:
        return dataset
    if not 0 < share < 1:
        raise InputError(f"a share of {share}", where="val_share", fix="give a number between 0 and 1")
    source = dataset.train
    scores = np.array([_score(seed, source.name(index)) for index in range(len(source))], np.uint64)
    judged = np.zeros(len(source), bool)
    for label in range(len(source.classes)):
        images = np.flatnonzero(np.asarray(source.labels) == label)
        if len(images) > 1:
            count = min(len(images) - 1, max(1, round(share * len(images))))
            judged[images[np.argsort(scores[images], kind="stable")[:count]]] = True
    if not judged.any():
        fix = "give at least two images of each class, or a val part"
        raise InputError("no class has two images, so none can be kept for judging", where=dataset.name, fix=fix)
    train, val = SubSource(source, np.flatnonzero(~judged)), SubSource(source, np.flatnonzero(judged))
    return dataclasses.replace(dataset, train=train, val=val)


def _score(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed} {name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")

"""Parts of a source: some of its images, and the split into images to learn from and to judge by."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effnet.data.source import Dataset, Remark, Source, counted
from effnet.errors import InputError


class SubSource:
    """Some images of another source, in the order given.

    Attributes:
        groups: of each image, what it shares with those that must stay in one part; None: nothing.
    """

    def __init__(self, source: Source, indices: NDArray[np.int64]) -> None:
        self._source = source
        self._indices = np.asarray(indices, np.int64)
        self.classes = source.classes
        self.labels = np.asarray(source.labels)[self._indices]
        groups: tuple[str, ...] | None = getattr(source, "groups", None)
        self.groups = None if groups is None else tuple(groups[int(index)] for index in self._indices)

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
    that is resumed finds the same split. Where images come in groups, such as several of one patient, whole groups are
    taken, so that none is in both parts.

    Raises:
        InputError: the share is not between 0 and 1, or no class has two images.
    """
    if dataset.val is not None:
        return dataset
    if not 0 < share < 1:
        raise InputError(f"a share of {share}", where="val_share", fix="give a number between 0 and 1")
    source = dataset.train
    groups: tuple[str, ...] | None = getattr(source, "groups", None)
    judged = _images(source, seed, share) if groups is None else _groups(source, groups, seed, share)
    if not judged.any():
        fix = "give at least two images of each class, or a val part"
        what = "no class has two images, so none can be kept for judging"
        if groups is not None:
            what, fix = "no group can be kept for judging without a class being lost", "give a column split"
            fix += ", or say that images share nothing: TABLE:group=none"
        raise InputError(what, where=dataset.name, fix=fix)
    train, val = SubSource(source, np.flatnonzero(~judged)), SubSource(source, np.flatnonzero(judged))
    remarks = dataset.remarks
    if groups is not None:
        kept = len({groups[index] for index in np.flatnonzero(judged)})
        what = f"{counted(len(val), 'image')} of {kept} of {counted(len(set(groups)), 'group')} are kept for judging"
        remarks = (*remarks, Remark("note", "groups", what, "nothing, or give a column split"))
    return dataclasses.replace(dataset, train=train, val=val, remarks=remarks)


def _images(source: Source, seed: int, share: float) -> NDArray[np.bool_]:
    """Return (N,) which images are judged: a share of each class."""
    scores = np.array([_score(seed, source.name(index)) for index in range(len(source))], np.uint64)
    judged = np.zeros(len(source), bool)
    for label in range(len(source.classes)):
        images = np.flatnonzero(np.asarray(source.labels) == label)
        if len(images) > 1:
            count = min(len(images) - 1, max(1, round(share * len(images))))
            judged[images[np.argsort(scores[images], kind="stable")[:count]]] = True
    return judged


def _groups(source: Source, groups: tuple[str, ...], seed: int, share: float) -> NDArray[np.bool_]:
    """Return (N,) which images are judged: whole groups, about a share of each class, none of which is used up.

    Groups are visited in the order of their hashes. One is taken where it brings more images that are still wanted than
    others; then, for a class of which there is none yet, the smallest that has it.
    """
    labels = np.asarray(source.labels)
    names, members = np.unique(np.array(groups, object).astype(str), return_inverse=True)
    held = np.zeros((len(names), len(source.classes)), np.int64)  # images of each class in each group
    np.add.at(held, (members, labels), 1)
    total = held.sum(axis=0)
    wanted = np.where(total > 1, np.maximum(1, np.round(share * total)), 0)
    taken = np.zeros(len(source.classes), np.int64)
    chosen = np.zeros(len(names), bool)
    order = sorted(range(len(names)), key=lambda number: _score(seed, str(names[number])))

    def take(number: int) -> None:
        nonlocal taken
        taken = taken + held[number]
        chosen[number] = True

    def leaves_all(number: int) -> bool:
        return bool(((taken + held[number] < total) | (held[number] == 0)).all())

    for number in order:
        gain = np.minimum(held[number], np.maximum(wanted - taken, 0)).sum()
        if 2 * gain > held[number].sum() and leaves_all(number):
            take(number)
    for label in range(len(source.classes)):
        able = [n for n in order if not chosen[n] and held[n, label] and leaves_all(n)]
        if not taken[label] and able:
            take(min(able, key=lambda number: int(held[number].sum())))
    judged: NDArray[np.bool_] = chosen[members]
    return judged


def _score(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed} {name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")

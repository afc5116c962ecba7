"""Labelled images that can be opened by number: what every kind of data becomes before training sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray


class Source(Protocol):
    """N labelled images.

    Implementations are cheap to pickle, because loader processes get a copy, and read nothing but what is asked for.

    Attributes:
        classes: names of the classes, in the order of their numbers.
        labels: (N,) class number of each image.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def read(self, index: int) -> bytes | Path:
        """Return what `decode` takes: a file, or its content.

        Raises:
            ImageError: the image cannot be had.
        """
        ...

    def name(self, index: int) -> str:
        """Return what to call the image when talking to people, such as its path within the data."""
        ...


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say of the data as it was found, before any image is opened.

    Attributes:
        severity: an `error` means that images are lost or answers will be wrong, a `warning` that they may be.
        kind: a short name for scripts.
        what: in words, with numbers.
        fix: what to do.
        names: the files concerned.
    """

    severity: Literal["error", "warning", "note"]
    kind: str
    what: str
    fix: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """The images of one task.

    Attributes:
        name: what the person called it.
        train: to learn from; empty only where the data was opened to judge by.
        val: to judge by during training; None when the data has no such part.
        test: to judge by at the end; None likewise.
        remarks: what is to be said of how the data was read: files left out, columns guessed.
    """

    name: str
    train: Source
    val: Source | None = None
    test: Source | None = None
    remarks: tuple[Remark, ...] = ()


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return `1 image`, `2 images`; `many` is what several are called where an s does not do."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"

"""Which part and class an image belongs to, by its path within the data: `train/ant/1.jpg`, `ant/1.jpg`."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from effnet.data.source import Dataset, Source
from effnet.errors import InputError

Part = Literal["train", "val", "test"]

PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Names of the formats that `decode` reads. Other files lie beside images for other purposes."""

_PLACEHOLDERS = ("imagenotfound", "image_not_found", "placeholder")


@dataclass(frozen=True, slots=True)
class Placed:
    """An image and where it belongs.

    Attributes:
        key: what the source opens it by: a path within the data.
    """

    key: str
    part: Part
    label: str


def is_image(path: str) -> bool:
    """Whether a file counts as an image: by its suffix, unless hidden or a download's placeholder by its name."""
    name = PurePosixPath(path).name.lower()
    stem = name.rpartition(".")[0]
    return name.endswith(SUFFIXES) and not name.startswith(".") and stem not in _PLACEHOLDERS


def placed(paths: Sequence[str], *, where: str) -> list[Placed]:
    """Return where each image path belongs; `where` names the data in errors.

    Directories may be CLASS or PART/CLASS, all of them possibly under one further directory; what is deeper in a class
    belongs to it.

    Raises:
        InputError: images outside class directories, classes that differ in case or Unicode form only, or no images.
    """
    if not paths:
        raise InputError("no images in it", where=where, fix=f"files named {', '.join(SUFFIXES[:5])}, ... are images")
    split = [PurePosixPath(path).parts for path in paths]
    depth = _wrapping(split)
    parts = {directories[depth].lower() for directories in split if len(directories) > depth + 1}
    in_parts = bool(parts) and all(name in PARTS for name in parts)
    depth += in_parts
    found = []
    for path, directories in zip(paths, split, strict=True):
        if len(directories) < depth + 2:
            fix = "put each image in a folder named after its class: DATA/CLASS/image.jpg or DATA/train/CLASS/image.jpg"
            raise InputError("an image that is in no class folder", where=f"{where}: {path}", fix=fix)
        part = PARTS[directories[depth - 1].lower()] if in_parts else "train"
        found.append(Placed(path, part, directories[depth]))
    _require_distinct(sorted({image.label for image in found}), where)
    return found


def assembled(
    name: str, images: Sequence[Placed], source: Callable[[tuple[str, ...], list[Placed]], Source]
) -> Dataset:
    """Return the dataset of placed images; `source` makes one part's source from the classes and its images.

    Classes are numbered in the order of their names, numbers in them by value (2 before 10).

    Raises:
        InputError: nothing to train on, or a class to judge that is not trained on.
    """
    parts: dict[Part, list[Placed]] = {part: [i for i in images if i.part == part] for part in ("train", "val", "test")}
    if not parts["train"]:
        raise InputError("no images to train on", where=name, fix="name the folder of training images train")
    classes = tuple(sorted({image.label for image in parts["train"]}, key=natural))
    if len(classes) < 2:
        raise InputError(
            f"only one class ({classes[0]})", where=name, fix="give a folder for each of two classes or more"
        )
    for part in ("val", "test"):
        strange = sorted({image.label for image in parts[part]} - set(classes))
        if strange:
            what = f"{part} has classes that train has not: {', '.join(strange[:5])}"
            raise InputError(what, where=name, fix="name the class folders alike in every part")
    made = {part: source(classes, members) if members else None for part, members in parts.items()}
    train = made["train"]
    assert train is not None
    return Dataset(name, train, made["val"], made["test"])


def labels_of(classes: tuple[str, ...], images: Sequence[Placed]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return (N,) the class number of each image."""
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[image.label] for image in images], np.int64)


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key in which numbers count by their value."""
    pieces: list[tuple[int, int, str]] = []
    digits = ""
    for character in f"{text}\0":
        if character.isascii() and character.isdigit():
            digits += character
            continue
        if digits:
            pieces.append((0, int(digits), digits))
            digits = ""
        pieces.append((1, 0, character))
    return tuple(pieces)


def _wrapping(split: list[tuple[str, ...]]) -> int:
    """Return how many directories hold everything and are no class: an archive's or download's own folder."""
    depth = 0
    while all(len(parts) > depth + 2 for parts in split) and len({parts[depth] for parts in split}) == 1:
        if split[0][depth].lower() in PARTS:
            break
        depth += 1
    return depth


def _require_distinct(labels: list[str], where: str) -> None:
    seen: dict[str, str] = {}
    for label in labels:
        folded = unicodedata.normalize("NFC", label).casefold()
        if folded in seen:
            what = f"class folders {seen[folded]!r} and {label!r} differ only in case or Unicode form"
            raise InputError(what, where=where, fix="join them under one name")
        seen[folded] = label

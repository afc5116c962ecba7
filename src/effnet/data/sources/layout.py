"""Which part and class an image belongs to, by its path within the data: `train/ant/1.jpg`, `ant/1.jpg`."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from effnet.data.source import Dataset, Remark, Source, counted
from effnet.errors import InputError

Part = Literal["train", "val", "test"]

PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "develop": "val",
    "development": "val",
    "eval": "val",
    "evaluation": "val",
    "test": "test",
    "testing": "test",
    "holdout": "test",
    "hold_out": "test",
    "held_out": "test",
    "heldout": "test",
    "publictest": "val",
    "privatetest": "test",
}
"""Names of folders, shards, splits and values of a column, in lower case; `part_of` knows more forms of them."""

_NO_CLASS = (
    "unknown",
    "unlabelled",
    "unlabeled",
    "images",
    "image",
    "imgs",
    "img",
    "all",
    "none",
    "pictures",
    "photos",
)
"""Names of the only directory within a part that say that its images have no class."""

_ENDINGS = re.compile(r"[_\- ]?(?:set|images?|imgs?|data|split|part|folder)$")
"""What is appended to a part's name: `training_set`, `test_images`."""


def part_of(name: str) -> Part | None:
    """Return the part that a name stands for: `Train`, `hold-out`, `training_set`; None for any other name."""
    lowered = name.strip().lower().replace("-", "_").replace(" ", "_")
    return PARTS.get(lowered) or PARTS.get(_ENDINGS.sub("", lowered))


def parts_of(names: Iterable[str]) -> dict[str, Part]:
    """Return the part of each name that stands for one.

    `eval` beside another validation part is the test part, as it is in speech and in ImageNet's variants.
    """
    found = {name: part for name in names if (part := part_of(name)) is not None}
    judged = {name for name, part in found.items() if part == "val" and not name.lower().startswith("eval")}
    if judged and "test" not in found.values():
        found |= {name: "test" for name in found if name.lower().startswith("eval")}
    return found


@dataclass(frozen=True, slots=True)
class Placed:
    """An image and where it belongs.

    Attributes:
        key: what the source opens it by: a path within the data.
    """

    key: str
    part: Part
    label: str


def placed(paths: Sequence[str], *, where: str) -> tuple[list[Placed], tuple[Remark, ...]]:
    """Return where each image path belongs, and what is to be said of it; `where` names the data in errors.

    Directories may be CLASS or PART/CLASS, all of them possibly under one further directory; what is deeper in a class
    belongs to it. A validation or test part without class directories, which competitions have, is left out and said.

    Raises:
        InputError: images outside class directories, classes that differ in case or Unicode form only, parts beside
            directories that are none, or no images.
    """
    if not paths:
        raise InputError("no images in it", where=where, fix="give files such as .jpg, .png, .webp, .avif, .tif")
    split = [PurePosixPath(path).parts for path in paths]
    depth = _wrapping(split)
    tops = {directories[depth] for directories in split if len(directories) > depth + 1}
    parts = parts_of(tops)
    in_parts = bool(tops) and len(parts) == len(tops)
    if not in_parts:
        _require_no_parts(split, depth, tops, parts, where)
    if in_parts:
        split = _once(split, depth, parts)
    unlabelled = _unlabelled(split, depth, parts) if in_parts else {}
    depth += in_parts
    found = []
    for path, directories in zip(paths, split, strict=True):
        if in_parts and len(directories) > depth and directories[depth - 1] in unlabelled:
            continue
        if len(directories) < depth + 2:
            fix = "put each image in a folder named after its class: DATA/CLASS/image.jpg or DATA/train/CLASS/image.jpg"
            raise InputError("an image that is in no class folder", where=f"{where}: {path}", fix=fix)
        part = parts[directories[depth - 1]] if in_parts else "train"
        found.append(Placed(path, part, directories[depth]))
    _require_distinct(sorted({image.label for image in found}), where)
    doubted = () if in_parts else tuple(_doubted(name) for name in sorted(parts))
    return found, (*doubted, *(_unused(name, number, where) for name, number in sorted(unlabelled.items())))


def assembled(
    name: str,
    images: Sequence[Placed],
    source: Callable[[tuple[str, ...], list[Placed]], Source],
    remarks: tuple[Remark, ...] = (),
    *,
    judging: bool = False,
) -> Dataset:
    """Return the dataset of placed images; `source` makes one part's source from the classes and its images.

    Classes are numbered in the order of their names, numbers in them by value (2 before 10).

    Args:
        judging: nobody learns from it: any part may lack classes, there may be one class, and `train` may be empty.

    Raises:
        InputError: nothing to train on, or a class to judge that is not trained on.
    """
    parts: dict[Part, list[Placed]] = {part: [i for i in images if i.part == part] for part in ("train", "val", "test")}
    if judging:
        every = tuple(sorted({image.label for image in images}, key=natural))
        held = {part: source(every, members) if members else None for part, members in parts.items()}
        return Dataset(name, held["train"] or source(every, []), held["val"], held["test"], remarks)
    if not parts["train"]:
        raise InputError("no images to train on", where=name, fix="name the folder of training images train")
    classes = tuple(sorted({image.label for image in parts["train"]}, key=natural))
    if len(classes) < 2:
        said = "".join(f"; {remark.what}" for remark in remarks if remark.severity == "error")
        raise InputError(
            f"only one class ({classes[0]}){said}", where=name, fix="give a folder for each of two classes or more"
        )
    for part in ("val", "test"):
        strange = sorted({image.label for image in parts[part]} - set(classes))
        if strange:
            what = f"{part} has classes that train has not: {', '.join(strange[:5])}"
            raise InputError(what, where=name, fix="name the class folders alike in every part")
    made = {part: source(classes, members) if members else None for part, members in parts.items()}
    train = made["train"]
    assert train is not None
    return Dataset(name, train, made["val"], made["test"], remarks)


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
        if part_of(split[0][depth]) is not None:
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


def _once(split: list[tuple[str, ...]], depth: int, parts: dict[str, Part]) -> list[tuple[str, ...]]:
    """Return the paths without a directory of a part that lies in one of the same part: `train/train/ant/1.jpg`."""
    doubled = set()
    for top, part in parts.items():
        held = [directories for directories in split if directories[depth] == top]
        inner = {directories[depth + 1] for directories in held}
        if len(inner) == 1 and part_of(next(iter(inner))) == part and all(len(d) > depth + 3 for d in held):
            doubled.add(top)
    return [d[: depth + 1] + d[depth + 2 :] if d[depth] in doubled else d for d in split]


def _unlabelled(split: list[tuple[str, ...]], depth: int, parts: dict[str, Part]) -> dict[str, int]:
    """Return the directories of parts to judge that have no class directories, and how many images each holds.

    That is also so where all lie in one directory that says so: `test/unknown/`, `test/test/`, as competitions have it.
    """
    classes: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for directories in split:
        if len(directories) > depth + 1:
            counts[directories[depth]] += 1
            within = directories[depth + 1] if len(directories) > depth + 2 else ""
            classes.setdefault(directories[depth], set()).add(within)
    learnt = {label for top, labels in classes.items() if parts[top] == "train" for label in labels}
    found = {}
    for top, labels in classes.items():
        only = next(iter(labels)) if len(labels) == 1 else None
        says_so = only is not None and only not in learnt and (only.lower() in _NO_CLASS or only.lower() == top.lower())
        if parts[top] != "train" and (only == "" or says_so):
            found[top] = counts[top]
    return found


def _doubted(name: str) -> Remark:
    what = f"the folder {name} is taken for a class, as those beside it are classes"
    fix = "nothing if it is one; else move it away, or give train/CLASS and val/CLASS"
    return Remark("warning", "part_as_class", what, fix)


def _unused(name: str, number: int, where: str) -> Remark:
    what = f"{counted(number, 'image')} in {name} without class folders, which are used for nothing"
    fix = f"effnet predict MODEL {PurePosixPath(where) / name} answers them"
    return Remark("note", "unlabelled", what, fix)


def _require_no_parts(
    split: list[tuple[str, ...]], depth: int, tops: set[str], parts: dict[str, Part], where: str
) -> None:
    """Refuse directories of parts beside others, and cross-validation's: they would become classes of those names."""
    below: dict[str, set[str]] = {top: set() for top in tops}
    for directories in split:
        if len(directories) > depth + 2:
            below[directories[depth]].add(directories[depth + 1])
    folds = tops and all(re.fullmatch(r"(?:cv|fold|split|k)[_\- ]?\d+", top.lower()) for top in tops)
    if folds and len(tops) > 1 and len(set(map(frozenset, below.values()))) == 1 and all(below.values()):
        what = f"{', '.join(sorted(tops)[:5])} are parts of a cross-validation, not classes"
        fix = "name the one to judge by val and join the others as train, or give a table with a column fold"
        raise InputError(what, where=where, fix=fix)
    words = {top: set(re.split(r"[^a-z]+", top.lower())) for top in tops}
    learnt = [top for top in sorted(tops - set(parts)) if words[top] & {"train", "training"}]
    judged = [top for top in sorted(tops) if words[top] & {"test", "testing", "val", "valid", "validation"}]
    if learnt and judged:
        what = f"{learnt[0]} and {judged[0]} look like parts, and would be classes"
        raise InputError(what, where=where, fix="name the folders of parts train, val and test")
    for top in sorted(parts):
        if repeated := sorted(below[top] & (tops - {top})):
            what = f"{top} holds {', '.join(repeated[:5])} like the folders beside it, so it is a part and no class"
            raise InputError(what, where=where, fix="move the class folders beside it into train")
    trained = next((top for top in sorted(parts) if parts[top] == "train"), None)
    others = sorted(tops - set(parts))
    if trained is not None and below[trained] and others:
        repeated = [top for top in others if below[top] & below[trained]]
        what = f"{trained} is a part, and beside it is {', '.join((repeated or others)[:5])}, which is none"
        raise InputError(what, where=where, fix="name the parts train, val and test, or move the other folders away")

"""From what a table calls an image to its file: a path, or an id without folder and ending."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from effnet.data.recognition import SUFFIXES, made_by_program
from effnet.errors import InputError

_MOST_FOLDERS = 200
"""Folders beside a table that are looked into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Where a table's images are.

    Attributes:
        files: the path of each; of one that is not found, where it would be.
        missing: numbers of those that are not found.
        said: how they were found, where it is not simply by their paths; else empty.
    """

    files: tuple[Path, ...]
    missing: tuple[int, ...]
    said: str


def located(values: Sequence[str], folder: Path, stem: str, images: str | None = None) -> Located:
    """Return the files that `values` mean.

    A value is a path relative to the table's folder, or to one of the folders beside the table (`images`, or
    `train_images` beside `train.csv`), with its ending or without. The folder and the ending that most values are
    found with are asked first.

    Args:
        values: as the table has them.
        folder: of the table.
        stem: the table's name without ending.
        images: the folder of images, relative to the table's; None: looked for.

    Raises:
        InputError: `images` is no folder.
    """
    seen = _Folders()
    if images is not None:
        if not (folder / images).is_dir():
            raise InputError("no such folder of images", where=str(folder / images), fix="give images=FOLDER")
        roots = [folder / images]
    else:
        roots = [folder]
    found = [seen.names(roots[0], value) for value in values]
    if images is None and not all(found):
        roots += _beside(folder, stem)
    ranked = _ranked(roots, values, seen) if len(roots) > 1 else roots
    endings = Counter(Path(names[0]).suffix for root in ranked[:2] for v in values if (names := seen.names(root, v)))
    files, missing = [], []
    used: Counter[tuple[Path, str]] = Counter()
    for number, value in enumerate(values):
        for root in ranked:
            names = seen.names(root, value)
            if names:
                best = max(names, key=lambda name: endings[Path(name).suffix])
                file = (root / value.replace("\\", "/")).parent / best
                used[root, "" if best == PurePosixPath(value.replace("\\", "/")).name else Path(best).suffix] += 1
                break
        else:
            file = ranked[0] / value
            missing.append(number)
        files.append(file)
    return Located(files=tuple(files), missing=tuple(missing), said=_said(used, folder))


def _said(used: Counter[tuple[Path, str]], folder: Path) -> str:
    told = []
    for (root, ending), _ in used.most_common(3):
        place = "" if root == folder else f" in {root.name}/"
        if place or ending:
            told.append(place + (f" with {ending} appended" if ending else ""))
    return ",".join(told)


def _ranked(roots: list[Path], values: Sequence[str], seen: _Folders) -> list[Path]:
    counts = {root: sum(bool(seen.names(root, value)) for value in values) for root in roots}
    return sorted(roots, key=lambda root: -counts[root])


def _beside(folder: Path, stem: str) -> list[Path]:
    """Return folders beside a table, those first that are called like it."""
    try:
        entries = sorted((entry for entry in os.scandir(folder) if entry.is_dir()), key=lambda entry: entry.name)
    except OSError:
        return []
    names = [entry.name for entry in entries if not entry.name.startswith(".") and not made_by_program(entry.name)]
    names.sort(key=lambda name: not name.lower().startswith(stem.lower().split("_")[0].split("-")[0]))
    return [folder / name for name in names[:_MOST_FOLDERS]]


class _Folders:
    """What lies in folders, each listed once."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, tuple[str, ...]]] = {}

    def names(self, root: Path, value: str) -> tuple[str, ...]:
        """Return the files of a folder that a value may mean: the one of that name, or those of that name and more."""
        folder, _, name = os.path.join(root, value.replace("\\", "/")).rpartition("/")  # noqa: PTH118 (a million times)
        held = self._listed.get(folder)
        if held is None:
            held = self._listed[folder] = self._list(folder)
        return held.get(name, ())

    def _list(self, folder: str) -> dict[str, tuple[str, ...]]:
        try:
            files = [entry.name for entry in os.scandir(folder or "/") if not entry.is_dir()]
        except OSError:
            return {}
        held: dict[str, tuple[str, ...]] = {}
        for name in sorted(files):
            stem, dot, ending = name.rpartition(".")
            if dot and (f".{ending.lower()}" in SUFFIXES or ending.lower() in ("heic", "heif", "dcm", "jxl")):
                held[stem] = (*held.get(stem, ()), name)
        return held | {name: (name,) for name in files}

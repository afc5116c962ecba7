"""A folder of class folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from effnet.data.decode import printable
from effnet.data.source import Dataset
from effnet.data.sources.layout import PARTS, Placed, assembled, is_image, labels_of, placed
from effnet.errors import InputError


class FolderSource:
    """Images that are files under one folder."""

    def __init__(self, root: Path, classes: tuple[str, ...], images: Sequence[Placed]) -> None:
        self._root = root
        self._keys = tuple(image.key for image in images)
        self.classes = classes
        self.labels = labels_of(classes, images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._keys)

    def read(self, index: int) -> Path:
        """Return the image's path."""
        return self._root / self._keys[index]

    def name(self, index: int) -> str:
        """Return the path within the folder."""
        return printable(Path(self._keys[index]))


def open_folder(root: Path) -> Dataset:
    """Return the images under `root`: CLASS/image or PART/CLASS/image.

    Hidden files and files without an image's suffix are left out, and so is what is named as a download's placeholder
    (`imageNotFound.gif`). Links are followed, each folder once.

    Raises:
        InputError: no images, empty class folders, or folders that no layout fits.
    """
    keys = sorted(_walk(root))
    where = printable(root)
    images = placed([key for key in keys if is_image(key)], where=where)
    _require_no_empty_class(root, images, where)
    return assembled(where, images, lambda classes, members: FolderSource(root, classes, members))


def _walk(root: Path) -> Iterator[str]:
    visited: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            state = (root / folder).stat()
            if (state.st_dev, state.st_ino) in visited:
                continue  # a link back to a folder above
            visited.add((state.st_dev, state.st_ino))
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"cannot be read ({reason})", where=printable(root / folder), fix="check it") from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir():
                waiting.append(key)
            else:
                yield key


def _require_no_empty_class(root: Path, images: Sequence[Placed], where: str) -> None:
    used = {Path(image.key).parents[i] for image in images for i in range(len(Path(image.key).parents))}
    levels = [root] if not any(e.name.lower() in PARTS for e in root.iterdir() if e.is_dir()) else []
    levels += [entry for entry in root.iterdir() if entry.is_dir() and entry.name.lower() in PARTS]
    empty = [
        entry.relative_to(root)
        for level in levels
        for entry in sorted(level.iterdir())
        if entry.is_dir() and not entry.name.startswith(".") and entry.relative_to(root) not in used
    ]
    if empty:
        shown = ", ".join(printable(folder) for folder in empty[:5])
        raise InputError(f"class folders without images: {shown}", where=where, fix="fill or remove them")

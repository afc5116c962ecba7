"""A folder of class folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from effnet.data.decode import printable
from effnet.data.recognition import Listing, listed, made_by_program, way_out
from effnet.data.source import Dataset
from effnet.data.sources.layout import Placed, assembled, labels_of, part_of, placed
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


def open_folder(root: Path, *, judging: bool = False) -> Dataset:
    """Return the images under `root`: CLASS/image or PART/CLASS/image.

    What counts as an image, and what is left out and said, is `recognition`'s answer. Links are followed, each folder
    once. `judging` is as for `assembled`.

    Raises:
        InputError: no images, empty class folders, or folders that no layout fits.
    """
    where = printable(root)
    listing = listed(root)
    remarks = listing.remarks()
    if not listing.images:
        lost = next((remark for remark in remarks if remark.kind == "unread_format"), None)
        if lost is not None:
            raise InputError(lost.what, where=where, fix=lost.fix)
    images, said = placed(listing.images, where=where)
    _require_no_empty_class(root, listing, where)
    return assembled(
        where,
        images,
        lambda classes, members: FolderSource(root, classes, members),
        (*remarks, *said),
        judging=judging,
    )


def _require_no_empty_class(root: Path, listing: Listing, where: str) -> None:
    used = {Path(key).parents[i] for key in listing.images for i in range(len(Path(key).parents))}
    levels = [root] if not any(part_of(entry.name) for entry in root.iterdir() if entry.is_dir()) else []
    levels += [entry for entry in root.iterdir() if entry.is_dir() and part_of(entry.name)]
    empty = [
        entry.relative_to(root)
        for level in levels
        for entry in sorted(level.iterdir())
        if entry.is_dir()
        and not entry.name.startswith(".")
        and not made_by_program(entry.name)
        and entry.relative_to(root) not in used
    ]
    if not empty:
        return
    lost = [entry for entry in listing.of("foreign") if any(folder in Path(entry.key).parents for folder in empty)]
    shown = ", ".join(printable(folder) for folder in empty[:5])
    if lost:
        kinds = Counter(entry.detail for entry in lost)
        held = ", ".join(f"{kind} ({number})" for kind, number in kinds.most_common())
        what = f"class folders of images that this does not read: {shown}: {held}"
        raise InputError(what, where=where, fix="; ".join(dict.fromkeys(map(way_out, kinds))))
    raise InputError(f"class folders without images: {shown}", where=where, fix="fill or remove them")

"""Data sets of the Hugging Face hub, through the optional `datasets` package. Code of a data set is never run."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from effnet.data.source import Dataset, Remark, Source, counted
from effnet.data.sources.layout import Part, part_of
from effnet.data.sources.subset import SubSource
from effnet.errors import ImageError, InputError, MissingDependencyError


class HubSource:
    """One split of a data set whose rows have an image and a class."""

    def __init__(self, rows: Any, image: str, labels: list[int], classes: tuple[str, ...], part: str) -> None:
        self._rows = rows
        self._image = image
        self._part = part
        self.classes = classes
        # The package numbers what has no label -1, or gives None.
        self.labels = np.asarray([-1 if label is None else label for label in labels], np.int64)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def read(self, index: int) -> bytes:
        """Return the image's bytes."""
        value = self._rows[index][self._image]
        if isinstance(value, dict) and value.get("bytes"):
            return bytes(value["bytes"])
        if hasattr(value, "save"):  # a Pillow image, where the package has decoded it
            file = io.BytesIO()
            value.save(file, "PNG", compress_level=1)
            return file.getvalue()
        raise ImageError("the row has no image", where=self.name(index), fix="give a data set with an image column")

    def name(self, index: int) -> str:
        """Return the split and row."""
        return f"{self._part}/{index}"


def open_hub(name: str, *, judging: bool = False) -> Dataset:
    """Return the data set `owner/name`, or `owner/name:config`; `judging` is as for `layout.assembled`.

    Raises:
        MissingDependencyError: `datasets` is not installed.
        InputError: it cannot be had, or has no image and class columns.
    """
    try:
        import datasets
    except ImportError:
        raise MissingDependencyError.for_extra("datasets", "hub", "Hugging Face data sets") from None
    path, _, config = name.partition(":")
    try:
        splits = datasets.load_dataset(path, config or None)
    except Exception as error:  # the package raises its own, requests' and the file system's
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"cannot be had ({reason})", where=f"hf:{name}", fix="check the name and the network"
        ) from None
    made: dict[Part, Source] = {}
    remarks: list[Remark] = []
    for split, rows in splits.items():
        part = part_of(str(split))
        if part is None or part in made:
            fix = (
                f"nothing, or give a data set whose splits are train, validation and test; this has {', '.join(splits)}"
            )
            remarks.append(Remark("note", "unused_split", f"split {split} is used for nothing", fix))
            continue
        found = _source(rows, part, f"hf:{name}")
        if (found.labels >= 0).all():
            made[part] = found
        elif part == "train" or (found.labels >= 0).any():
            what = f"{counted(int((found.labels < 0).sum()), 'row')} of {split} without a label"
            raise InputError(what, where=f"hf:{name}", fix="give a data set whose images all have a class")
        else:
            what = f"{counted(len(found), 'row')} of {split} without labels, which are used for nothing"
            remarks.append(Remark("note", "unlabelled", what, "effnet predict answers the images"))
    if judging and made and "train" not in made:
        made["train"] = SubSource(next(iter(made.values())), np.empty(0, np.int64))
    if "train" not in made:
        raise InputError("no train split", where=f"hf:{name}", fix="give a data set with one")
    return Dataset(f"hf:{name}", made["train"], made.get("val"), made.get("test"), tuple(remarks))


def _source(rows: Any, part: str, where: str) -> HubSource:
    features = rows.features
    image = next((column for column, kind in features.items() if type(kind).__name__ == "Image"), None)
    label = next((column for column, kind in features.items() if type(kind).__name__ == "ClassLabel"), None)
    if image is None or label is None:
        fix = f"give a data set with an Image and a ClassLabel column; this has {', '.join(features)}"
        raise InputError("no image or no class column", where=where, fix=fix)
    return HubSource(rows, image, list(rows[label]), tuple(features[label].names), part)

"""CSV, TSV or Parquet: a row an image, with its path (or its bytes) and its label."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effnet.data.source import Dataset
from effnet.data.sources.layout import Placed, assembled, labels_of, part_of
from effnet.errors import InputError, MissingDependencyError

_COLUMNS = {
    "image": ("path", "image", "file", "filename", "file_name", "filepath", "image_path", "img"),
    "label": ("label", "class", "target", "category", "class_name", "label_name"),
    "part": ("split", "part", "subset", "set"),
}


@dataclass(frozen=True, slots=True)
class _Row:
    """One image of a table: its path, or its bytes."""

    path: Path | None
    data: bytes | None
    name: str


class TableSource:
    """Images that a table lists."""

    def __init__(self, rows: Sequence[_Row], classes: tuple[str, ...], images: Sequence[Placed]) -> None:
        self._rows = tuple(rows[int(image.key)] for image in images)
        self.classes = classes
        self.labels = labels_of(classes, images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._rows)

    def read(self, index: int) -> bytes | Path:
        """Return the image's file, or the bytes in the table."""
        row = self._rows[index]
        if row.data is not None:
            return row.data
        assert row.path is not None
        return row.path

    def name(self, index: int) -> str:
        """Return the path as the table has it, or the row's number."""
        return self._rows[index].name


def is_table(path: Path) -> bool:
    """Whether the file's name is that of a table."""
    return path.suffix.lower() in (".csv", ".tsv", ".parquet")


def open_table(path: Path) -> Dataset:
    """Return the images that a table lists.

    The columns are found by their names: path (or image, file, ...), label (or class, ...), and split if there is one.
    Paths are relative to the table's folder. In Parquet an image may also be bytes, or a struct of bytes and path.

    Raises:
        InputError: no such columns, a row without image or label, or an unreadable file.
        MissingDependencyError: Parquet without pyarrow.
    """
    names, table = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    image, label, part = (_column(kind, names) for kind in ("image", "label", "part"))
    if image is None or label is None:
        missing = "image" if image is None else "label"
        fix = f"name a column {' or '.join(_COLUMNS[missing][:3])}"
        raise InputError(f"no column of {missing}s among {', '.join(names)}", where=str(path), fix=fix)
    rows: list[_Row] = []
    images: list[Placed] = []
    for number, values in enumerate(table):
        where = f"{path}: row {number + 1}"
        row, value = _row(values[image], path.parent, number), values[label]
        if row is None or value is None or str(value).strip() == "":
            column = image if row is None else label
            raise InputError(f"column {column!r} is empty", where=where, fix="fill it or remove the row")
        split = "train" if part is None else str(values[part]).strip().lower()
        belongs = part_of(split)
        if belongs is None:
            raise InputError(f"split {split!r}", where=where, fix="use train, val or test")
        rows.append(row)
        images.append(Placed(str(number), belongs, str(value).strip()))
    return assembled(str(path), images, lambda classes, members: TableSource(rows, classes, members))


def _column(kind: str, names: Sequence[str]) -> str | None:
    folded = {name.strip().lower(): name for name in names}
    return next((folded[name] for name in _COLUMNS[kind] if name in folded), None)


def _row(value: Any, folder: Path, number: int) -> _Row | None:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return _Row(None, value, f"row {number + 1}")
    text = "" if value is None else str(value).strip()
    return _Row(folder / text, None, text) if text else None


def _csv(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            rows = list(reader)
            return list(reader.fieldnames or ()), rows
    except (OSError, csv.Error) as error:
        raise InputError(f"not a readable table ({error})", where=str(path), fix="save it as CSV again") from None


def _parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError.for_extra("pyarrow", "train", "reading Parquet") from None
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"not a readable table ({error})", where=str(path), fix="write it as Parquet again") from None
    rows = table.to_pylist()
    for name, values in _class_names(table).items():
        for row in rows:
            row[name] = values[row[name]] if row[name] is not None else None
    return list(table.column_names), rows


def _class_names(table: Any) -> dict[str, list[str]]:
    """Return the names of numbered classes, which Hugging Face keeps in the file's metadata."""
    import json

    try:
        features = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: kind["names"] for name, kind in features.items() if isinstance(kind, dict) and "names" in kind}
    except (KeyError, ValueError, TypeError):
        return {}

"""Tables whose rows are an image each, with its path, id or bytes and its label: a file, or several as one."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effnet.data.source import Dataset, Remark, counted
from effnet.data.sources.columns import KINDS, Columns, columns_of, marked, part_in
from effnet.data.sources.labels import is_missing, no_list, require_classes, require_one_label
from effnet.data.sources.layout import Part, Placed, assembled, labels_of, parts_of
from effnet.data.sources.paths import located
from effnet.data.sources.tablefile import Table, is_table, read_table
from effnet.errors import InputError, UnknownNameError

OPTIONS = (*KINDS, "images")
"""What may be said of a table after its name: `train.csv:label=breed,images=photos`."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One image of a table: its path, or its bytes."""

    path: Path | None
    data: bytes | None
    name: str
    group: str | None


class TableSource:
    """Images that a table lists.

    Attributes:
        groups: of each image, what it shares with those that must stay in one part, such as a patient; None: nothing.
    """

    def __init__(self, rows: Sequence[_Row], classes: tuple[str, ...], images: Sequence[Placed]) -> None:
        self._rows = tuple(rows[int(image.key)] for image in images)
        self.classes = classes
        self.labels = labels_of(classes, images)
        groups = tuple(row.group for row in self._rows)
        self.groups: tuple[str, ...] | None = (
            tuple(group or "" for group in groups) if any(group is not None for group in groups) else None
        )

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


def split_options(text: str) -> tuple[Path, dict[str, str]]:
    """Return the path of a table and what is said of it: `train.csv:label=breed,fold=2`.

    Raises:
        UnknownNameError: an option that there is not.
    """
    if Path(text).exists():
        return Path(text), {}
    name, colon, rest = text.rpartition(":")
    if not colon or "=" not in rest or not (is_table(Path(name)) or Path(name).is_dir()):
        return Path(text), {}
    options: dict[str, str] = {}
    for piece in rest.split(","):
        key, _, value = piece.partition("=")
        if key not in OPTIONS:
            raise UnknownNameError.among("option of a table", key, OPTIONS)
        options[key] = value
    return Path(name), options


def open_table(path: Path, options: Mapping[str, str] | None = None, *, judging: bool = False) -> Dataset:
    """Return the images that a table lists.

    The columns are found by their names: path (or image, file, id, ...), label (or class, ...), and split, is_valid or
    fold if there is one; else by what they hold. A column of groups, such as patient_id, keeps the images of a group in
    one part. Paths are relative to the table's folder or to a folder of images beside it, and may lack their ending. In
    Parquet an image may also be bytes, or a struct of bytes and path.

    Args:
        path: of the table.
        options: what is to be taken otherwise, by OPTIONS.
        judging: as for `assembled`.

    Raises:
        InputError: no such columns, a row without image or label, labels that are no classes, no image where the table
            says, or an unreadable file.
        MissingDependencyError: Parquet without pyarrow.
    """
    return join_tables([read_table(path)], str(path), options or {}, judging=judging)


def join_tables(tables: Sequence[Table], where: str, options: Mapping[str, str], *, judging: bool = False) -> Dataset:
    """Return the images of several tables of the same columns, such as one for each part.

    Raises:
        InputError, UnknownNameError: as `open_table`.
    """
    held = [(table, number, row) for table in tables for number, row in enumerate(table.rows)]
    if not held:
        raise InputError("a table without rows", where=where, fix="give a row for each image")
    columns = columns_of(tables[0].names, [row for _, _, row in held], options, where)
    remarks: list[Remark] = []
    if columns.guessed or columns.fold or columns.flags or columns.group or columns.unused:
        fix = "nothing if that is meant; else say which: TABLE:label=COLUMN,group=COLUMN,images=FOLDER,fold=NUMBER"
        remarks.append(Remark("note", "columns", f"{where}: {columns.described()}", fix))
    placed, unlabelled = _labelled(held, columns)
    remarks += _unused(unlabelled)
    rows, said = _rows(held, columns, options.get("images"), where, {int(image.key) for image in placed})
    remarks += said
    labels = [image.label for image in placed]
    require_classes(labels, column=columns.label, where=where, judging=judging)
    once, repeated = _once(placed, rows, where)
    if repeated:
        what = f"{counted(repeated, 'row repeats', 'rows repeat')} an image and its label; each image is used once"
        remarks.append(Remark("note", "repeated_rows", what, "nothing, or remove the rows"))
    remarks += _straddling(once, rows, columns.group)
    return assembled(
        where,
        once,
        lambda classes, members: TableSource(rows, classes, members),
        tuple(remarks),
        judging=judging,
    )


def _labelled(
    held: Sequence[tuple[Table, int, Mapping[str, Any]]], columns: Columns
) -> tuple[list[Placed], Counter[Part]]:
    """Return where each row belongs; whole parts to judge without labels are left out and counted."""
    placed: list[Placed] = []
    empty: dict[Part, list[str]] = {}
    words: dict[Part, str] = {}
    parts = parts_of({str(row[columns.split]).strip() for _, _, row in held}) if columns.split else {}
    for place, (table, number, row) in enumerate(held):
        where = f"{table.path}: row {number + 1}"
        part = part_in(row, columns, parts, where) or table.part or "train"
        if columns.marks:
            value = marked(row, columns.marks, str(row[columns.image]), where)
        else:
            value = no_list(row[columns.label], column=columns.label, where=where)
        if is_missing(value):
            empty.setdefault(part, []).append(where)
            words.setdefault(part, "" if value is None else str(value).strip())
        else:
            placed.append(Placed(str(place), part, str(value).strip()))
    kept = {image.part for image in placed}
    for part, places in empty.items():
        if part == "train" or part in kept:
            what = f"column {columns.label!r} is empty" if columns.label else "no column of classes has a 1"
            if words[part]:
                what = f"column {columns.label!r} is {words[part]!r}, as programs write that there is no value"
            more = f" ({counted(len(places), 'row')} in all)" if len(places) > 1 else ""
            fix = "fill it or remove the row" + ("; if it is a class, give it another name" if words[part] else "")
            raise InputError(what + more, where=places[0], fix=fix)
    return placed, Counter({part: len(places) for part, places in empty.items()})


def _unused(unlabelled: Counter[Part]) -> Iterator[Remark]:
    for part, number in unlabelled.items():
        what = f"{counted(number, 'row')} of {part} without labels, which are used for nothing"
        yield Remark("note", "unlabelled", what, "effnet predict answers the images")


def _rows(
    held: Sequence[tuple[Table, int, Mapping[str, Any]]],
    columns: Columns,
    images: str | None,
    where: str,
    used: set[int],
) -> tuple[list[_Row], list[Remark]]:
    rows: list[_Row] = []
    for table, number, row in held:
        made = _row(row[columns.image], number)
        if made is None:
            place = f"{table.path}: row {number + 1}"
            raise InputError(f"column {columns.image!r} is empty", where=place, fix="fill it or remove the row")
        group = None if columns.group is None else row[columns.group]
        # An image without a group is a group of its own.
        named = None if columns.group is None else f"={made.name}" if is_missing(group) else str(group).strip()
        rows.append(dataclasses.replace(made, group=named))
    missing: list[str] = []
    said: list[str] = []
    by_table: dict[Path, list[int]] = {}
    for n, (table, _, _) in enumerate(held):
        if rows[n].data is None and n in used:
            by_table.setdefault(table.path, []).append(n)
    for path, places in by_table.items():
        found = located([rows[n].name for n in places], path.parent, path.stem, images)
        for n, file in zip(places, found.files, strict=True):
            rows[n] = dataclasses.replace(rows[n], path=file)
        missing += [rows[places[n]].name for n in found.missing]
        said += [found.said] if found.said else []
    if missing and len(missing) == sum(rows[n].data is None for n in used):
        what = f"none of the {counted(len(missing), 'image')} is there, such as {missing[0]}"
        fix = "give paths relative to the table's folder, or say where they are: TABLE:images=FOLDER"
        raise InputError(what, where=where, fix=fix)
    return rows, [*_found(said), *_missing(missing, len(used))]


def _found(said: list[str]) -> Iterator[Remark]:
    if said:
        what = f"images found{'; '.join(dict.fromkeys(said))}"
        yield Remark("note", "images", what, "nothing if that is meant; else say where: TABLE:images=FOLDER")


def _missing(names: list[str], total: int) -> Iterator[Remark]:
    if names:
        what = f"{len(names)} of {counted(total, 'image')} are not there, such as {', '.join(names[:3])}"
        yield Remark("error", "missing_files", what, "add them or remove their rows", tuple(names))


def _row(value: Any, number: int) -> _Row | None:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return _Row(None, value, f"row {number + 1}", None)
    text = "" if is_missing(value) else str(value).strip()
    return _Row(None, None, text, None) if text else None


def _once(placed: list[Placed], rows: Sequence[_Row], where: str) -> tuple[list[Placed], int]:
    """Return one row for each file, and how many were repetitions; a file under two labels is refused."""
    paths = [(image, rows[int(image.key)]) for image in placed]
    require_one_label(((row.path, row.name, image.label) for image, row in paths if row.path is not None), where=where)
    seen: set[tuple[Path, Part]] = set()
    once = []
    for image, row in paths:
        if row.path is not None:
            if (row.path, image.part) in seen:
                continue
            seen.add((row.path, image.part))
        once.append(image)
    return once, len(placed) - len(once)


def _straddling(placed: Sequence[Placed], rows: Sequence[_Row], column: str | None) -> Iterator[Remark]:
    parts: dict[str, set[Part]] = {}
    for image in placed:
        group = rows[int(image.key)].group
        if group is not None:
            parts.setdefault(group, set()).add(image.part)
    both = [group for group, found in parts.items() if len(found) > 1]
    if both:
        what = f"{counted(len(both), 'group')} of {column!r} with images in several parts, such as {both[0]}"
        fix = "give each group one part: what is judged was learnt from otherwise"
        yield Remark("warning", "straddling_groups", what, fix, tuple(both))

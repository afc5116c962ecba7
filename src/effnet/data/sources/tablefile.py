"""Reading CSV, TSV, JSON lines, Parquet and Arrow files, and folders of them, as rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effnet.data.recognition import SUFFIXES, listed
from effnet.data.sources.layout import Part, natural, part_of
from effnet.errors import InputError, MissingDependencyError

_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")

_LARGEST = 4 << 30
"""Bytes of a table of text."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table as it lies in a file.

    Attributes:
        part: that the file's or folder's name says.
    """

    path: Path
    names: list[str]
    rows: Sequence[Mapping[str, Any]]
    part: Part | None = None


def is_table(path: Path) -> bool:
    """Whether the file's name is that of a table."""
    return path.suffix.lower() in _SUFFIXES


def read_table(path: Path, part: Part | None = None) -> Table:
    """Return the table in a file.

    Raises:
        InputError: not readable, or without a line of names.
        MissingDependencyError: Parquet or Arrow without pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".arrow"):
        names, rows = _columnar(path)
    elif suffix in (".jsonl", ".ndjson"):
        names, rows = _json_lines(path)
    else:
        names, rows = _csv(path)
    return Table(path, names, rows, part)


def tables_in(root: Path) -> list[Table]:
    """Return the tables that make a folder a data set, or none.

    These are `metadata.csv`, `.jsonl` or `.parquet` in it or in its parts' folders (Hugging Face's imagefolder),
    Parquet files in it or one folder deeper (a hub repository's `data/train-00000-of-00002.parquet`), or what
    `save_to_disk` of `datasets` writes.

    Raises:
        InputError, MissingDependencyError: as `read_table`.
    """
    folders = sorted((entry for entry in root.iterdir() if entry.is_dir() and entry.name[0] != "."), key=_order)
    found: list[Table] = []
    for folder in (root, *folders):
        part = None if folder == root else part_of(folder.name)
        metadata = [folder / f"metadata{suffix}" for suffix in _SUFFIXES]
        found += [read_table(path, part) for path in metadata if path.is_file()]
    if found:
        return found
    saved = any((root / name).is_file() for name in ("state.json", "dataset_dict.json"))
    if not saved and (not any(any(folder.glob("*.parquet")) for folder in (root, *folders)) or listed(root).images):
        return []  # Parquet beside images is something else
    for folder in (root, *folders):
        for path in sorted(folder.glob("*.parquet"), key=_order):
            named = part_of(path.name.split("-")[0].split(".")[0]) or part_of(path.stem)
            found.append(read_table(path, named or (None if folder == root else part_of(folder.name))))
        state = folder / "state.json"
        if saved and state.is_file():
            part = None if folder == root else part_of(folder.name)
            found += [read_table(path, part) for path in _saved(state)]
    return found


def _order(path: Path) -> Any:
    return natural(path.name)


def _saved(state: Path) -> list[Path]:
    try:
        names = [str(entry["filename"]) for entry in json.loads(state.read_text("utf-8"))["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError("not what save_to_disk writes", where=str(state), fix="save the data set again") from None
    return [state.parent / Path(name).name for name in names]


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST:
        raise InputError("a table of more than 4 GiB", where=str(path), fix="write it as Parquet")
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # as spreadsheets save "Unicode text"
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "surrogateescape")


def _csv(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    fix = "save it as CSV again"
    try:
        text = _text(path)
        line = text.partition("\n")[0].rstrip("\r")
        if line.lower().startswith("sep=") and len(line) == 5:  # a spreadsheet's own
            text = text.partition("\n")[2]
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_separator(path, text), strict=True)
        names = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        _require_names(names, path)
        rows = []
        for number, row in enumerate(reader):
            if None in row or any(value is None for value in row.values()):
                fields = len(row) - 1 + len(row[None]) if None in row else sum(v is not None for v in row.values())
                what = f"{fields} fields under {len(names)} names"
                raise InputError(what, where=f"{path}: row {number + 1}", fix='put text with a separator in "quotes"')
            rows.append(row)
        return names, rows
    except (OSError, csv.Error) as error:
        raise InputError(f"not a readable table ({error})", where=str(path), fix=fix) from None


def _separator(path: Path, text: str) -> str:
    """Return what separates the names in the first line: of ; tab | , the most frequent outside quotes."""
    first = "".join(text.partition("\n")[0].split('"')[::2])
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    return max((usual, ",", ";", "\t", "|"), key=first.count)


def _require_names(names: Sequence[str], path: Path) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen and name:
            raise InputError(f"two columns are called {name!r}", where=str(path), fix="rename one of them")
        seen.add(name)
    data = next(
        (name for name in names if name.lower().endswith(SUFFIXES) or (name and (path.parent / name).is_file())), None
    )
    if data:
        what = f"no line of names: the first line has the image {data}"
        raise InputError(what, where=str(path), fix="write one above it, such as image,label")


def _json_lines(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    try:
        for number, line in enumerate(_text(path).split("\n")):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise InputError(
                        "not an object", where=f"{path}: line {number + 1}", fix="write {...} in each line"
                    )
                rows.append(row)
    except (OSError, ValueError) as error:
        raise InputError(f"not readable lines of JSON ({error})", where=str(path), fix="write them again") from None
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, [{name: row.get(name) for name in names} for row in rows]


def _columnar(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError.for_extra("pyarrow", "train", f"reading {path.suffix[1:].capitalize()}") from None
    try:
        if path.suffix.lower() == ".arrow":
            with pyarrow.memory_map(str(path)) as file:
                table = pyarrow.ipc.open_stream(file).read_all()
                return _plain_rows(table)
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"not a readable table ({error})", where=str(path), fix="write it as Parquet again") from None
    return _plain_rows(table)


def _plain_rows(table: Any) -> tuple[list[str], list[dict[str, Any]]]:
    rows = table.to_pylist()
    for name, values in _class_names(table).items():
        for row in rows:
            number = row[name]
            # Hugging Face numbers what has no label -1.
            row[name] = values[number] if isinstance(number, int) and 0 <= number < len(values) else None
    return list(table.column_names), rows


def _class_names(table: Any) -> dict[str, list[str]]:
    """Return the names of numbered classes, which Hugging Face keeps in the file's metadata."""
    try:
        features = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: kind["names"] for name, kind in features.items() if isinstance(kind, dict) and "names" in kind}
    except (KeyError, ValueError, TypeError):
        return {}

"""Predictions as text, JSON or CSV, written one by one, so that a million images need no memory.

Each writer takes predictions and a text stream. Streams for JSON and CSV should be opened as `open_text` opens files:
names that are not UTF-8 then come out byte for byte (CSV) or as the escapes that `json.loads` and `os.fsencode` turn
back into those bytes (JSON).
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from effnet.inference.prediction import Prediction
from effnet.report.tables import percent

_CONTROL = ("Cc", "Zl", "Zp")
"""Unicode's control characters, and its two other ends of lines."""

CSV_COLUMNS = ("source", "rank", "index", "label", "probability", "error")


def write_text(predictions: Iterable[Prediction], out: IO[str]) -> None:
    """Write for people: the image's name, then a line a class; all on one line when there is one class.

    Images that failed are left out.
    """
    for prediction in predictions:
        if prediction.error is not None:
            continue
        name = printable(prediction.source or "image")
        lines = [f"{percent(score.probability):>8}  {printable(score.label)}" for score in prediction.scores]
        if len(lines) == 1:
            out.write(f"{lines[0]}  {name}\n")
        else:
            out.write("\n".join([name, *lines]) + "\n")


def write_json(predictions: Iterable[Prediction], out: IO[str]) -> None:
    """Write one JSON list with the object of `Prediction.to_dict` for each image, failed ones too."""
    out.write("[")
    for number, prediction in enumerate(predictions):
        out.write(",\n " if number else "\n ")
        out.write(json.dumps(prediction.to_dict()))
    out.write("\n]\n")


def write_csv(predictions: Iterable[Prediction], out: IO[str]) -> None:
    """Write `CSV_COLUMNS`, then a row for each image and class; a failed image has one row with only its error."""
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(CSV_COLUMNS)
    for prediction in predictions:
        source = None if prediction.source is None else cell(prediction.source)
        if prediction.error is not None:
            rows.writerow([source, None, None, None, None, cell(str(prediction.error))])
        for rank, score in enumerate(prediction.scores, 1):
            rows.writerow([source, rank, score.index, cell(score.label), score.probability, None])


def cell(text: str) -> str:
    """Return text as a cell that is nothing but text, to whatever opens the table.

    Control characters are written as escapes, as they could command a terminal. A spreadsheet would compute what begins
    with `=`, `+`, `-`, `@`, so that gets a `'` in front, which spreadsheets take for the sign of text. Bytes that are
    not UTF-8 pass through.
    """
    if any(unicodedata.category(character) in _CONTROL for character in text):
        text = "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in _CONTROL else c for c in text)
    return f"'{text}" if text.lstrip(" ").startswith(("=", "+", "-", "@")) else text


def open_text(path: Path) -> IO[str]:
    """Open a file to write text whose names may not be UTF-8."""
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")


def printable(text: str) -> str:
    """Return `text` with what could confuse or command a terminal (control characters, broken UTF-8) escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

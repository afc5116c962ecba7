"""Tables as plain text: they pipe, grep and paste as they look, and cost no start-up time."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_GAP = "  "


def text_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    footer: bool = False,
    width: int | None = None,
    spare: Sequence[str] = (),
) -> str:
    """Return aligned lines under their headers.

    Args:
        headers: one a column.
        rows: cells, as many as there are headers.
        left: how many columns, from the first, are aligned left; the others hold numbers and are aligned right.
        footer: whether the last row is a total, ruled off.
        width: columns there are; None: as many as it takes.
        spare: headers of what may be left out where that is too narrow, first things first; a last line says what was.
    """
    columns, left_out = _fitting(list(zip(headers, *rows, strict=True)), width, spare)
    left -= sum(header in left_out for header in headers[:left])
    headers, *rows = zip(*columns, strict=True)
    widths = [max(_width(cell) for cell in column) for column in columns]
    rule = _GAP.join("-" * width for width in widths)
    lines = [_line(row, widths, left) for row in (headers, *rows)]
    lines.insert(1, rule)
    if footer:
        lines.insert(-1, rule)
    if left_out:
        lines.append(f"(a wider terminal or --json also shows: {', '.join(left_out)})")
    return "\n".join(lines)


def percent(share: float) -> str:
    """Return a probability, 0 to 1, in percent; what rounds to nothing says that it is little, not none.

    >>> percent(0.5), percent(0.00001)
    ('50.00%', '<0.01%')
    """
    return f"{share:.2%}" if share == 0 or share >= 0.00005 else "<0.01%"


def _fitting(
    columns: list[tuple[str, ...]], width: int | None, spare: Sequence[str]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return the columns that fit, and the headers of the others."""
    left_out: list[str] = []
    for header in spare:
        needed = sum(max(_width(cell) for cell in column) + len(_GAP) for column in columns) - len(_GAP)
        if width is None or needed <= width:
            break
        columns = [column for column in columns if column[0] != header]
        left_out.append(header)
    return columns, left_out


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = []
    for position, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - _width(cell))
        padded.append(cell + space if position < left else space + cell)
    return _GAP.join(padded).rstrip()


def _width(text: str) -> int:
    # Korean and Chinese letters are two columns wide in a terminal.
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)

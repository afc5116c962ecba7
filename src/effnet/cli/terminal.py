"""How wide the terminal is, and prose that fits it. What is piped is never cut or wrapped."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap

_NARROWEST = 40


def width() -> int | None:
    """Return the columns of the terminal that standard output is, or None where it is a file or a pipe."""
    if not sys.stdout.isatty():
        return None
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def wrapped(text: str, columns: int | None) -> str:
    """Wrap the prose of `text` to `columns`, each line under its own beginning.

    Lines of tables and of commands, whose cells are two blanks apart, stay whole: copied, they must be what they were.
    """
    if columns is None:
        return text
    return "\n".join(_wrapped(line, columns) for line in text.split("\n"))


def _wrapped(line: str, columns: int) -> str:
    start = re.match(r" *(?:- |[+-]?[\d.]+  )?", line)
    assert start is not None
    indent = len(start.group())
    if len(line) <= columns or "  " in line[indent:]:
        return line
    hanging = " " * (indent or 2)
    return textwrap.fill(
        line[indent:],
        columns,
        initial_indent=line[:indent],
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )

"""Warnings of the library as lines on standard error, each once."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """Print what is warned of inside the block as `effnet: warning: ...`, the same words once."""
    said: set[str] = set()

    def show(message: Warning | str, *_args: object, **_kw: object) -> None:
        if str(message) not in said:
            said.add(str(message))
            complain(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def complain(line: str) -> None:
    """Print one line on standard error, in which nothing can command the terminal."""
    from effnet.inference.rendering import printable

    print(f"effnet: {printable(line)}", file=sys.stderr)  # noqa: T201

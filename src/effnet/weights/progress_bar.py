"""Showing a person that weights are on their way."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def download_bar() -> Iterator[Callable[[int, int | None], None] | None]:
    """Yield what `create`, `load` and `load_weights` take as `progress`: a bar on standard error, if a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("downloading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("downloading", total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)

"""Showing that long work goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID


@contextmanager
def counted_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what shows progress (done, total) on standard error, if that is a terminal."""
    import sys

    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def image_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield what shows progress over images."""
    with counted_bar("images") as progress:
        yield progress


@contextmanager
def stage_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows the progress of work in named stages on standard error, if that is a terminal."""
    import sys

    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage)
            bar.update(tasks[stage], completed=done, total=total or None)

        yield advance

"""Showing a run as it goes: a live bar and table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO, Any

from effnet.training.events import Evaluated, Event, Finished, Observer, StageStarted, Started, Stepped, Warned

_HEARTBEAT = 30.0
"""Seconds between lines about steps where nothing moves on the screen."""


def display_for(stream: IO[str]) -> Observer:
    """Return the observer that suits the stream."""
    return Live(stream) if stream.isatty() else Lines(lambda line: print(line, file=stream, flush=True))


class Lines:
    """A line for each stage and evaluation, and a sign of life in between."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Give the lines to `say`."""
        self._say = say
        self._spoke = time.monotonic()
        self._steps = 0
        self._smooth: float | None = None

    def __call__(self, event: Event) -> None:
        """Say what there is to say."""
        line = self._line(event)
        if line:
            self._spoke = time.monotonic()
            self._say(line)

    def _line(self, event: Event) -> str | None:
        if isinstance(event, Started):
            self._steps = event.steps
            return started(event)
        if isinstance(event, StageStarted):
            return stage(event)
        if isinstance(event, Stepped):
            self._smooth = event.loss if self._smooth is None else 0.9 * self._smooth + 0.1 * event.loss
            if time.monotonic() - self._spoke < _HEARTBEAT:
                return None
            speed = event.samples / max(event.seconds, 1e-9)
            place = f"step {event.step}/{self._steps}  epoch {event.epoch:.2f}"
            return f"{place}  loss {self._smooth:.3f}  {speed:.0f} images/s"
        if isinstance(event, Evaluated):
            loss = "" if self._smooth is None else f"train loss {self._smooth:.3f}  "
            return f"epoch {event.epoch:g}  {loss}{evaluated(event)}"
        return last_words(event)


class Live:
    """A progress bar over the steps, with what was evaluated written above it."""

    def __init__(self, stream: IO[str]) -> None:
        """Show nothing until training starts."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(file=stream, highlight=False),
            transient=True,
        )
        self._task: Any = None
        self._smooth: float | None = None
        self._stage = ""
        self._best = ""

    def __call__(self, event: Event) -> None:
        """Move the bar, or write a line above it."""
        if isinstance(event, Started):
            self._progress.console.print(started(event), markup=False)
            self._task = self._progress.add_task("", total=event.steps, completed=event.step, figures="")
            self._progress.start()
        elif isinstance(event, StageStarted):
            self._stage = f"{event.settings.image_size} px"
            if event.stages > 1:
                self._progress.console.print(stage(event), markup=False)
        elif isinstance(event, Stepped):
            self._smooth = event.loss if self._smooth is None else 0.9 * self._smooth + 0.1 * event.loss
            speed = event.samples / max(event.seconds, 1e-9)
            figures = f"loss {self._smooth:.3f}  rate {event.rate:.2g}  {speed:.0f} images/s{self._best}"
            description = f"epoch {event.epoch:.1f}, {self._stage}"
            self._progress.update(self._task, completed=event.step, description=description, figures=figures)
        elif isinstance(event, Evaluated):
            if event.best:
                self._best = f"  best {event.metrics['top1']:.2f} %"
            self._progress.console.print(f"epoch {event.epoch:g}  {evaluated(event)}", markup=False)
        elif words := last_words(event):
            if isinstance(event, Finished):
                self._progress.stop()
            self._progress.console.print(words, markup=False)

    def close(self) -> None:
        """Give the terminal back, when the run ends early."""
        self._progress.stop()


def started(event: Started) -> str:
    """Return what was decided, a line each, and where the run is."""
    lines = []
    if event.step:
        lines.append(f"resumed at step {event.step} of {event.steps}")
    else:
        width = max((len(decision.setting) for decision in event.decisions), default=0)
        value = max((len(decision.value) for decision in event.decisions), default=0)
        lines += [f"{d.setting:<{width}}  {d.value:<{value}}  {d.reason}" for d in event.decisions]
    lines.append(f"{event.epochs} epochs, {event.steps} steps; run folder {event.folder}")
    return "\n".join(lines)


def stage(event: StageStarted) -> str:
    """Return what a progressive stage trains with."""
    s = event.settings
    parts = [f"stage {s.stage + 1} of {event.stages}: {s.image_size} px", f"batch {event.batch}"]
    named = {"RandAugment": s.magnitude, "mixup": s.mixup, "CutMix": s.cutmix, "dropout": s.dropout}
    return ", ".join(parts + [f"{name} {value:.3g}" for name, value in named.items() if value])


def evaluated(event: Evaluated) -> str:
    """Return the figures of an evaluation."""
    m = event.metrics
    mark = "  best so far" if event.best else ""
    return f"top-1 {m['top1']:.2f} %  loss {m['loss']:.3f}  calibration error {m['ece']:.1f} %{mark}"


def last_words(event: Event) -> str | None:
    """Return what to say of warnings and of the end."""
    if isinstance(event, Warned):
        # What was remarked of the data says itself how grave it is.
        graded = event.message.startswith(("error: ", "warning: ", "note: "))
        return event.message if graded else f"warning: {event.message}"
    if isinstance(event, Finished):
        why = {"completed": "done", "no_improvement": "stopped: no better for a while", "out_of_time": "out of time"}
        best = "" if event.best is None else f", best top-1 {event.best:.2f} %"
        return f"{why[event.ending]} after {event.step} steps in {event.seconds:.0f} s{best}"
    return None

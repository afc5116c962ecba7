"""Showing a run as it goes: a live bar and table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from effnet.data.source import counted
from effnet.training.events import Evaluated, Event, Finished, Observer, StageStarted, Started, Stepped, Warned
from effnet.training.score import FEW, Chooser, Score

_HEARTBEAT = 30.0
"""Seconds between lines about steps where nothing moves on the screen."""

_LEAST_BAR = 12
"""Columns of the bar itself, at least."""

_ANY_WIDTH = 10_000


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
        self._clock = Clock()
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
            self._clock.start(event)
            return started(event)
        if isinstance(event, StageStarted):
            return stage(event)
        if isinstance(event, Stepped):
            self._smooth = event.loss if self._smooth is None else 0.9 * self._smooth + 0.1 * event.loss
            self._clock.pass_step(event)
            if time.monotonic() - self._spoke < _HEARTBEAT:
                return None
            speed = event.samples / max(event.seconds, 1e-9)
            place = f"step {event.step}/{self._steps}  epoch {event.epoch:.2f}"
            return f"{place}  loss {self._smooth:.3f}  {speed:.0f} images/s  {self._clock.left}"
        if isinstance(event, Evaluated):
            self._clock.pass_judging(event)
            return fitting(evaluated(event, self._smooth), _ANY_WIDTH)
        return last_words(event)


class Live:
    """A progress bar over the steps, with what was evaluated written above it.

    What does not fit the width of the terminal is left out, the time left last of all.
    """

    def __init__(self, stream: IO[str]) -> None:
        """Show nothing until training starts."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = Console(file=stream, highlight=False)
        self._progress = Progress(
            BarColumn(bar_width=None),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            expand=True,
        )
        self._task: Any = None
        self._clock = Clock()
        self._smooth: float | None = None
        self._stage = ""
        self._best = ""

    def __call__(self, event: Event) -> None:
        """Move the bar, or write a line above it."""
        if isinstance(event, Started):
            self._write(started(event))
            self._clock.start(event)
            self._task = self._progress.add_task("", total=event.steps, completed=event.step)
            self._progress.start()
        elif isinstance(event, StageStarted):
            self._stage = f"{event.settings.image_size} px"
            if event.stages > 1:
                self._write(stage(event))
        elif isinstance(event, Stepped):
            self._smooth = event.loss if self._smooth is None else 0.9 * self._smooth + 0.1 * event.loss
            self._clock.pass_step(event)
            figures = fitting(self._figures(event), self._console.width - _LEAST_BAR)
            self._progress.update(self._task, completed=event.step, description=figures)
        elif isinstance(event, Evaluated):
            if event.best:
                self._best = f"best {event.score.by(event.chooser):.0f} %"
            self._clock.pass_judging(event)
            self._write(fitting(evaluated(event), self._console.width), "bold" if event.best else "")
        elif words := last_words(event):
            if isinstance(event, Finished):
                self._progress.stop()
            self._write(words, "yellow" if isinstance(event, Warned) else "bold green")

    def refresh(self) -> None:
        """Draw now, not at the next of the regular times."""
        self._progress.refresh()

    def close(self) -> None:
        """Give the terminal back, when the run ends early."""
        self._progress.stop()

    def _write(self, line: str, style: str = "") -> None:
        self._progress.console.print(line, markup=False, style=style or None)

    def _figures(self, event: Stepped) -> list[tuple[int, str]]:
        speed = event.samples / max(event.seconds, 1e-9)
        parts = [
            (1, f"epoch {event.epoch:.1f}"),
            (6, self._stage),
            (2, f"loss {self._smooth:.3f}"),
            (3, self._best),
            (5, f"rate {event.rate:.2g}"),
            (4, f"{speed:.0f} images/s"),
        ]
        return [*parts, (0, self._clock.left)]


class Clock:
    """How long a run still takes, by the steps of this session and its judgements."""

    def __init__(self) -> None:
        self._steps = self._done = self._here = 0
        self._epochs = 0
        self._seconds = self._judging = self._epoch = 0.0

    def start(self, event: Started) -> None:
        """Take how much there is to do."""
        self._steps, self._done, self._epochs = event.steps, event.step, event.epochs

    def pass_step(self, event: Stepped) -> None:
        """Take how long a step took; early ones count ever less, as stages differ."""
        self._done, self._epoch, self._here = event.step, event.epoch, self._here + 1
        self._seconds += (event.seconds - self._seconds) * max(0.05, 1 / self._here)

    def pass_judging(self, event: Evaluated) -> None:
        """Take how long a judgement took."""
        self._judging = event.seconds

    @property
    def left(self) -> str:
        """The time left in words, such as `3:20 left`."""
        if not self._here:
            return ""
        epochs = max(0.0, self._epochs - self._epoch)
        return f"{clock_text((self._steps - self._done) * self._seconds + epochs * self._judging)} left"


def clock_text(seconds: float) -> str:
    """Return hours, minutes and seconds as a clock shows them: `0:09`, `12:40`, `3:05:00`."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def fitting(parts: Sequence[tuple[int, str]], width: int) -> str:
    """Return the texts in a line of at most `width` letters, leaving out those of the highest rank first."""
    kept = [part for part in parts if part[1]]
    while len(kept) > 1 and len("  ".join(text for _, text in kept)) > width:
        kept.remove(max(kept, key=lambda part: part[0]))
    return "  ".join(text for _, text in kept)


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


def evaluated(event: Evaluated, smooth: float | None = None) -> list[tuple[int, str]]:
    """Return the figures of an evaluation, each with a rank: the higher, the sooner it can be left out.

    Args:
        smooth: loss in training.
    """
    score = event.score
    differs = round(score.mean_of_classes, score.digits) != round(score.top1, score.digits)
    mean = differs or event.chooser == "mean_of_classes"
    never = len(score.never_answered)
    return [
        (0, f"epoch {event.epoch:g}"),
        (6, "" if smooth is None else f"train loss {smooth:.3f}"),
        (0, f"top-1 {score.top1_text}"),
        (1, f"mean of classes {score.mean_text}" if mean else ""),
        (4, f"loss {score.loss:.3f}"),
        (5, f"calibration error {score.ece:.1f} %"),
        (3, f"{never} of the classes never answered" if never else ""),
        (2, "best so far" if event.best else ""),
    ]


def last_words(event: Event) -> str | None:
    """Return what to say of warnings and of the end."""
    if isinstance(event, Warned):
        # What was remarked of the data says itself how grave it is.
        graded = event.message.startswith(("error: ", "warning: ", "note: "))
        return event.message if graded else f"warning: {event.message}"
    if isinstance(event, Finished):
        why = {"completed": "done", "no_improvement": "stopped: no better for a while", "out_of_time": "out of time"}
        line = f"{why[event.ending]} after {counted(event.step, 'step')} in {event.seconds:.0f} s"
        return line if event.score is None else f"{line}\n{outcome(event.score, event.chooser)}"
    return None


def outcome(score: Score, chooser: Chooser) -> str:
    """Return how good the network is that is handed over, in as many lines as there is something to say."""
    rows = outcome_rows(score, chooser)
    return "\n".join(f"{name:<10} {text}" for name, text in rows)


def outcome_rows(score: Score, chooser: Chooser) -> list[tuple[str, str]]:
    """Return the same as (name, text), for a page."""
    by = "top-1" if chooser == "top1" else "the mean of the classes"
    rows = [
        ("best", f"top-1 {score.top1_text}, mean of classes {score.mean_text}, loss {score.loss:.3f}"),
        ("chosen by", f"{by}; ties by the lower loss, then the later epoch"),
    ]
    if score.never_text:
        rows.append(("warning", score.never_text))
    if score.images < FEW:
        few = f"only {counted(score.images, 'image')} to judge by, so the interval is what is known"
        rows.append(("warning", few))
    return rows

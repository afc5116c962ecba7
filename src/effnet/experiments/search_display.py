"""Showing an experiment as it goes: the current Pareto front on a terminal, a line for each candidate elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, Any

from effnet.experiments.phases import Progress, Watcher
from effnet.search.pareto import front
from effnet.search.study import Record

_ROWS = 12


def display_for(stream: IO[str], cost: str | None = None) -> Watcher:
    """Return what suits the stream.

    Args:
        cost: kind of cost that the Pareto front is drawn over; None: there is none.
    """
    if stream.isatty():
        return _Live(stream, cost)
    return _Lines(lambda line: print(line, file=stream, flush=True), cost)


class _Lines:
    def __init__(self, say: Callable[[str], None], cost: str | None) -> None:
        self._say, self._cost = say, cost
        self._told: dict[str, set[int]] = {}

    def __call__(self, progress: Progress) -> None:
        told = self._told.setdefault(progress.phase, set())
        done = [record for record in progress.records if record.done]
        for record in done:
            if record.index not in told:
                told.add(record.index)
                self._say(f"{progress.phase} {len(told)}/{progress.units}  {told_of(record, self._cost)}")


class _Live:
    def __init__(self, stream: IO[str], cost: str | None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._cost = cost
        self._live = Live(console=Console(file=stream, highlight=False), auto_refresh=False)

    def __call__(self, progress: Progress) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        if not self._live.is_started:
            self._live.start()
        done = [record for record in progress.records if record.done]
        running = sum(not record.done for record in progress.records)
        head = Text(f"{progress.phase}: {len(done)} of {progress.units} done, {running} under way")
        bar = ProgressBar(total=progress.units, completed=len(done), width=60)
        self._live.update(Group(head, bar, self._table(done)), refresh=True)
        if len(done) == progress.units:
            self._live.stop()

    def _table(self, done: Sequence[Record]) -> Any:
        from rich.table import Table

        judged = [record for record in done if record.result.get("accuracy")]
        table = Table("candidate", "top-1 %", self._cost or "", "reward", box=None, title_justify="left")
        if self._cost is not None:
            judged = [record for record in judged if self._cost in record.result.get("costs", {})]
            points = [(record.result["costs"][self._cost], record.result["accuracy"]) for record in judged]
            judged = [judged[place] for place in front(points)]
            table.title = "Pareto front"
        else:
            judged = sorted(judged, key=lambda record: -record.result["accuracy"])
            table.title = "best so far"
        for record in judged[-_ROWS:] if self._cost else judged[:_ROWS]:
            costs = record.result.get("costs", {})
            shown = f"{costs[self._cost]:.4g}" if self._cost else ""
            reward = record.result.get("reward")
            table.add_row(
                str(record.index),
                f"{record.result['accuracy']:.2f}",
                shown,
                "" if reward is None else f"{reward:.4f}",
            )
        return table


def told_of(record: Record, cost: str | None) -> str:
    """Return one line about a finished unit."""
    result = record.result
    if record.state == "failed":
        return f"candidate {record.index} given up: {result.get('reason', 'no reason known')}"
    parts = [f"candidate {record.index}"]
    if result.get("accuracy") is not None:
        parts.append(f"top-1 {result['accuracy']:.2f} %")
    if cost is not None and cost in result.get("costs", {}):
        parts.append(f"{cost} {result['costs'][cost]:.4g}")
    if "reward" in result:
        parts.append(f"reward {result['reward']:.4f}")
    if record.state == "pruned":
        parts.append("stopped early")
    if record.attempts > 1:
        parts.append(f"attempt {record.attempts}")
    parts.append(f"{result.get('seconds', 0.0):.1f} s")
    return "  ".join(parts)

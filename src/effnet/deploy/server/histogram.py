"""A histogram that costs a request next to nothing: Prometheus's own takes a lock and a walk a time, of six a request.

It is for one thread, the event loop's, which also answers who reads the metrics.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class Counts:
    """How many values were at most as large as each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Take the bounds, in ascending order."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """Return how many values there are up to each bound, as Prometheus writes it, and their sum."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True)), self._sum


class Histogram(Collector):
    """Counts by the value of one label, or without one."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], label: str | None = None) -> None:
        """Take the name with its unit, what it is for people, the bounds and the label's name."""
        self._name = name
        self._text = text
        self._bounds = bounds
        self._label = label
        self._children: dict[str, Counts] = {}

    def of(self, value: str = "") -> Counts:
        """Return the counts of a value of the label."""
        if value not in self._children:
            self._children[value] = Counts(self._bounds)
        return self._children[value]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give what was counted, in the form that the registry asks for."""
        labels = [] if self._label is None else [self._label]
        family = HistogramMetricFamily(self._name, self._text, labels=labels)
        for value, counts in self._children.items():
            buckets, total = counts.cumulative()
            family.add_metric([value] if labels else [], buckets, total)
        yield family

"""The candidates that no other beats in both accuracy and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points (cost, accuracy) on the Pareto front, cheapest first.

    A point is on it when none is at most as dear and more accurate, or cheaper and at least as accurate. Of equal
    points the first counts.
    """
    best, chosen = -math.inf, []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i)):
        if points[place][1] > best:
            best = points[place][1]
            chosen.append(place)
    return chosen

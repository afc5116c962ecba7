"""Where the names of a chart's points go: beside their points, over nothing, and never over each other.

Each name has places to choose from, in rings around its point. A place costs for what it hides (points, lines) and for
its distance; two names that overlap cost more than anything else. The names start at their cheapest places and then
move, one after the other, to the cheapest given where the others are, until none moves; names that still overlap are
shaken and tried again. A name that finds no free place is left out, and the caller is told.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

_RINGS = (8.5, 15.0, 24.0, 35.0, 48.0, 66.0, 90.0)
_DIRECTIONS = 16
_PLACES = 40
"""Cheapest places that a name chooses from at first; from all of them where those do not do."""

_MARGIN = 1.5
_LEADER = 14.0
"""Pixels from a point from which a line leads to its name."""

_OVERLAP, _ON_LEADER, _LEADERS_CROSS, _ON_POINT, _ON_LINE, _FAR = 1e6, 900.0, 300.0, 400.0, 4.0, 1.0
_SWEEPS, _SHAKES = 30, 60


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; y grows downward."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box, margin: float = 0.0) -> bool:
        """Whether the two come nearer than `margin`."""
        return (
            self.left < other.right + margin
            and other.left < self.right + margin
            and self.top < other.bottom + margin
            and other.top < self.bottom + margin
        )

    def holds(self, other: Box) -> bool:
        """Whether `other` lies inside."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )


@dataclass(frozen=True, slots=True)
class Label:
    """A name to place: its point, and how large it is, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name stands; `leader` is the line from its point to it, if it stands off."""

    box: Box
    leader: tuple[float, float, float, float] | None


Segment = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class _Option:
    place: Place
    cost: float


def place_labels(
    labels: Sequence[Label],
    *,
    area: Box,
    points: Sequence[tuple[float, float, float]] = (),
    lines: Sequence[Segment] = (),
) -> list[Place | None]:
    """Return a place for each label, none over another; None where there is none.

    Args:
        labels: what to place; earlier ones are kept when not all find a place.
        area: inside which all must be.
        points: (x, y, radius) that should stay visible.
        lines: (x1, y1, x2, y2) likewise, if less.
    """
    everything = [_options(label, area, points, lines) for label in labels]
    placed = _placed([choices[:_PLACES] for choices in everything])
    if all(place or not choices for place, choices in zip(placed, everything, strict=True)):
        return placed
    return max(placed, _placed(everything), key=lambda places: sum(place is not None for place in places))


def _placed(options: Sequence[Sequence[_Option]]) -> list[Place | None]:
    near = _neighbours(options)
    chosen = [0 if choices else -1 for choices in options]
    _settle(options, near, chosen)
    best, least = list(chosen), _overlaps(options, near, chosen)
    chance = random.Random(0)
    for _ in range(_SHAKES):
        if not least:
            break
        for place in _overlapping(options, near, chosen):
            chosen[place] = chance.randrange(len(options[place]))
        _settle(options, near, chosen)
        count = _overlaps(options, near, chosen)
        if count < least:
            best, least = list(chosen), count
    kept: list[Place | None] = []
    for place, choice in enumerate(best):
        box = options[place][choice].place.box if choice >= 0 else None
        free = box is not None and not any(other is not None and other.box.overlaps(box) for other in kept)
        kept.append(options[place][choice].place if free else None)
    return kept


def clipped_length(segment: Segment, box: Box) -> float:
    """Return how many pixels of a line run inside a box (Liang and Barsky, 1984)."""
    x1, y1, x2, y2 = segment
    dx, dy = x2 - x1, y2 - y1
    enter, leave = 0.0, 1.0
    for step, distance in ((-dx, x1 - box.left), (dx, box.right - x1), (-dy, y1 - box.top), (dy, box.bottom - y1)):
        if step == 0:
            if distance < 0:
                return 0.0
        elif step < 0:
            enter = max(enter, distance / step)
        else:
            leave = min(leave, distance / step)
    return max(0.0, leave - enter) * math.hypot(dx, dy)


def _options(
    label: Label, area: Box, points: Sequence[tuple[float, float, float]], lines: Sequence[Segment]
) -> list[_Option]:
    reach = _RINGS[-1] + max(label.width, label.height)
    around = Box(label.x - reach, label.y - reach, label.x + reach, label.y + reach)
    dots = [p for p in points if around.left < p[0] < around.right and around.top < p[1] < around.bottom]
    strokes = [line for line in lines if clipped_length(line, around)]
    found = []
    for ring in _RINGS:
        for turn in range(_DIRECTIONS):
            angle = 2 * math.pi * turn / _DIRECTIONS
            box = _box(label, ring, math.cos(angle), math.sin(angle))
            if area.holds(box):
                cost = _FAR * (ring - _RINGS[0]) + _taste(angle) + _hidden(box, dots, strokes)
                leader = _leader(label, box) if ring >= _LEADER else None
                found.append(_Option(Place(box, leader), cost))
    found.sort(key=lambda option: option.cost)
    return found


def _box(label: Label, ring: float, across: float, down: float) -> Box:
    x = label.x + across * (ring + label.width / 2)
    y = label.y + down * (ring + label.height / 2)
    return Box(x - label.width / 2, y - label.height / 2, x + label.width / 2, y + label.height / 2)


def _taste(angle: float) -> float:
    """Prefer up and to the left, where curves that rise to the right leave room, then right and down."""
    return 2.0 * (1 - math.cos(angle - math.radians(225))) if math.sin(angle) < 0.1 else 3.0


def _hidden(box: Box, points: Sequence[tuple[float, float, float]], lines: Sequence[Segment]) -> float:
    wide = Box(box.left - _MARGIN, box.top - _MARGIN, box.right + _MARGIN, box.bottom + _MARGIN)
    cost = sum(_ON_LINE * clipped_length(line, wide) for line in lines)
    for x, y, radius in points:
        aside = max(wide.left - x, 0.0, x - wide.right)
        above = max(wide.top - y, 0.0, y - wide.bottom)
        if math.hypot(aside, above) < radius:
            cost += _ON_POINT
    return cost


def _leader(label: Label, box: Box) -> Segment:
    x = min(max(label.x, box.left), box.right)
    y = min(max(label.y, box.top), box.bottom)
    return label.x, label.y, x, y


def _neighbours(options: Sequence[Sequence[_Option]]) -> list[list[int]]:
    reaches = []
    for choices in options:
        boxes = [option.place.box for option in choices]
        if boxes:
            lowest = Box(
                min(b.left for b in boxes),
                min(b.top for b in boxes),
                max(b.right for b in boxes),
                max(b.bottom for b in boxes),
            )
        reaches.append(lowest if boxes else None)
    near: list[list[int]] = []
    for place, mine in enumerate(reaches):
        near.append([o for o, its in enumerate(reaches) if o != place and mine and its and mine.overlaps(its, _MARGIN)])
    return near


def _settle(options: Sequence[Sequence[_Option]], near: Sequence[Sequence[int]], chosen: list[int]) -> None:
    for _ in range(_SWEEPS):
        moved = False
        for place, choices in enumerate(options):
            if len(choices) < 2:
                continue
            others = [options[other][chosen[other]].place for other in near[place] if chosen[other] >= 0]
            costs = [option.cost + sum(_between(option.place, other) for other in others) for option in choices]
            best = min(range(len(costs)), key=costs.__getitem__)
            if costs[best] < costs[chosen[place]]:
                chosen[place], moved = best, True
        if not moved:
            return


def _between(one: Place, other: Place) -> float:
    cost = 0.0
    if one.box.overlaps(other.box, _MARGIN):
        cost += _OVERLAP
    if one.leader and clipped_length(one.leader, other.box):
        cost += _ON_LEADER
    if other.leader and clipped_length(other.leader, one.box):
        cost += _ON_LEADER
    if one.leader and other.leader and _cross(one.leader, other.leader):
        cost += _LEADERS_CROSS
    return cost


def _cross(one: Segment, other: Segment) -> bool:
    def side(line: Segment, x: float, y: float) -> float:
        return (line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0])

    apart = side(one, other[0], other[1]) * side(one, other[2], other[3])
    return apart < 0 and side(other, one[0], one[1]) * side(other, one[2], one[3]) < 0


def _overlapping(
    options: Sequence[Sequence[_Option]], near: Sequence[Sequence[int]], chosen: Sequence[int]
) -> list[int]:
    found = []
    for place, choice in enumerate(chosen):
        if choice < 0:
            continue
        box = options[place][choice].place.box
        others = (options[other][chosen[other]].place.box for other in near[place] if chosen[other] >= 0)
        if any(box.overlaps(other, _MARGIN) for other in others):
            found.append(place)
    return found


def _overlaps(options: Sequence[Sequence[_Option]], near: Sequence[Sequence[int]], chosen: Sequence[int]) -> int:
    return len(_overlapping(options, near, chosen))

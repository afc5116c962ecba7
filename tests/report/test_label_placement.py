"""Names are placed inside, near their points, and never over each other, whatever the points."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.report.label_placement import Box, Label, clipped_length, place_labels

AREA = Box(0, 0, 400, 300)
COORDINATES = st.tuples(st.floats(0, 400), st.floats(0, 300), st.floats(5, 90))


@given(spots=st.lists(COORDINATES, max_size=30))
@settings(max_examples=60)
def test_no_names_overlap_and_none_leaves_the_area(spots: list[tuple[float, float, float]]) -> None:
    labels = [Label(x, y, width, 12) for x, y, width in spots]
    places = place_labels(labels, area=AREA, points=[(x, y, 5) for x, y, _ in spots])
    assert len(places) == len(labels)
    placed = [(label, place) for label, place in zip(labels, places, strict=True) if place]
    for label, place in placed:
        box = place.box
        assert AREA.holds(box)
        assert (box.right - box.left, box.bottom - box.top) == pytest.approx((label.width, label.height))
        aside = max(box.left - label.x, 0, label.x - box.right)
        above = max(box.top - label.y, 0, label.y - box.bottom)
        assert math.hypot(aside, above) <= 91
    assert not any(a.box.overlaps(b.box) for (_, a), (_, b) in combinations(placed, 2))


def test_a_crowd_finds_room_for_all_of_its_names() -> None:
    labels = [Label(200 + 4 * i, 150 + 3 * (i % 3), 50, 12) for i in range(12)]
    places = place_labels(labels, area=AREA)
    assert all(places)
    assert any(place and place.leader for place in places), "those that stand off are led to"


def test_a_name_alone_stands_beside_its_point_and_off_its_line() -> None:
    (place,) = place_labels([Label(200, 150, 40, 12)], area=AREA, points=[(200, 150, 5)], lines=[(0, 250, 400, 50)])
    assert place is not None
    assert place.leader is None
    assert clipped_length((0, 250, 400, 50), place.box) == 0


def test_what_cannot_be_placed_is_left_out() -> None:
    places = place_labels([Label(10, 10, 30, 12)] * 4, area=Box(0, 0, 34, 30))
    assert 1 <= sum(place is not None for place in places) <= 2
    assert place_labels([Label(10, 10, 500, 12)], area=AREA) == [None]


@pytest.mark.parametrize(
    ("segment", "length"),
    [((0, 5, 20, 5), 10), ((0, 0, 10, 10), 7.07), ((7, 7, 7, 7), 0), ((0, 30, 20, 30), 0), ((5, 0, 5, 20), 10)],
)
def test_lines_are_clipped_to_the_box(segment: tuple[float, float, float, float], length: float) -> None:
    assert clipped_length(segment, Box(5, 5, 15, 15)) == pytest.approx(length, abs=0.01)

"""Random numbers are a pure function of seed and place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.data.randomness import Purpose, generator
from effnet.errors import InputError

words = st.integers(0, 2**64 - 1)
GOLDEN = [0.3608170112557758, 0.4560497716391493]

places = st.lists(words, max_size=3).map(tuple)


@given(words, places, st.sampled_from(Purpose))
def test_the_same_place_always_gives_the_same_numbers(seed: int, place: tuple[int, ...], purpose: Purpose) -> None:
    first = generator(seed, *place, purpose=purpose).random(5)
    assert np.array_equal(first, generator(seed, *place, purpose=purpose).random(5))


@given(st.lists(st.tuples(words, places, st.sampled_from(Purpose)), min_size=2, max_size=6, unique=True))
def test_different_places_give_different_numbers(keys: list[tuple[int, tuple[int, ...], Purpose]]) -> None:
    streams = {tuple(generator(seed, *place, purpose=purpose).random(3)) for seed, place, purpose in keys}
    assert len(streams) == len(keys)


def test_neighbours_never_overlap() -> None:
    # 2000 numbers each from 60 neighbouring places: no 64-bit output occurs twice.
    raw = [
        generator(seed, epoch, index).bit_generator.random_raw(2000)
        for seed, epoch, index in itertools.product(range(3), range(4), range(5))
    ]
    assert len(np.unique(np.concatenate(raw))) == 60 * 2000


def test_first_numbers_of_neighbours_look_independent() -> None:
    first = np.array([generator(0, 1, index).random(2) for index in range(4000)])
    assert abs(first.mean() - 0.5) < 0.01
    lagged = np.corrcoef(first[:-1, 0], first[1:, 0])[0, 1]
    within = np.corrcoef(first[:, 0], first[:, 1])[0, 1]
    assert max(abs(lagged), abs(within)) < 4 / np.sqrt(4000)


def test_numbers_stay_what_they_were() -> None:
    # A run that was interrupted under an earlier version must resume with the same numbers.
    assert generator(1, 2, 3).random(2).tolist() == GOLDEN
    assert generator(1, 2, 3, purpose=Purpose.MIX).random() != GOLDEN[0]


@pytest.mark.parametrize("arguments", [(-1,), (2**64,), (0, -1), (0, 1, 2, 3, 4)])
def test_impossible_places_are_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="generator"):
        generator(*arguments)

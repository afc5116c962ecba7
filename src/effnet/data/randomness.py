"""The one seed derivation: every random choice is a pure function of a seed and a place in the run.

Nothing here has state, so the order of work, the number of workers and an interruption cannot change what is drawn:
the augmentation of image 17 in epoch 3 is `generator(seed, 3, 17)` wherever and whenever it is computed.

Philox is a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): its output
is a hash of a key and a counter. The key holds the seed and the purpose, three of the four counter words hold the
place, and the fourth counts the numbers drawn there. Two places can therefore never overlap, which hashing a seed
together with an index cannot promise.
"""

from __future__ import annotations

import enum

import numpy as np

from effnet.errors import InputError

_WORDS = 3
"""Counter words that name a place; the fourth is the generator's own."""

_LIMIT = 2**64


class Purpose(enum.IntEnum):
    """What the numbers are for; each purpose has its own stream at the same place."""

    AUGMENT = 1
    """Crop, flip and policy of one image: `generator(seed, epoch, index)`."""

    ORDER = 2
    """Order of the samples of one epoch: `generator(seed, epoch, purpose=Purpose.ORDER)`."""

    MIX = 3
    """Mixup and CutMix of one batch: `generator(seed, step, batch of the step, rank, purpose=Purpose.MIX)`."""

    NOISE = 4
    """Seed of torch's own generator for one batch, which dropout and drop path draw from; placed like MIX."""

    REPLACE = 5
    """Which images stand in for one that cannot be read; placed like AUGMENT."""


def generator(seed: int, *position: int, purpose: Purpose = Purpose.AUGMENT) -> np.random.Generator:
    """Return the random numbers that belong to one place of a run.

    Args:
        seed: of the whole run, 0 <= seed < 2**64.
        position: up to three whole numbers below 2**64, such as epoch and sample index. `(3,)` and `(3, 0)` are
            different places.
        purpose: what the numbers are for.

    Returns:
        A generator that nobody else shares; about 2**66 numbers long.

    Raises:
        InputError: a number is negative or too large, or there are more than three positions.
    """
    if len(position) > _WORDS:
        raise InputError(f"{len(position)} positions", where="generator", fix=f"name a place by at most {_WORDS}")
    if not all(0 <= number < _LIMIT for number in (seed, *position)):
        raise InputError(
            f"seed {seed}, position {position}", where="generator", fix="use whole numbers from 0 to 2**64 - 1"
        )
    key = np.array([seed, purpose << 8 | len(position)], dtype=np.uint64)
    counter = np.array([0, *position, *[0] * (_WORDS - len(position))], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))

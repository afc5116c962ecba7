"""Successive halving (arXiv 1502.07943): all candidates train a little, the better half more, the last two fully.

Pure functions of what has been measured; `effnet.experiments.network_choice` trains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FINALISTS = 2

_FIRST_SHARE = 0.4
"""Of the time, that the first rung may take: it is short, but all take part."""

_SPARE = 0.85
"""Of the remaining time that is planned with: evaluation and reports take some, and machines are not always as fast."""

_LEAST_PER_CLASS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One round.

    Attributes:
        names: who trains.
        epochs: how long.
        per_class: images of each class to learn from; None: all.
    """

    number: int
    names: tuple[str, ...]
    epochs: int
    per_class: int | None


def first_rung(
    names: Sequence[str],
    *,
    epochs: int,
    images: int,
    classes: int,
    seconds_per_image: Mapping[str, float],
    seconds: float,
) -> Rung:
    """Return the round in which all take part, with as many images as the time allows.

    Args:
        epochs: of a whole training; a quarter of it is trained, 2 at least.
        images: there are to learn from.
        seconds_per_image: of training, as estimated, by name.
        seconds: for everything.
    """
    few = max(2, min(epochs, round(epochs / 4)))
    whole = few * images * sum(seconds_per_image[name] for name in names)
    share = min(1.0, _FIRST_SHARE * seconds / whole) if whole else 1.0
    per_class = None if share == 1.0 else max(_LEAST_PER_CLASS, math.floor(share * images / classes))
    return Rung(number=1, names=tuple(names), epochs=few, per_class=per_class)


def next_rung(
    rung: Rung,
    top1: Mapping[str, float],
    order: Sequence[str],
    *,
    epochs: int,
    images: int,
    classes: int,
    seconds_per_image: Mapping[str, float],
    remaining: float,
) -> Rung | None:
    """Return the round of the better half; None after the finalists, or when nothing could go on.

    What time is left goes first into whole trainings, then into more of the images.

    Args:
        top1: percent, of those that finished this round.
        order: names by cost; of equals the cheaper goes on.
        epochs: of a whole training.
        images: there are to learn from.
        seconds_per_image: of training, as measured in this round, by name.
        remaining: seconds.
    """
    finished = sorted((name for name in rung.names if name in top1), key=lambda n: (-top1[n], order.index(n)))
    if not finished or (len(rung.names) <= FINALISTS and rung.number > 1):
        return None
    keep = finished[: max(FINALISTS, math.ceil(len(finished) / 2))]
    wanted = epochs if len(keep) <= FINALISTS else min(epochs, 2 * rung.epochs)
    rate = max(1e-9, sum(seconds_per_image[name] for name in keep))
    work = _SPARE * remaining / rate  # images that each could look at, over all epochs
    used = images if rung.per_class is None else min(images, rung.per_class * classes)
    part = min(images, max(used, math.floor(work / wanted)))
    planned = min(wanted, math.floor(work / part))
    if planned < rung.epochs or (planned == rung.epochs and part <= used):
        return None  # as much again would say nothing new
    per_class = None if part == images else max(rung.per_class or 1, part // classes)
    return Rung(number=rung.number + 1, names=tuple(keep), epochs=planned, per_class=per_class)


def paired_p(only_first: int, only_second: int) -> float:
    """Return the chance of so unequal a split if two networks were equally good (McNemar's exact test).

    Args:
        only_first, only_second: images that only one of the two answers rightly.
    """
    differing, smaller = only_first + only_second, min(only_first, only_second)
    if not differing:
        return 1.0
    tail: float = sum(math.comb(differing, wins) for wins in range(smaller + 1)) / 2**differing
    return min(1.0, 2 * tail)

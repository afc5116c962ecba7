"""Temperature scaling (Guo et al., arXiv 1706.04599 section 4.2): one number that makes confidence honest.

Dividing the logits by it changes no answer, only how sure the classifier says it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet.data.randomness import Purpose, generator
from effnet.errors import InputError
from effnet.inference.metrics import Evaluation, log_probabilities

_LOW, _HIGH = math.log(0.02), math.log(50.0)
_STEPS = 60  # of golden-section search: the interval shrinks to 1e-12 of its length


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A temperature and what it does.

    Attributes:
        temperature: fitted on all images.
        ece_before, ece_after: expected calibration error in percent, on images that the temperature was not fitted on:
            each half of the images is judged with the temperature of the other half.
        loss_before, loss_after: mean cross-entropy, likewise.
    """

    temperature: float
    ece_before: float
    ece_after: float
    loss_before: float
    loss_after: float


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """Return the temperature, 0.02 to 50, with the least cross-entropy of (N, K) logits for (N,) true classes.

    The cross-entropy is convex in 1 / temperature, hence has one valley in its logarithm too, which golden-section
    search finds without derivatives.
    """
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return float(-log_probabilities(logits, math.exp(log_temperature))[rows, labels].mean())

    low, high = _LOW, _HIGH
    ratio = (math.sqrt(5) - 1) / 2
    inner, outer = high - ratio * (high - low), low + ratio * (high - low)
    at_inner, at_outer = loss(inner), loss(outer)
    for _ in range(_STEPS):
        if at_inner <= at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - ratio * (high - low)
            at_inner = loss(inner)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + ratio * (high - low)
            at_outer = loss(outer)
    return math.exp((low + high) / 2)


def calibrate(
    logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], classes: tuple[str, ...]
) -> Calibrated:
    """Fit a temperature and judge it by cross-validation over two random halves.

    Raises:
        InputError: fewer than 20 images, from which nothing can be concluded.
    """
    if len(labels) < 20:
        raise InputError(f"{len(labels)} images", where="calibration", fix="give at least 20")
    order = generator(0, purpose=Purpose.ORDER).permutation(len(labels))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    before = Evaluation.of(logits, labels, classes)
    scaled = logits.astype(np.float64)
    for fitted_on, judged in (halves, halves[::-1]):
        scaled[judged] /= fit_temperature(logits[fitted_on], labels[fitted_on])
    after = Evaluation.of(scaled, labels, classes)
    return Calibrated(
        temperature=fit_temperature(logits, labels),
        ece_before=before.ece,
        ece_after=after.ece,
        loss_before=before.loss,
        loss_after=after.loss,
    )

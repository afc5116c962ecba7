"""How well a cheap score ranks networks, and what accuracy a score stands for."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effnet.errors import InputError, MissingDependencyError

_RESAMPLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """Kendall's tau-b of two rankings.

    Attributes:
        tau: 1 is the same order, 0 no relation, -1 the opposite order.
        low, high: 95 % interval, by resampling the networks.
        count: networks that were ranked.
    """

    tau: float
    low: float
    high: float
    count: int


def kendall(scores: Sequence[float], truth: Sequence[float], *, seed: int = 0) -> RankCorrelation:
    """Return how well `scores` rank what `truth` ranks.

    Where one of the two is the same for all networks there is no ranking, and tau is 0.

    Raises:
        InputError: not as many scores as truths, or fewer than two.
    """
    if len(scores) != len(truth) or len(scores) < 2:
        what = f"{len(scores)} scores and {len(truth)} accuracies"
        raise InputError(what, where="ranking", fix="give as many of both, at least two")
    one, other = np.asarray(scores, float), np.asarray(truth, float)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(one), (_RESAMPLES, len(one)))
    low, high = np.quantile(_taus(one, other, draws), (0.025, 0.975))
    tau = _taus(one, other, np.arange(len(one))[None])[0]
    return RankCorrelation(tau=float(tau), low=float(low), high=float(high), count=len(one))


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return the mean and half the width of its Student-t confidence interval; infinite for a single value."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.inf
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, student_t((1 + confidence) / 2, len(values) - 1) * error


def student_t(quantile: float, freedom: int) -> float:
    """Return a quantile of Student's t distribution.

    Raises:
        MissingDependencyError: scipy is not installed.
    """
    try:
        from scipy import stats
    except ImportError:
        raise MissingDependencyError.for_extra("scipy", "search", "a confidence interval") from None
    return float(stats.t.ppf(quantile, freedom))


@dataclass(frozen=True, slots=True)
class Calibration:
    """From a score to the accuracy that networks of that score have: a monotone staircase, joined by lines.

    Attributes:
        sign: -1 where lower scores were better.
        scores, accuracies: ascending corners.
    """

    sign: int
    scores: tuple[float, ...]
    accuracies: tuple[float, ...]

    @classmethod
    def fit(cls, scores: Sequence[float], accuracies: Sequence[float]) -> Calibration:
        """Fit by isotonic regression (pool adjacent violators), in the direction that tau says.

        Raises:
            InputError: fewer than two.
        """
        sign = -1 if kendall(scores, accuracies).tau < 0 else 1
        pairs = sorted(zip((sign * score for score in scores), accuracies, strict=True))
        pools: list[list[float]] = []  # sum of scores, sum of accuracies, count
        for score, accuracy in pairs:
            pools.append([score, accuracy, 1])
            while len(pools) > 1 and pools[-2][1] / pools[-2][2] >= pools[-1][1] / pools[-1][2]:
                last = pools.pop()
                pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
        corners = [(total / count, accuracy / count) for total, accuracy, count in pools]
        return cls(sign, tuple(score for score, _ in corners), tuple(accuracy for _, accuracy in corners))

    def __call__(self, score: float) -> float:
        """Return the expected accuracy, in the unit of the fit.

        Beyond the corners it stays level but for a hair, so that a higher score still wins a tie.
        """
        at = self.sign * score
        hair = 1e-6 * math.tanh((at - self.scores[0]) / (abs(self.scores[-1] - self.scores[0]) or 1.0))
        place = bisect.bisect_right(self.scores, at)
        if place == 0:
            return self.accuracies[0] + hair
        if place == len(self.scores):
            return self.accuracies[-1] + hair
        left, right = self.scores[place - 1], self.scores[place]
        share = (at - left) / (right - left)
        return self.accuracies[place - 1] * (1 - share) + self.accuracies[place] * share + hair


def _taus(one: NDArray[np.float64], other: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return tau-b of each draw (R, N): agreeing less disagreeing pairs, over the root of the pairs without ties."""
    first, second = (np.sign(values[:, None] - values[None, :]) for values in (one, other))  # (N, N)
    rows, columns = draws[:, :, None], draws[:, None, :]
    agree = (first * second)[rows, columns].sum((1, 2))
    untied = np.abs(first)[rows, columns].sum((1, 2)) * np.abs(second)[rows, columns].sum((1, 2))
    taus: NDArray[np.float64] = np.divide(agree, np.sqrt(untied), out=np.zeros(len(draws)), where=untied > 0)
    return taus

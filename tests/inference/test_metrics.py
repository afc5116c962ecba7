from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from effnet.errors import InputError
from effnet.inference.calibration import calibrate, fit_temperature
from effnet.inference.metrics import Evaluation, Share


def answers(seed: int, count: int = 200, kinds: int = 7) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, kinds, count)
    logits = rng.normal(size=(count, kinds)) * 2
    logits[np.arange(count), labels] += 1.5
    return logits, labels, tuple(f"class {number}" for number in range(kinds))


@given(st.integers(0, 1000), st.integers(2, 12))
def test_figures_are_those_of_scikit_learn(seed, kinds):
    logits, labels, names = answers(seed, kinds=kinds)
    ours = Evaluation.of(logits, labels, names)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predicted = chances.argmax(1)
    every = list(range(kinds))
    assert ours.top1 == pytest.approx(100 * metrics.accuracy_score(labels, predicted))
    if kinds > 5:
        assert ours.top5 == pytest.approx(100 * metrics.top_k_accuracy_score(labels, chances, k=5, labels=every))
    else:
        assert ours.top5 == 100
    assert ours.loss == pytest.approx(metrics.log_loss(labels, chances, labels=every))
    assert np.array_equal(ours.confusion, metrics.confusion_matrix(labels, predicted, labels=every))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    for number, score in enumerate(ours.classes):
        assert score.images == support[number]
        assert (score.precision or 0) == pytest.approx(100 * precision[number])
        assert (score.recall or 0) == pytest.approx(100 * recall[number])
        assert (score.f1 or 0) == pytest.approx(100 * f1[number])
    present = support > 0
    assert ours.class_accuracy == pytest.approx(100 * recall[present].mean())
    assert np.allclose(ours.confidence, chances.max(1))


def test_calibration_error_by_hand():
    # Four answers with 0.9 confidence, three right: 15 points off. Two with 0.6, both right: 40 off.
    chances = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2)
    ours = Evaluation.of(np.log(chances), np.array([0, 0, 0, 1, 1, 1]), ("a", "b"))
    assert ours.ece == pytest.approx((4 * 15 + 2 * 40) / 6)
    assert [b.images for b in ours.calibration] == [2, 4]
    assert sum(b.images for b in ours.calibration) == ours.images


@given(st.integers(1, 10_000), st.data())
def test_wilson_intervals_hold_the_share_and_shrink(count, data):
    hits = data.draw(st.integers(0, count))
    share, tenfold = Share.of(hits, count), Share.of(10 * hits, 10 * count)
    assert 0 <= share.low <= share.percent <= share.high <= 100
    assert tenfold.high - tenfold.low < share.high - share.low


def test_wilson_interval_of_a_known_case():
    # 81 of 263: the example of Newcombe, Statistics in Medicine 17 (1998), table I: 0.2553 to 0.3662.
    share = Share.of(81, 263)
    assert (share.low, share.high) == (pytest.approx(25.53, abs=0.005), pytest.approx(36.62, abs=0.005))


def test_temperature_undoes_a_known_one():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 5)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(5, p=row) for row in chances])
    for factor in (0.25, 1.0, 3.0):
        assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.05)
    result = calibrate(logits * 3, labels, tuple("abcde"))
    assert result.ece_after < 2 < result.ece_before
    assert result.loss_after < result.loss_before


def test_temperature_changes_no_answer():
    logits, labels, names = answers(1)
    hot, cold = Evaluation.of(logits, labels, names, 5.0), Evaluation.of(logits, labels, names, 0.5)
    assert np.array_equal(hot.predicted, cold.predicted)
    assert hot.confidence.mean() < cold.confidence.mean()


def test_the_figures_are_plain_json():
    json.dumps(Evaluation.of(*answers(3)).to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    "logits, labels, names",
    [
        (np.zeros((0, 2)), np.zeros(0, int), ("a", "b")),
        (np.zeros((3, 2)), np.zeros(2, int), ("a", "b")),
        (np.zeros((3, 2)), np.zeros(3, int), ("a",)),
        (np.zeros((3, 2)), np.array([0, 1, 2]), ("a", "b")),
        (np.full((3, 2), np.nan), np.zeros(3, int), ("a", "b")),
    ],
)
def test_what_cannot_be_judged_is_refused(logits, labels, names):
    with pytest.raises(InputError):
        Evaluation.of(logits, labels, names)

"""Which of two networks is handed over, and that few images are not made into certainty."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from effnet.inference.metrics import Evaluation
from effnet.training.score import Score


def score(answers: list[int], labels: list[int], *, sure: float = 2.0, classes: int = 3) -> Score:
    logits = np.zeros((len(labels), classes), np.float32)
    logits[np.arange(len(labels)), answers] = sure
    names = tuple(["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"][:classes])
    return Score.of(Evaluation.of(logits, np.asarray(labels), names))


RIGHT = score([0, 1, 2], [0, 1, 2])


def test_of_equal_scores_the_lower_loss_is_handed_over() -> None:
    surer = score([0, 1, 2], [0, 1, 2], sure=5.0)
    assert surer.loss < RIGHT.loss
    assert surer.replaces(RIGHT, "top1") and not RIGHT.replaces(surer, "top1")


def test_of_equal_losses_the_later_epoch_is_handed_over() -> None:
    assert RIGHT.replaces(RIGHT, "top1") and RIGHT.replaces(None, "top1")


def test_a_better_score_wins_whatever_its_loss() -> None:
    worse = score([0, 1, 0], [0, 1, 2], sure=2.0)
    better = dataclasses.replace(RIGHT, loss=100.0)
    assert better.replaces(worse, "top1") and not worse.replaces(better, "top1")


def test_the_mean_of_classes_sees_what_top1_does_not() -> None:
    labels = [0] * 8 + [1, 2]
    majority = score([0] * 10, labels)
    fair = score([0] * 5 + [1, 2, 1] + [1, 2], labels)
    assert (majority.top1, fair.top1) == (80.0, 70.0)
    assert not fair.replaces(majority, "top1") and fair.replaces(majority, "mean_of_classes")


def test_rounding_of_a_mean_breaks_no_tie() -> None:
    first = dataclasses.replace(RIGHT, mean_of_classes=70.0 + 1e-13, loss=0.9)
    second = dataclasses.replace(RIGHT, mean_of_classes=70.0, loss=0.2)
    assert second.replaces(first, "mean_of_classes")


def test_few_images_are_counted_and_have_their_interval() -> None:
    assert score([0] * 6, [0] * 6).top1_text == "100 % (6 of 6, 95 %: 61 to 100)"
    many = score([0] * 450 + [1] * 50, [0] * 500)
    assert many.top1_text.startswith("90.0 % (95 %: 87")


@pytest.mark.parametrize(("answers", "said"), [([0, 0, 0], "never answered: bee, cat"), ([0, 1, 2], "")])
def test_classes_that_are_never_answered_are_named(answers: list[int], said: str) -> None:
    assert score(answers, [0, 1, 2]).never_text == said


def test_many_of_them_are_counted() -> None:
    assert score([0] * 8, list(range(8)), classes=8).never_text.endswith("cat, dog, eel, fox and 2 more")


def test_a_class_without_images_is_not_missed() -> None:
    assert score([0, 1], [0, 1]).never_answered == ()


def test_it_comes_back_from_plain_types() -> None:
    found = score([0, 0, 0], [0, 1, 2])
    assert Score.from_dict(found.to_dict()) == found

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.deploy.quantize.judging import LOST, WON, Gate, Judgement, changes, points_down, points_up
from effnet.errors import InputError


def answers(*classes: int) -> np.ndarray:
    return np.eye(4, dtype=np.float32)[list(classes)]


def test_what_is_lost_and_won_counts_and_what_both_get_wrong_does_not() -> None:
    labels = np.array([0, 1, 2, 3, 0])
    judged = Judgement.of(answers(0, 0, 2, 1, 3), answers(0, 1, 1, 2, 3), labels)
    assert (judged.lost, judged.won, judged.images) == (1, 1, 5)
    assert judged.drop == 0
    assert judged.agreement == pytest.approx(40)
    assert (judged.reference, judged.top1) == (pytest.approx(40), pytest.approx(40))
    assert judged.uncertainty == pytest.approx(100 * np.sqrt(3) / 7)
    assert changes(answers(0, 0, 2, 1, 3), answers(0, 1, 1, 2, 3), labels).tolist() == [0, LOST, WON, 0, 0]


def test_without_labels_agreement_is_judged() -> None:
    judged = Judgement.of(answers(0, 1, 2, 3), answers(0, 1, 2, 0), None)
    assert (judged.reference, judged.top1) == (None, None)
    assert judged.drop == pytest.approx(25) == 100 - judged.agreement
    assert changes(answers(0, 1, 2, 3), answers(0, 1, 2, 0), None).tolist() == [0, 0, 0, LOST]


def test_few_images_that_stay_do_not_prove_that_all_will() -> None:
    few, many = (Judgement.of(answers(*[0] * n), answers(*[0] * n), None) for n in (10, 1000))
    assert few.drop == many.drop == 0
    assert few.uncertainty > 5 > 1 > many.uncertainty > 0


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=40))
def test_the_drop_is_the_difference_of_accuracies(rows: list[tuple[int, int, int]]) -> None:
    ours, theirs, labels = (list(column) for column in zip(*rows, strict=True))
    judged = Judgement.of(answers(*ours), answers(*theirs), np.array(labels))
    assert judged.reference is not None and judged.top1 is not None
    assert judged.drop == pytest.approx(judged.reference - judged.top1)
    assert judged.uncertainty >= 0
    assert judged.drop <= 100 - judged.agreement + 1e-9  # what changed is the most that can be lost


def test_the_gate_is_at_its_edge_inclusive() -> None:
    judged = Judgement.of(answers(*[0] * 199, 1), answers(*[0] * 200), np.zeros(200, np.int64))
    assert judged.drop == pytest.approx(0.5)
    assert Gate(max_drop=0.5).passes(judged)
    assert Gate(max_drop=0.5, min_agreement=99.5).passes(judged)
    (said,) = Gate(max_drop=0.4).objections(judged)
    assert "0.50 points" in said and "0.4" in said
    little = dataclasses.replace(judged, images=1000, lost=13)
    (said,) = Gate(max_drop=1.29).objections(little)
    assert "1.30 points" in said  # not less than what must be allowed
    (said,) = Gate(max_drop=1, min_agreement=99.6).objections(judged)
    assert "99.50 %" in said


@pytest.mark.parametrize("value", [-1, 101, float("nan"), True, "1"])
def test_gates_that_mean_nothing_are_refused(value: object) -> None:
    with pytest.raises(InputError, match="max_drop"):
        Gate(max_drop=value)  # type: ignore[arg-type]


@given(st.integers(0, 3000), st.integers(1, 3000))
def test_what_a_refusal_says_would_do_does(lost: int, images: int) -> None:
    lost = min(lost, images)
    judged = Judgement(
        images=images, agreement=100 * (1 - lost / images), reference=100, top1=0, lost=lost, won=0, error=0
    )
    said = Gate(
        max_drop=float(f"{points_up(judged.drop):.2f}"), min_agreement=float(f"{points_down(judged.agreement):.2f}")
    )
    assert said.passes(judged)

"""The guide keeps limits exactly, says why, and refuses what cannot be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.errors import BudgetError, EffnetError, InputError, UnknownNameError
from effnet.families import find, names
from effnet.guide import Situation, recommend
from effnet.guide.candidates import NEVER, candidates
from effnet.guide.rules import RULES
from effnet.guide.situation import GOALS, TARGETS

SITUATIONS = st.builds(
    Situation,
    goal=st.sampled_from(GOALS),
    target=st.sampled_from(TARGETS),
    images=st.none() | st.integers(10, 2_000_000),
    classes=st.none() | st.integers(1, 10),
    image_side=st.none() | st.integers(16, 4000),
    trained_on=st.sampled_from([None, "cpu", "gpu"]),
    max_params=st.none() | st.integers(5_500_000, 200_000_000),
    max_macs=st.none() | st.integers(400_000_000, 100_000_000_000),
)


@given(situation=SITUATIONS)
@settings(max_examples=80)
def test_limits_hold_and_every_choice_has_its_reasons(situation: Situation) -> None:
    found = recommend(situation, count=4)
    scores = [choice.score for choice in found.choices]
    assert scores == sorted(scores, reverse=True)
    for choice in found.choices:
        assert situation.max_params is None or choice.params <= situation.max_params
        assert situation.max_macs is None or choice.macs <= situation.max_macs
        assert choice.score == pytest.approx(sum(reason.points for reason in choice.reasons), abs=0.05)
    assert {c.name for c in found.choices}.isdisjoint(entry.name for entry in found.left_out)
    json.dumps(found.to_dict())


def test_every_released_efficientnet_is_a_candidate_or_told_why_not() -> None:
    known = {candidate.name for candidate in candidates()} | set(NEVER)
    assert known == {name for name in names() if not name.startswith("resnet")}


def test_rules_are_complete_and_name_networks_that_exist() -> None:
    known = {candidate.name for candidate in candidates()}
    for rule in RULES:
        assert rule.reason, rule.name
        assert rule.source, rule.name
        if not callable(rule.points):
            assert set(rule.points) <= known
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_bigger_than_the_images_is_worse() -> None:
    native = next(rule for rule in RULES if rule.name == "native-resolution")
    b0, b7 = (next(c for c in candidates() if c.label == label) for label in ("B0", "B7"))
    given = {side: native.give(Situation(image_side=side), b7) for side in (100, 300, 600)}
    assert given[100] < given[300] < given[600] == 0
    assert native.give(Situation(image_side=300), b0) == 0


def test_the_published_figures_speak_up_where_they_disagree() -> None:
    found = recommend("best")
    assert found.choices[0].label == "B7"
    assert "V2-M" in found.disagreements[0]
    assert "85.1 % against 84.1 %" in found.disagreements[0]
    assert recommend("prototype").disagreements == ()


def test_missing_weights_are_left_out_and_do_not_matter_from_nothing() -> None:
    def missing(candidate: object) -> str | None:
        return None if getattr(candidate, "label", "") == "Lite0" else "not here"

    found = recommend("balanced", missing=missing)
    assert [choice.label for choice in found.choices] == ["Lite0"]
    assert len(found.left_out) == len(candidates()) - 1
    assert recommend("balanced", missing=missing, images=50_000, image_side=32).choices[0].label == "B0"


def test_no_network_small_enough_says_by_how_much() -> None:
    with pytest.raises(BudgetError, match="100k"):
        recommend("balanced", max_params=100_000)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"goal": "fastest"}, UnknownNameError),
        ({"target": "toaster"}, UnknownNameError),
        ({"trained_on": "abacus"}, UnknownNameError),
        ({"images": 0}, InputError),
        ({"images": True}, InputError),
        ({"max_latency_ms": float("inf")}, InputError),
        ({"images": 3, "classes": 4}, InputError),
        ({"count": 0}, InputError),
        ({"budget": 3}, InputError),
        ({"max_latency_ms": 3}, InputError),
        ({"max_train_hours": 3}, InputError),
    ],
)
def test_impossible_situations_are_refused(facts: dict[str, object], kind: type[EffnetError]) -> None:
    with pytest.raises(kind) as failure:
        recommend(**facts)  # type: ignore[arg-type]
    assert failure.value.fix


def test_a_candidate_counts_as_the_catalogue_does() -> None:
    v2s = next(candidate for candidate in candidates() if candidate.label == "V2-S")
    assert (v2s.train_side, v2s.spec.resolution) == (300, 384)
    assert v2s.train_macs < v2s.macs
    assert v2s.spec == find("v2-s")

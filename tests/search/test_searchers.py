"""Searchers as functions of history and chance."""

from __future__ import annotations

import random
import statistics

import pytest

from effnet.errors import InputError
from effnet.experiments.controller import Controller
from effnet.families import find
from effnet.search.searchers import RandomSearch, RegularisedEvolution, Searcher, Tried
from effnet.search.space import Choices, SearchSpace

SPACE = SearchSpace.around(find("b0"))
HIDDEN = SPACE.random(random.Random(99))


def reward(choices: Choices) -> float:
    """Share of the dimensions that are as in a point nobody knows."""
    return sum(choices[name] == value for name, value in HIDDEN.items()) / len(HIDDEN)


def searched(searcher: Searcher, trials: int, seed: int = 0) -> list[Tried]:
    history: list[Tried] = []
    for number in range(trials):
        proposal = searcher.propose(SPACE, history, random.Random(f"{seed} {number}"))
        SPACE.require(proposal.choices)
        tried = Tried(number=number, choices=proposal.choices, reward=reward(proposal.choices), parent=proposal.parent)
        history.append(tried)
    return history


def late(history: list[Tried]) -> float:
    return statistics.mean(tried.reward or 0.0 for tried in history[-40:])


CHANCE = late(searched(RandomSearch(), 200))


def test_evolution_finds_what_chance_does_not() -> None:
    history = searched(RegularisedEvolution(), 200)
    assert late(history) > CHANCE + 0.2
    assert all(tried.parent is None for tried in history[:16]) and history[40].parent is not None


def test_the_controller_learns() -> None:
    assert late(searched(Controller(seed=0), 320)) > CHANCE + 0.15


@pytest.mark.parametrize("searcher", [RandomSearch(), RegularisedEvolution(), Controller(seed=1)])
def test_proposals_follow_from_history_and_chance_alone(searcher: Searcher) -> None:
    history = searched(searcher, 30)
    fresh = type(searcher)() if not isinstance(searcher, Controller) else Controller(seed=1)
    again = fresh.propose(SPACE, history, random.Random(5))
    assert again == searcher.propose(SPACE, history, random.Random(5))


def test_a_controller_that_saw_a_late_result_agrees_with_one_that_did_not() -> None:
    """A candidate that finishes out of turn changes the batches, so both must learn from the beginning."""
    history = searched(RandomSearch(), 24)
    gap = [*history[:5], Tried(number=5, choices=history[5].choices, reward=None), *history[6:]]
    early = Controller(seed=2)
    early.propose(SPACE, gap, random.Random(0))
    assert early.propose(SPACE, history, random.Random(0)) == Controller(seed=2).propose(
        SPACE, history, random.Random(0)
    )


def test_children_differ_from_their_parent_in_one_dimension() -> None:
    history = searched(RegularisedEvolution(population=4, sample=2), 40)
    children = [tried for tried in history if tried.parent is not None]
    assert len(children) == 36
    for child in children:
        assert child.parent is not None
        parent = history[child.parent]
        assert sum(child.choices[name] != parent.choices[name] for name in child.choices) == 1


def test_the_old_die() -> None:
    best = Tried(number=0, choices=HIDDEN, reward=1.0)
    others = [Tried(number=i, choices=SPACE.random(random.Random(i)), reward=0.1) for i in range(1, 9)]
    searcher = RegularisedEvolution(population=8, sample=8)
    assert searcher.propose(SPACE, [best, *others[:7]], random.Random(0)).parent == 0
    assert searcher.propose(SPACE, [best, *others], random.Random(0)).parent != 0


def test_running_candidates_are_nobodys_parents() -> None:
    running = [Tried(number=i, choices=HIDDEN, reward=None) for i in range(50)]
    assert RegularisedEvolution().propose(SPACE, running, random.Random(0)).parent is None


@pytest.mark.parametrize("wrong", [{"population": 2, "sample": 5}, {"sample": 0}])
def test_tournaments_without_competitors_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        RegularisedEvolution(**wrong)

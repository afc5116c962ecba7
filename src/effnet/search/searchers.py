"""Who proposes the next candidate. A searcher is a function of the history and of chance, and keeps nothing itself.

So any number of workers can ask it about the history that they share, and a search that is resumed goes on as it would
have. The controller that learns (Mnas section 4.3) is in `effnet.experiments.controller`, TPE and NSGA-II are Optuna's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from effnet.errors import InputError
from effnet.search.space import Choices, SearchSpace

_TRIES = 20
"""Proposals drawn to find one that was not tried before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A candidate that was begun.

    Attributes:
        number: in the order in which they were begun.
        reward: None while it is not known, or never will be.
        parent: number of the candidate it was made from.
    """

    number: int
    choices: Choices
    reward: float | None
    parent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What to try next, and from which candidate it was made."""

    choices: Choices
    parent: int | None = None


class Searcher(Protocol):
    """Proposes candidates."""

    def propose(self, space: SearchSpace, history: Sequence[Tried], rng: Random) -> Proposal:
        """Return a point of the space, one that is not in the history if that can be helped."""
        ...


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """Every point alike: the control that any searcher must beat."""

    def propose(self, space: SearchSpace, history: Sequence[Tried], rng: Random) -> Proposal:
        """Return a point drawn evenly."""
        return _fresh(lambda: Proposal(choices=space.random(rng)), history)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularisedEvolution:
    """Ageing evolution (Real et al., AAAI 2019, arXiv 1802.01548 algorithm 1).

    The first `population` candidates are random. Then the best of `sample` drawn from the youngest `population` is
    mutated in one dimension; the oldest die, however good they were, which keeps the search from one lucky training.
    """

    population: int = 16
    sample: int = 5

    def __post_init__(self) -> None:
        """Refuse tournaments without competitors."""
        if not 1 <= self.sample <= self.population:
            what = f"a sample of {self.sample} from {self.population}"
            raise InputError(what, where="evolution", fix="give a sample from 1 to the population")

    def propose(self, space: SearchSpace, history: Sequence[Tried], rng: Random) -> Proposal:
        """Return a random point, or a mutation of a good one."""
        known = [tried for tried in history if tried.reward is not None]
        if len(known) < self.population:
            return RandomSearch().propose(space, history, rng)
        youngest = sorted(known, key=lambda tried: tried.number)[-self.population :]

        def child() -> Proposal:
            drawn = rng.sample(youngest, self.sample)
            parent = max(drawn, key=lambda tried: (tried.reward or 0.0, -tried.number))
            return Proposal(choices=space.mutated(parent.choices, rng), parent=parent.number)

        return _fresh(child, history)


SEARCHERS: dict[str, Callable[[], Searcher]] = {"evolution": RegularisedEvolution, "random": RandomSearch}


def _fresh(draw: Callable[[], Proposal], history: Sequence[Tried]) -> Proposal:
    seen = {tuple(sorted(tried.choices.items())) for tried in history}
    proposal = draw()
    for _ in range(_TRIES):
        if tuple(sorted(proposal.choices.items())) not in seen:
            break
        proposal = draw()
    return proposal

"""What a search tries next: the plan's searcher, asked with the history that all workers share."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from typing import Any

from effnet.experiments.controller import Controller
from effnet.experiments.search_plan import SearchPlan
from effnet.search.searchers import SEARCHERS, Searcher, Tried
from effnet.search.study import Record


def proposal_of(plan: SearchPlan, earlier: Sequence[Record], rng: random.Random) -> Mapping[str, Any]:
    """Return the searcher's next proposal: its choices, and the index of the candidate it is a child of."""
    history = [
        Tried(
            number=record.index,
            choices=record.payload["choices"],
            reward=record.result.get("reward") if record.state in ("complete", "pruned") else None,
            parent=record.payload.get("parent"),
        )
        for record in earlier
        if "choices" in record.payload  # a worker that died while proposing leaves none
    ]
    proposal = _searcher(plan.searcher, plan.seed).propose(plan.space, history, rng)
    return {"choices": dict(proposal.choices), "parent": proposal.parent}


@functools.cache
def _searcher(name: str, seed: int) -> Searcher:
    return Controller(seed=seed) if name == "controller" else SEARCHERS[name]()

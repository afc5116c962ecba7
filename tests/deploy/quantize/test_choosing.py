"""Which candidate is chosen, and that what choosing does to its figure is estimated about right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from effnet.deploy.quantize.choosing import choose, front, optimism
from effnet.deploy.quantize.judging import LOST, WON, Gate, Judgement
from effnet.deploy.quantize.variants import Candidate


def candidate(name: str, changes: np.ndarray, ms: float = 1.0, moved: float = 0.1, size: int = 1) -> Candidate:
    lost, won, images = int((changes == LOST).sum()), int((changes == WON).sum()), len(changes)
    agreement = 100 * (1 - (lost + won) / images)
    judged = Judgement(
        images=images, agreement=agreement, reference=90, top1=90 - lost, lost=lost, won=won, error=moved
    )
    parts: dict[str, Any] = {"method": "ptq", "variant": None, "model": None, "kept": (), "size": size, "seconds": 0.0}
    return Candidate(name=name, judgement=judged, changes=changes, moved=moved, latency_ms=ms, **parts)


def losing(lost: int, images: int = 100) -> np.ndarray:
    return np.where(np.arange(images) < lost, LOST, 0).astype(np.int8)


def test_the_quickest_that_passes_is_chosen_and_a_tie_goes_to_the_most_faithful() -> None:
    some = [
        candidate("bad", losing(9), 1, 0.9),
        candidate("slow", losing(0), 9, 0.1),
        candidate("a", losing(1), 4, 0.3),
        candidate("b", losing(1), 4.1, 0.2),
    ]
    chosen = choose(some, Gate(max_drop=1))
    assert chosen is not None and chosen.name == "b"
    assert choose(some[:1], Gate(max_drop=1)) is None
    assert [one.name for one in front(some)] == ["bad", "slow", "a"]


def test_choosing_by_few_images_flatters_and_how_much_is_told() -> None:
    rng = np.random.default_rng(0)
    gate, true_loss = Gate(max_drop=1), 0.03
    gaps, told = [], []
    for _ in range(60):
        changes = np.where(rng.random((8, 150)) < true_loss, LOST, 0).astype(np.int8)
        some = [candidate(str(number), row) for number, row in enumerate(changes)]
        chosen = choose(some, gate)
        if chosen is not None:
            gaps.append(100 * true_loss - chosen.judgement.drop)
            told.append(optimism(some, gate) or 0.0)
    assert len(gaps) > 10
    assert np.mean(gaps) > 1.5  # what is let through looks better than it is
    assert 0.3 * np.mean(gaps) < np.mean(told) < 1.5 * np.mean(gaps)


def test_one_graph_that_loses_nothing_is_not_flattered_and_one_that_loses_much_is_never_chosen() -> None:
    assert optimism([candidate("same", losing(0))], Gate(max_drop=0.5)) == pytest.approx(0)
    assert optimism([candidate("bad", losing(90))], Gate(max_drop=0.5)) is None
    assert optimism([candidate("any", losing(50))], Gate(max_drop=100)) == pytest.approx(0, abs=0.5)

"""How long a run will take: in proportion to the work, and not at any price."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from effnet.training import estimate as module
from effnet.training.decisions import Decided
from effnet.training.estimate import estimate
from effnet.training.recipe import Recipe
from tests.tiny import tiny_network
from tests.tiny_data import colours
from tests.training.runs import RECIPE

CPU = torch.device("cpu")


def decided(**settings: object) -> Decided:
    recipe = Recipe.from_dict(settings, base=RECIPE)
    return Decided(recipe=recipe, spec=tiny_network(classes=3).spec, decisions=())


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_timed", lambda *args: (0.3, 0.1))  # seconds an image, learning and judged


def test_it_is_the_images_of_all_epochs_and_the_judgements() -> None:
    found = estimate(decided(epochs=4, progressive={"stages": 1}), colours(22, 9), CPU)
    assert found is not None
    assert found.seconds == pytest.approx(4 * (22 * 0.3 + 9 * 0.1))
    assert found.epoch == pytest.approx(22 * 0.3 + 9 * 0.1)


def test_smaller_stages_and_head_epochs_are_cheaper() -> None:
    whole = estimate(decided(epochs=4, progressive={"stages": 1}), colours(), CPU)
    staged = estimate(decided(epochs=4), colours(), CPU)
    head = estimate(decided(epochs=4, progressive={"stages": 1}, transfer={"head_epochs": 2}), colours(), CPU)
    assert whole is not None and staged is not None and head is not None
    assert staged.seconds < whole.seconds
    assert whole.seconds - head.seconds == pytest.approx(2 * 22 * (0.3 - 0.1))


def test_what_would_take_too_long_to_time_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_MACS", 1.0)
    assert estimate(decided(), colours(), CPU) is None


def test_a_real_step_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = estimate(dataclasses.replace(decided(epochs=1)), colours(), CPU)
    assert found is not None and 0 < found.epoch < 60

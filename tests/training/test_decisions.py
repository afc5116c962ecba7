"""What is decided by the data and the machine, and that a person's own choice stands."""

from __future__ import annotations

import pytest
import torch

from effnet.data.source import Dataset
from effnet.data.sources import open_dataset
from effnet.families import find
from effnet.training.decisions import decide, largest_batch
from tests.tiny_data import Colours

CPU = torch.device("cpu")


def dataset(side: int = 200) -> Dataset:
    return Dataset("colours", Colours(22, side=side), Colours(9, side=side))


def test_everything_is_decided_and_said() -> None:
    decided = decide(None, dataset(), device=CPU)
    assert decided.recipe.model is not None and decided.recipe.batch.size is not None
    assert decided.recipe.resolution == decided.spec.resolution
    said = {decision.setting for decision in decided.decisions}
    assert said >= {"recipe", "model", "resolution", "batch.size", "precision.dtype"}
    assert all(decision.reason for decision in decided.decisions)


def test_a_choice_stands_and_is_not_said_to_be_decided() -> None:
    chosen = {"model": "b0", "resolution": 96, "batch": {"size": 4}, "precision": {"dtype": "float32"}}
    decided = decide(None, dataset(), device=CPU, settings=chosen)
    assert (decided.spec.name, decided.recipe.resolution, decided.recipe.batch.size) == ("efficientnet_b0", 96, 4)
    assert [decision.setting for decision in decided.decisions] == ["recipe"]


def test_digits_are_neither_mirrored_nor_cut_unless_somebody_wants_it() -> None:
    pytest.importorskip("sklearn")
    digits = open_dataset("digits")
    recipe = decide(None, digits, device=CPU).recipe
    assert (recipe.augmentation.flip, recipe.augmentation.crop, recipe.lr) == (0.0, "whole", 0.02)
    chosen = {"augmentation": {"flip": 0.3}, "lr": 0.001}
    recipe = decide(None, digits, device=CPU, settings=chosen).recipe
    assert (recipe.augmentation.flip, recipe.lr) == (0.3, 0.001)


def test_less_memory_is_a_smaller_batch() -> None:
    many, few = (decide(None, dataset(), device=CPU, memory_bytes=size << 20).recipe.batch.size for size in (8000, 300))
    assert many is not None and few is not None and 1 <= few < many
    b0 = find("b0")
    assert largest_batch(b0, 224, 4 << 30) > largest_batch(b0, 448, 4 << 30) >= 1
    assert largest_batch(b0, 224, 4 << 30, "bfloat16") > largest_batch(b0, 224, 4 << 30)

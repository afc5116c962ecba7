"""What is decided by the data and the machine, and that a person's own choice stands."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from effnet.data.source import Dataset
from effnet.data.sources import open_dataset
from effnet.errors import InputError
from effnet.families import find
from effnet.scaling import compound
from effnet.training import catalog
from effnet.training.decisions import Decided, decide, free_memory, largest_batch
from effnet.training.recipe_file import override
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
    fresh = decide(None, digits, device=CPU, settings={"weights": None}).recipe
    assert (fresh.name, fresh.augmentation.flip, fresh.augmentation.crop) == ("small", 0.0, "whole")
    chosen = {"augmentation": {"flip": 0.3}, "lr": 0.001}
    recipe = decide(None, digits, device=CPU, settings=chosen).recipe
    assert (recipe.augmentation.flip, recipe.lr) == (0.3, 0.001)


def test_less_memory_is_a_smaller_batch() -> None:
    many, few = (decide(None, dataset(), device=CPU, memory_bytes=size << 20).recipe.batch.size for size in (8000, 300))
    assert many is not None and few is not None and 1 <= few < many
    b0 = find("b0")
    assert largest_batch(b0, 224, 4 << 30) > largest_batch(b0, 448, 4 << 30) >= 1
    assert largest_batch(b0, 224, 4 << 30, "bfloat16") > largest_batch(b0, 224, 4 << 30)


def test_available_memory_is_asked_and_not_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("effnet.training.decisions.available_memory", lambda: 123 << 20)
    assert free_memory(CPU) == 123 << 20


def uneven(*counts: int) -> Dataset:
    """Return images of so many of each class."""
    source = Colours(sum(counts), side=200)
    source.labels = np.repeat(np.arange(len(counts)), counts)
    return Dataset("uneven", source, Colours(9, side=200))


def said(decided: Decided) -> dict[str, str]:
    return {decision.setting: decision.reason for decision in decided.decisions}


def test_small_classes_are_drawn_as_often_and_judged_alike() -> None:
    decided = decide(None, uneven(50, 10, 6), device=CPU)
    assert (decided.recipe.batch.sampling, decided.recipe.judged_by) == ("balanced", "mean_of_classes")
    reasons = said(decided)
    for setting in ("batch.sampling", "judged_by"):
        assert "50 images" in reasons[setting] and "red 6" in reasons[setting]


def test_what_a_person_set_about_sampling_stands_and_the_imbalance_is_said() -> None:
    settings = {"batch": {"sampling": "natural"}, "judged_by": "top1"}
    decided = decide(None, uneven(50, 10, 6), device=CPU, settings=settings)
    assert (decided.recipe.batch.sampling, decided.recipe.judged_by) == ("natural", "top1")
    assert "as you set it" in said(decided)["batch.sampling"]


def test_classes_of_about_one_size_are_nothing_to_speak_of() -> None:
    decided = decide(None, uneven(24, 10, 6), device=CPU)
    assert (decided.recipe.batch.sampling, decided.recipe.judged_by) == ("natural", "top1")
    assert not said(decided).keys() & {"batch.sampling", "judged_by"}


def test_a_class_without_images_makes_nothing_uneven() -> None:
    assert decide(None, uneven(9, 0, 9), device=CPU).recipe.batch.sampling == "natural"


def test_shards_are_not_drawn_by_class() -> None:
    data = uneven(50, 10, 6)
    data.train.shards = np.array([0, 20])  # type: ignore[attr-defined]
    decided = decide(None, data, device=CPU)
    assert decided.recipe.batch.sampling == "natural" and decided.recipe.judged_by == "mean_of_classes"
    assert "never be answered" in said(decided)["batch.sampling"]


SMALL = compound(find("b0"), phi=-2)


@pytest.mark.parametrize(
    ("recipe", "spec", "settings"),
    [
        (None, None, {"weights": None}),
        (None, SMALL, None),
        (None, SMALL, {"weights": None}),
        (None, dataclasses.replace(find("b0"), name="mine"), None),
        (catalog.find("finetune"), None, {"weights": None}),
        (override(catalog.find("finetune"), ["weights=none"]), None, None),
        (catalog.find("finetune"), SMALL, None),
    ],
)
def test_without_weights_everything_learns_from_the_first_step(recipe: Any, spec: Any, settings: Any) -> None:
    decided = decide(recipe, dataset(), device=CPU, spec=spec, settings=settings)
    chosen = decided.recipe
    assert (chosen.name, chosen.weights, chosen.transfer.head_epochs) == ("scratch", None, 0)
    assert (chosen.optimizer.layer_decay, chosen.optimizer.head_rate) == (1, 1)
    assert "ImageNet weights beats" not in said(decided)["recipe"]


def test_a_published_network_given_as_a_spec_has_its_weights() -> None:
    decided = decide(None, dataset(), device=CPU, spec=find("b0"))
    assert (decided.recipe.name, decided.recipe.weights) == ("finetune", "imagenet")


def test_tiny_images_without_weights_take_the_recipe_that_is_for_them() -> None:
    decided = decide(None, dataset(side=32), device=CPU, settings={"weights": None})
    assert (decided.recipe.name, decided.spec.stem.stride) == ("small", 1)


def test_ones_own_weights_are_not_called_imagenet() -> None:
    decided = decide(None, dataset(), device=CPU, settings={"weights": "runs/x/last.safetensors"})
    assert decided.recipe.name == "finetune" and "runs/x/last.safetensors" in said(decided)["recipe"]


def test_what_was_changed_in_finetune_stays_changed_without_weights() -> None:
    asked = override(catalog.find("finetune"), ["weights=none", "epochs=6", "lr=0.5", "augmentation.flip=0.1"])
    chosen = decide(asked, dataset(), device=CPU).recipe
    assert (chosen.name, chosen.epochs, chosen.lr, chosen.augmentation.flip) == ("scratch", 6, 0.5, 0.1)
    assert chosen.transfer.head_epochs == 0


def test_a_head_phase_on_fresh_weights_is_left_out_of_any_recipe_unless_it_is_asked_for() -> None:
    mine = dataclasses.replace(catalog.find("finetune"), name="custom", weights=None)
    decided = decide(mine, dataset(), device=CPU)
    assert (decided.recipe.name, decided.recipe.transfer.head_epochs) == ("custom", 0)
    assert "random layers" in said(decided)["transfer"]
    asked = decide(mine, dataset(), device=CPU, settings={"transfer": {"head_epochs": 2}})
    assert asked.recipe.transfer.head_epochs == 2


def test_nothing_is_claimed_about_precision_that_was_not_measured() -> None:
    assert "not known" in said(decide(None, dataset(), device=CPU))["precision.dtype"]


def test_half_precision_on_a_cpu_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(InputError, match="45 to 120 times"):
        decide(None, dataset(), device=CPU, settings={"precision": {"dtype": "float16"}})

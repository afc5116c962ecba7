"""From a recipe's settings to what the loader does to training images."""

from __future__ import annotations

from typing import cast

from effnet.data.augment import Augmentation, Erasing
from effnet.data.crops import RandomCrop
from effnet.data.policies import AutoAugment, RandAugment
from effnet.preprocessing import Preprocess
from effnet.training.recipe import Recipe


def augmentation_of(recipe: Recipe, preprocess: Preprocess) -> Augmentation:
    """Return what the loader does to training images; the stage sets size and magnitude."""
    part = recipe.augmentation
    policy: RandAugment | AutoAugment | None = None
    if part.policy == "randaugment":
        policy = RandAugment(layers=part.layers, magnitude=part.magnitude)
    elif part.policy == "autoaugment":
        policy = AutoAugment()
    erasing = None
    if part.erasing:
        mean, std = (cast(tuple[float, float, float], tuple(v)) for v in (preprocess.mean, preprocess.std))
        erasing = Erasing(probability=part.erasing, mean=mean, std=std)
    return Augmentation(
        crop=RandomCrop(area=(part.crop_area, 1.0)) if part.crop == "random" else None,
        interpolation=part.interpolation,
        flip=part.flip,
        policy=policy,
        cutout=part.cutout,
        erasing=erasing,
    )

"""Which recipe suits what a network begins with: fine-tuning needs weights that are already good.

Without them its first epochs would train a classifier on top of random layers, and its rates would hold the lower
layers back, which have everything to learn.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from effnet.errors import UnknownNameError
from effnet.spec import NetworkSpec
from effnet.training import catalog as recipes
from effnet.training.events import Decision
from effnet.training.recipe import Recipe
from effnet.training.recipe_file import differences
from effnet.weights import published

PLAIN = "finetune"
"""The recipe where none is named."""


def starting_recipe(
    recipe: Recipe | None, spec: NetworkSpec | None, settings: dict[str, Any] | None, *, tiny: bool
) -> tuple[Recipe, list[Decision]]:
    """Return the recipe to begin with, with the person's settings in it, and why.

    Args:
        recipe: the person's choice; None: chosen here. `finetune` without weights becomes another one too.
        spec: the network, if not the one that the recipe names.
        settings: the person's changes, as `Recipe.from_dict` takes them.
        tiny: whether the images are of icons' size.

    Raises:
        EffnetError: a setting is impossible.
    """
    plain, settings = recipes.find(PLAIN), settings or {}
    asked = Recipe.from_dict(settings, base=plain if recipe is None else recipe)
    why = _why_nothing_is_known(asked, spec, given="weights" in settings)
    if why is None:
        return asked, [] if recipe is not None else [_note("recipe", PLAIN, _why_finetune(asked))]
    if recipe is not None and recipe.name != PLAIN:
        return _without_head_phase(asked, settings, why)
    name = "small" if tiny and spec is None else "scratch"
    # What a person has changed in the recipe that is left stays changed in the one that is taken.
    kept = {} if recipe is None else differences(recipe, plain)
    changed = Recipe.from_dict({**kept, "weights": None}, base=recipes.find(name))
    chosen = Recipe.from_dict({**settings, "weights": None}, base=changed)
    return chosen, [_note("recipe", name, f"{why}, so every layer learns from the first step")]


def _why_nothing_is_known(recipe: Recipe, spec: NetworkSpec | None, *, given: bool) -> str | None:
    if recipe.weights is None:
        return "it begins with fresh weights"
    # A person who asks for weights that do not exist is told so when they are opened.
    if spec is None or given or recipe.weights.lower() != "imagenet" or _published_for(spec):
        return None
    return f"no weights are published for {spec.name}"


def _without_head_phase(recipe: Recipe, settings: dict[str, Any], why: str) -> tuple[Recipe, list[Decision]]:
    """Return another recipe than `finetune`, which keeps its way; only what makes no sense without weights goes."""
    if not recipe.transfer.head_epochs or "head_epochs" in settings.get("transfer", {}) or recipe.weights is not None:
        return recipe, []
    transfer = dataclasses.replace(recipe.transfer, head_epochs=0.0)
    reason = f"{why}: a classifier on top of random layers has nothing to learn from"
    return dataclasses.replace(recipe, transfer=transfer), [_note("transfer", "head_epochs=0", reason)]


def _published_for(spec: NetworkSpec) -> bool:
    try:
        theirs = published.default(spec.name).network
    except UnknownNameError:
        return False
    return (theirs.stem, theirs.stages, theirs.head.channels) == (spec.stem, spec.stages, spec.head.channels)


def _why_finetune(recipe: Recipe) -> str:
    if str(recipe.weights).lower() == "imagenet":
        return "starting from ImageNet weights beats starting from nothing on almost any data"
    return f"it begins with the weights of {recipe.weights}, which need adapting rather than learning"


def _note(setting: str, value: str, reason: str) -> Decision:
    return Decision(setting=setting, value=value, reason=reason)

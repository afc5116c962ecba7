"""What `effnet search` and `effnet study` share: the base network, the recipe, and how an experiment is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet.errors import InputError

if TYPE_CHECKING:
    from effnet.spec import NetworkSpec
    from effnet.training.recipe import Recipe


def base_network(model: str, phi: float | None, edits: Sequence[str]) -> NetworkSpec:
    """Return the network of a name or file, scaled to `phi`, then edited; its resolution is also that of training.

    Raises:
        EffnetError: no such network, or an edit that it refuses.
    """
    from effnet.cli.arguments import network
    from effnet.editing import apply_edits
    from effnet.scaling import compound

    spec = network(model)
    if phi is not None:
        spec = compound(spec, phi)
    spec = apply_edits(spec, edits)
    # A base begins anew: what is scaled or searched from here on starts from these channels and repeats.
    return spec.replace(origin=None, train_resolution=spec.resolution)


def short_recipe(name: str, epochs: int | None, assignments: Sequence[str]) -> Recipe:
    """Return the recipe of the short trainings.

    Raises:
        EffnetError: no such recipe, or a setting that it refuses; or one that is decided by data and device elsewhere.
    """
    from effnet.training.recipe_file import open_recipe, override

    given = [] if epochs is None else [f"epochs={epochs}"]
    recipe = override(open_recipe(name), [*given, *assignments])
    if recipe.batch.size is None:
        raise InputError("this recipe leaves the batch open", where=f"--recipe {name}", fix="add --set batch.size=64")
    return recipe


def given_or_resumed(data: str | None, resume: Path | None, kind: str, storage: str | None) -> dict[str, Any] | None:
    """Return the plan of the experiment to go on with; None for a new one.

    Raises:
        InputError: both or neither are given, or the folder holds an experiment of another kind.
    """
    if resume is None:
        if data is None:
            raise InputError("no data", where="DATA", fix="give a folder of class folders, or digits to try it")
        return None
    if data is not None:
        raise InputError("an experiment that goes on keeps its data", where="--resume", fix="give only --resume RUN")
    from effnet.experiments.experiment_folder import ExperimentFolder

    held = ExperimentFolder(resume).open_plan()
    if held["kind"] != kind:
        raise InputError(f"holds a {held['kind']} experiment", where=str(resume), fix="resume it with its own command")
    if held["database"] is not None and storage is None:
        address = held["database"]["address"]
        fix = f"add --storage with the address and password of {address}"
        raise InputError("this experiment is kept in a database", where=str(resume), fix=fix)
    plan: dict[str, Any] = held["plan"]
    return plan


def study_name(storage: str | None, name: str | None) -> str | None:
    """Return the name; a database that keeps many studies needs one.

    Raises:
        InputError: there is a database and no name.
    """
    if storage is not None and name is None:
        raise InputError("a database keeps many studies", where="--name", fix="give this one a name, the same to all")
    return name

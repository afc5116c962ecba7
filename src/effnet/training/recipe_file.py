"""Recipes from files and flags. A file in TOML, JSON or YAML has the keys of `Recipe` and may name a `base` to change.

base = "finetune"          # or v1, v2, small; without it, the defaults of Recipe
epochs = 20
[progressive]
stages = 4
"""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from effnet.errors import EffnetError, InputError, MissingDependencyError, UnknownNameError
from effnet.training import catalog
from effnet.training.fields import keys_of, parsed, unknown_key
from effnet.training.recipe import Recipe

_LARGEST = 1 << 20  # bytes; a recipe with every key and comments is a hundredth of it


def open_recipe(name: str) -> Recipe:
    """Return the named recipe, or the one in the file of that path.

    Raises:
        EffnetError: neither a name nor a readable recipe file.
    """
    if name in catalog.names():
        return catalog.find(name)
    path = Path(name)
    if path.suffix.lower() in _READERS or path.exists():
        return read(path)
    return catalog.find(name)


def read(path: Path) -> Recipe:
    """Return the recipe in a `.toml`, `.json`, `.yaml` or `.yml` file.

    Raises:
        InputError, UnknownNameError: no such file, not such a file, or settings that `Recipe` refuses.
        MissingDependencyError: YAML without the package that reads it.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError("not a recipe file", where=str(path), fix=f"end its name in {', '.join(_READERS)}")
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise InputError("too large for a recipe", where=str(path), fix="keep it under 1 MiB")
        data = reader(raw.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path), fix="check the path") from None
    except (ValueError, RecursionError) as error:
        kind = path.suffix[1:].upper()
        raise InputError(f"not {kind} ({error})", where=str(path), fix="correct the file") from None
    try:
        return _recipe(data)
    except EffnetError as error:
        where = f"{path}: {error.where}" if error.where else str(path)
        raise type(error)(error.what, where=where, fix=error.fix) from None


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """Return `recipe` with settings changed as flags give them: `lr=0.1`, `progressive.stages=4`, `weights=none`.

    Later ones win. Together they must make a possible recipe, in any order.

    Raises:
        InputError, UnknownNameError: not `key=value`, an unknown key, or an impossible value.
    """
    return Recipe.from_dict(assigned(assignments), base=recipe)


def assigned(assignments: Iterable[str]) -> dict[str, Any]:
    """Return what flags such as `lr=0.1` and `progressive.stages=4` set, nested as `Recipe.from_dict` takes it.

    Raises:
        InputError, UnknownNameError: not `key=value`, or an unknown key.
    """
    keys = keys_of(Recipe)
    data: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals or not key:
            raise InputError(f"{assignment!r} sets nothing", fix="write key=value, such as lr=0.1")
        if key not in keys:
            group = [known for known in keys if known.startswith(f"{key}.")]
            if group:
                raise InputError(f"{key} is a group of settings", where=key, fix=f"set {', '.join(group)}")
            raise unknown_key(key, Recipe)
        try:
            value = parsed(keys[key], text)
        except InputError as error:
            raise InputError(error.what, where=key, fix=error.fix) from None
        part, _, name = key.rpartition(".")
        (data.setdefault(part, {}) if part else data)[name] = value
    return data


def differences(recipe: Recipe, base: Recipe) -> dict[str, Any]:
    """Return where `recipe` is not `base` at as many epochs, nested as `Recipe.from_dict` takes it."""
    same_length = Recipe.from_dict({"epochs": recipe.epochs}, base=base)
    found = _differing(recipe.to_dict(), same_length.to_dict())
    return found if recipe.epochs == base.epochs else {**found, "epochs": recipe.epochs}


def _differing(changed: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in changed.items():
        if isinstance(value, dict):
            inner = _differing(value, plain[name])
            if inner:
                result[name] = inner
        elif value != plain[name]:
            result[name] = value
    return result


def _recipe(data: Any) -> Recipe:
    base = Recipe()
    if isinstance(data, dict) and "base" in data:
        data = dict(data)
        name = data.pop("base")
        if name not in catalog.names():
            known = UnknownNameError.among("recipe", str(name), catalog.names())
            raise UnknownNameError(known.what, where="base", fix=known.fix)
        base = catalog.find(name)
        data.setdefault("name", "custom")
    return Recipe.from_dict({} if data is None else data, base=base)


def _yaml(text: str) -> Any:
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise MissingDependencyError.for_extra("pyyaml", "train", "reading YAML recipes") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """YAML 1.1 takes 1e-5 for a text, as it has no point."""

    number = re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


_READERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yaml": _yaml,
    ".yml": _yaml,
}

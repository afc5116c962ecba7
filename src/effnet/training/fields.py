"""What a setting may hold: its type from the annotation, its bounds beside its default, checked in one place.

A class of settings is a frozen dataclass whose `__post_init__` calls `prove`. The same description reads its fields
from files and flags (`recipe_file`), so that a value, a file and a flag accept exactly the same things.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, Union, cast

from effnet.errors import InputError, UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One setting of a class.

    Attributes:
        name: its name.
        kind: bool, int, float, str, or a class of settings.
        choices: the only texts allowed; empty when any is.
        optional: whether None is allowed.
        low, high: bounds of a number, inclusive.
    """

    name: str
    kind: type
    choices: tuple[str, ...]
    optional: bool
    low: float
    high: float

    @property
    def nested(self) -> bool:
        """Whether the setting is itself a class of settings."""
        return dataclasses.is_dataclass(self.kind)

    @property
    def wanted(self) -> str:
        """What to give, in words."""
        numbers = f"from {self.low:g} to {self.high:g}"
        words = {bool: "true or false", int: f"a whole number {numbers}", float: f"a number {numbers}", str: "a text"}
        what = " or ".join(self.choices) if self.choices else words.get(self.kind, self.kind.__name__)
        return f"{what}, or none" if self.optional else what


def bounded(default: Any, low: float, high: float) -> Any:
    """Return a dataclass field for a number from `low` to `high` inclusive; ... as `default` makes it required."""
    limits = {"limits": (low, high)}
    if default is ...:
        return dataclasses.field(metadata=limits)
    return dataclasses.field(default=default, metadata=limits)


@functools.cache
def fields_of(kind: type) -> dict[str, Field]:
    """Return the settings of a class by name, in order."""
    hints = typing.get_type_hints(kind)
    return {f.name: _field(f, hints[f.name]) for f in dataclasses.fields(kind)}


def prove(settings: Any) -> None:
    """Check every setting of a frozen dataclass against its field; whole numbers for real settings become floats.

    Raises:
        InputError: a value of the wrong type or out of bounds.
        UnknownNameError: a text that is not among the choices.
    """
    kind: type = type(settings)
    for name, field in fields_of(kind).items():
        value = getattr(settings, name)
        proved = _proved(field, value)
        if proved is not value:
            object.__setattr__(settings, name, proved)


def _proved(field: Field, value: Any) -> Any:
    if value is None and field.optional:
        return None
    if field.choices:
        if value not in field.choices:
            known = UnknownNameError.among(field.name, str(value), field.choices, see=f"known: {field.wanted}")
            raise UnknownNameError(known.what, where=field.name, fix=known.fix)
        return value
    if field.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= 2**53 else value
    right = isinstance(value, field.kind) and (field.kind is bool or not isinstance(value, bool))
    if right and field.kind in (int, float):
        right = field.low <= value <= field.high  # NaN is not
    if right and field.kind is str:
        right = bool(value.strip())
    if not right:
        raise InputError(f"{field.name} is {value!r}", where=field.name, fix=f"give {field.wanted}")
    return value


def _field(field: dataclasses.Field[Any], hint: Any) -> Field:
    low, high = field.metadata.get("limits", (float("-inf"), float("inf")))
    optional = typing.get_origin(hint) in (Union, types.UnionType)
    if optional:
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
    choices = tuple(typing.get_args(hint)) if typing.get_origin(hint) is Literal else ()
    kind = cast(type, str if choices else hint)
    return Field(name=field.name, kind=kind, choices=choices, optional=optional, low=low, high=high)

"""What a setting may hold: its type from the annotation, its bounds beside its default, checked in one place.

A class of settings is a frozen dataclass whose `__post_init__` calls `prove`; its fields are bool, int, float, str,
Literal texts, any of these or None, and further classes of settings. The same description reads them from mappings and
from text, so that a value, a file and a flag accept exactly the same things.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, cast

from effnet.errors import EffnetError, InputError, UnknownNameError, nearest

Settings = TypeVar("Settings")

_KNOWN: dict[type, dict[str, Field]] = {}  # annotations are slow to resolve


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


def fields_of(kind: type) -> dict[str, Field]:
    """Return the settings of a class by name, in order."""
    if kind not in _KNOWN:
        hints = typing.get_type_hints(kind)
        _KNOWN[kind] = {f.name: _field(f, hints[f.name]) for f in dataclasses.fields(kind)}
    return _KNOWN[kind]


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


def keys_of(kind: type, prefix: str = "") -> dict[str, Field]:
    """Return every setting by its dotted key, such as `progressive.stages`, in order."""
    keys: dict[str, Field] = {}
    for name, field in fields_of(kind).items():
        keys |= keys_of(field.kind, f"{prefix}{name}.") if field.nested else {prefix + name: field}
    return keys


def plain(settings: Any) -> dict[str, Any]:
    """Return nested dictionaries of plain JSON types."""
    values = {name: getattr(settings, name) for name in fields_of(type(settings))}
    return {name: plain(value) if dataclasses.is_dataclass(value) else value for name, value in values.items()}


def changed(base: Settings, data: Any, root: type, prefix: str = "") -> Settings:
    """Return `base` with the settings in `data`, nested as `plain` nests them; what it does not name stays.

    Args:
        root: the outermost class, whose keys are suggested for unknown ones.
        prefix: dotted key of `base` within it, with the dot.

    Raises:
        EffnetError: an unknown key, or a value that its field or class refuses; `where` is the dotted key.
    """
    kind: type = type(base)
    if not isinstance(data, Mapping):
        where = prefix[:-1] or None
        raise InputError(
            f"{data!r} is not a group of settings", where=where, fix=f"give {kind.__name__}'s settings by name"
        )
    fields = fields_of(kind)
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in fields:
            raise unknown_key(f"{prefix}{name}", root)
        nested = fields[name].nested
        values[name] = changed(getattr(base, name), value, root, f"{prefix}{name}.") if nested else value
    try:
        return dataclasses.replace(base, **values)  # type: ignore[type-var]
    except EffnetError as error:
        raise type(error)(error.what, where=f"{prefix}{error.where or ''}".rstrip("."), fix=error.fix) from None


def unknown_key(key: str, root: type) -> UnknownNameError:
    """Return the error for a dotted key that `root` lacks; `stages` suggests `progressive.stages`."""
    keys = keys_of(root)
    groups = {known.rpartition(".")[0] for known in keys} - {""}
    homes: dict[str, list[str]] = {}
    for known in (*keys, *groups):
        homes.setdefault(known.rpartition(".")[2], []).append(known)
    group, _, last = key.rpartition(".")
    near = [last] if last in homes else nearest(last, homes)
    found = [known for name in near for known in homes[name]]
    # What is nearest within the same group is likelier than a nearer name elsewhere.
    found.sort(key=lambda known: known.rpartition(".")[0] != group)
    if found:
        return UnknownNameError(f"unknown setting {key!r}", fix=f"did you mean {', '.join(found[:3])}?")
    home = group if group in groups else ""
    siblings = [known for known in (*keys, *sorted(groups)) if known.rpartition(".")[0] == home]
    return UnknownNameError(f"unknown setting {key!r}", fix=f"use one of {', '.join(siblings)}")


def parsed(field: Field, text: str) -> Any:
    """Return the value that `text` stands for; `prove` judges it.

    Raises:
        InputError: not a text for this kind of setting.
    """
    folded = text.strip().casefold()
    if field.optional and folded in ("none", "null"):
        return None
    try:
        if field.kind is bool:
            return {"true": True, "false": False}[folded]
        return text.strip() if field.kind is str else field.kind(folded)
    except (ValueError, KeyError):
        raise InputError(f"{field.name} is {text!r}", where=field.name, fix=f"give {field.wanted}") from None


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

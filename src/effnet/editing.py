"""Edits of a network as a person types them: `stage3.kernel=5`, `stem.stride=1`, `conventions.padding=same`.

    >>> from effnet.families import find
    >>> edited = apply_edits(find("b0"), ["stage3.kernel=3", "stage3.expand_ratio=4", "classes=10"])
    >>> print(edited.stages[2])
    MBConv4 k3x3 se0.25 s2 -> 40 x2

A place is `stageN`, `stages` (all of them), `stem`, `head`, `conventions` or `scaling`, then a field of that part; or a
field of the whole network. Edits of one place are made together, so their order does not matter.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args, get_origin, get_type_hints

from effnet.errors import InputError, SpecError, UnknownNameError, nearest
from effnet.spec import BlockSpec, Conventions, HeadSpec, NetworkSpec, ScalingRules, StageSpec, StemSpec

_PARTS: dict[str, type] = {"stem": StemSpec, "head": HeadSpec, "conventions": Conventions, "scaling": ScalingRules}
_NOT_TYPED = {"stages", "origin", "block", *_PARTS}  # fields that hold other parts


def apply_edits(spec: NetworkSpec, edits: Iterable[str]) -> NetworkSpec:
    """Return `spec` with every edit made.

    Raises:
        InputError: an edit is not `place.field=value`, its value has the wrong type, or it is given twice.
        UnknownNameError: no such place or field; the nearest are suggested.
        SpecError: the result is impossible.
    """
    changes: dict[str, dict[str, Any]] = {}
    for edit in edits:
        place, field, value = _parse(edit, len(spec.stages))
        if field in changes.setdefault(place, {}):
            raise InputError("given twice", where=f"{place}.{field}".lstrip("."), fix="give it once")
        changes[place][field] = value
    everywhere = changes.pop("stages", {})
    for number in range(1, len(spec.stages) + 1):
        fields = everywhere | changes.pop(f"stage{number}", {})
        if fields:
            with _inside(f"stage{number}"):
                spec = spec.with_stage(number, **fields)
    whole = changes.pop("", {})
    for place, fields in changes.items():
        with _inside(place):
            whole[place] = dataclasses.replace(getattr(spec, place), **fields)
    return spec.replace(**whole)


@contextmanager
def _inside(place: str) -> Iterator[None]:
    try:
        yield
    except SpecError as error:
        raise SpecError(error.what, where=f"{place}.{error.where}", fix=error.fix) from None


def _parse(edit: str, stages: int) -> tuple[str, str, Any]:
    target, equals, text = edit.partition("=")
    place, dot, field = target.strip().rpartition(".")
    if not equals or not field or not text.strip() or (dot and not place):
        raise InputError(f"{edit!r} is not an edit", fix="write place.field=value, such as stage3.kernel=5")
    places = [*_PARTS, "stages", *(f"stage{number}" for number in range(1, stages + 1))]
    if place and place not in places:
        raise UnknownNameError.among("place", place, places, see=f"known: {', '.join([*_PARTS, 'stages'])}, stage1 ...")
    fields = _fields(place)
    if field not in fields:
        # Without a place, perhaps the place was forgotten.
        homes = dict.fromkeys(fields, f"{place}." if place else "")
        if not place:
            homes = {name: f"{part}." for part in (*_PARTS, "stages") for name in _fields(part)} | homes
        near = ", ".join(homes[name] + name for name in nearest(field, homes))
        hint = f"did you mean {near}? " if near else ""
        raise UnknownNameError(f"unknown field {target.strip()!r}", fix=f"{hint}(known: {', '.join(fields)})")
    return place, field, _value(text.strip(), fields[field], target.strip())


@functools.cache
def _fields(place: str) -> dict[str, Any]:
    """Return the type of each field that can be typed, by name."""
    kinds: tuple[type, ...] = (StageSpec, BlockSpec)
    if not place.startswith("stage"):
        kinds = (_PARTS.get(place, NetworkSpec),)
    hints = {name: hint for kind in kinds for name, hint in get_type_hints(kind).items()}
    names = [field.name for kind in kinds for field in dataclasses.fields(kind)]
    return {name: hints[name] for name in names if name not in _NOT_TYPED}


def _value(text: str, kind: Any, where: str) -> Any:
    choices = get_args(kind)
    if get_origin(kind) is Literal:
        if text not in choices:
            raise UnknownNameError.among(where, text, choices, see=f"known: {', '.join(choices)}")
        return text
    if choices:  # a number or None
        if text.lower() == "none":
            return None
        return _value(text, choices[0], where)
    try:
        return _READERS[kind](text)
    except (ValueError, KeyError):
        raise InputError(f"{text[:40]!r} is not {_CALLED[kind]}", where=where, fix=f"give {_CALLED[kind]}") from None


_READERS: dict[type, Any] = {
    bool: lambda text: {"true": True, "false": False}[text.lower()],
    int: int,
    float: float,
    str: str,
}
_CALLED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}

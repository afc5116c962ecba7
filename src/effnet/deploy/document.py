"""JSON that comes out of a file which anybody may have written: read strictly, into frozen values."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from effnet.errors import UnknownNameError, WeightsError

Value = TypeVar("Value")

AGAIN = "get the file again, or export it again"
"""What to do about a bundle whose description cannot be right."""

_MAX_CHARACTERS = 1 << 23
"""The description of the largest network has a tenth of this; reading more costs seconds and gigabytes."""


def dumps(document: Mapping[str, Any]) -> str:
    """Return the one text of a document: the same values give the same bytes."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)


def loads(text: str | bytes, where: str) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    Raises:
        WeightsError: it is not JSON, not an object, or larger than any description is.
    """
    if len(text) > _MAX_CHARACTERS:
        raise WeightsError(f"is {len(text)} bytes of text", where=where, fix=AGAIN)
    try:
        document = json.loads(text)
        dumps({"": document}).encode()  # refuses infinities and half characters, which no text of ours has
    except (ValueError, RecursionError):
        raise WeightsError("is not JSON", where=where, fix=AGAIN) from None
    return mapping(document, where)


def mapping(value: Any, where: str) -> dict[str, Any]:
    """Return `value` if it is a JSON object; raises WeightsError otherwise."""
    if not isinstance(value, dict):
        raise WeightsError(f"{type(value).__name__} where an object is expected", where=where, fix=AGAIN)
    return value


def sequence(value: Any, where: str) -> list[Any]:
    """Return `value` if it is a JSON list; raises WeightsError otherwise."""
    if not isinstance(value, list):
        raise WeightsError(f"{type(value).__name__} where a list is expected", where=where, fix=AGAIN)
    return value


def plain(value: Any) -> Any:
    """Return the JSON form of a frozen value and what is in it."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def build(kind: type[Value], data: Mapping[str, Any], where: str) -> Value:
    """Return a frozen value of `kind` from exactly its fields.

    Raises:
        WeightsError: a field is unknown, missing or impossible.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in data:
        if name not in known:
            raise WeightsError(UnknownNameError.among("field", str(name), known).what, where=where, fix=AGAIN)
    if missing := [name for name in known if name not in data]:
        raise WeightsError(f"missing {', '.join(missing)}", where=where, fix=AGAIN)
    return kind(**data)


def require_text(name: str, value: object) -> None:
    """Refuse what is not a text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise WeightsError(f"{name} is {value!r}", where=name, fix=AGAIN)


def require_count(name: str, value: object, low: int = 0) -> None:
    """Refuse what is not a whole number from `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise WeightsError(f"{name} is {value!r}", where=name, fix=AGAIN)


def require_real(name: str, value: object, low: float = 0.0) -> None:
    """Refuse what is not a finite number from `low`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not low <= value < math.inf
        or value == -math.inf
    ):
        raise WeightsError(f"{name} is {value!r}", where=name, fix=AGAIN)

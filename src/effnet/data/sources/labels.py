"""Whether values of a column are classes: one of a few names for each image, and not several, none, or a quantity."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from effnet.data.source import counted
from effnet.errors import InputError

_LATER = "one label an image is what this trains; several labels an image come in a later version"
_NUMBERS = "numbers to be predicted come in a later version; make classes of them, such as low and high"

_MISSING = frozenset(("", "nan", "null", "<na>", "n/a", "#n/a", "#na", "na", "nat"))
"""How programs write that there is no value, in lower case. A class `none` is common; Python's None is not."""

_STRONG = ("|", ";")
"""Signs that are hardly ever part of a class's name."""

_WEAK = (",", " ", "/", "+", "&")
"""Signs that are part of many a name: golden retriever, dam, levee."""

_PLURAL = ("labels", "tags", "classes", "categories", "attributes", "attribute_ids", "targets", "genres")
"""Columns whose name says that a cell may hold several."""

_MOST_QUANTITIES = 20
"""Distinct fractions that can still be classes: stars in halves are ten."""


def is_missing(value: Any) -> bool:
    """Whether a table's value says that there is none: empty, NaN, null."""
    if value is None or (isinstance(value, float) and value != value):
        return True
    text = str(value).strip()
    return text.lower() in _MISSING or text == "None"


def require_classes(values: Sequence[str], *, column: str, where: str, judging: bool = False) -> None:
    """Refuse labels that are no classes.

    Args:
        values: a label for each image.
        column: its name.
        where: the data, for errors.
        judging: nobody learns from it, so that one image of each of many numbered classes is no sign of quantities.

    Raises:
        InputError: several labels in a cell, or numbers to be predicted.
    """
    counts = Counter(values)
    several = _several(counts, plural=column.strip().lower() in _PLURAL)
    if several is not None:
        number = sum(counts[value] for value in several)
        what = f"column {column!r} has several labels in a cell, {counted(number, 'time')}, such as {several[0]!r}"
        raise InputError(what, where=where, fix=f"{_LATER}; write names of single classes without that sign")
    if not judging and _are_quantities(counts):
        shown = ", ".join(list(counts)[:3])
        what = f"column {column!r} has {len(counts)} different numbers ({shown}, ...), which are no classes"
        raise InputError(what, where=where, fix=_NUMBERS)


def require_one_label(images: Iterable[tuple[Hashable, str, str]], *, where: str) -> None:
    """Refuse data that lists an image under several labels.

    Args:
        images: what tells an image from others, what to call it, and its label.
        where: the data, for errors.

    Raises:
        InputError: some image has two labels.
    """
    first: dict[Hashable, str] = {}
    differing: dict[Hashable, tuple[str, str, str]] = {}
    for key, name, label in images:
        if first.setdefault(key, label) != label:
            differing.setdefault(key, (name, first[key], label))
    if differing:
        name, one, other = next(iter(differing.values()))
        what = f"{counted(len(differing), 'image is', 'images are')} listed under several labels, such as {name}: "
        raise InputError(what + f"{one}, {other}", where=where, fix=f"{_LATER}; leave one row for each image")


def no_list(value: Any, *, column: str, where: str) -> Any:
    """Return the one label of a list of one, or the value; several are refused.

    Raises:
        InputError: a list of several labels, or of none.
    """
    if not isinstance(value, list | tuple):
        return value
    if len(value) > 1:
        shown = ", ".join(map(str, value[:3]))
        raise InputError(f"column {column!r} has several labels in a cell: {shown}", where=where, fix=_LATER)
    return value[0] if value else None


def several_columns(name: str, where: str) -> InputError:
    """Return the error of a row with a 1 in more than one column of classes."""
    return InputError(f"several labels an image, such as {name}", where=where, fix=_LATER)


def _several(counts: Counter[str], plural: bool) -> list[str] | None:
    """Return the values that are several labels, or None.

    A sign within a value joins labels where its parts are labels themselves. How many parts must be depends on the
    sign: with | or ; one that occurs alone or in another value is enough; with a comma, each must; with a space or a
    sign that names contain, each must occur alone, so that a fire ant beside an ant is a class. In a column called
    labels or tags, one is enough for every sign, and so are fewer words than combinations of them.
    """
    listed = [value for value in counts if re.fullmatch(r"[\[({].*[\])}]", value) and "," in value]
    if listed:
        return listed
    for sign in (*_STRONG, *_WEAK):
        parts = {value: _parts(value, sign) for value in counts}
        joined = {value: found for value, found in parts.items() if len(found) > 1}
        if not joined:
            continue
        alone = {found[0] for found in parts.values() if len(found) == 1}
        within = Counter(part for found in joined.values() for part in set(found))

        def known(part: str, alone: set[str] = alone, within: Counter[str] = within, sign: str = sign) -> bool:
            return part in alone or (sign in (*_STRONG, ",") and within[part] > 1)

        if sign in _STRONG:
            several = [value for value, found in joined.items() if any(map(known, found))]
        else:
            several = [value for value, found in joined.items() if all(map(known, found))]
        if plural and not several:
            several = [value for value, found in joined.items() if any(part in alone for part in found)]
            if sign == "," or len(within) < len(joined):
                several = several or [value for value, found in joined.items() if any(within[p] > 1 for p in found)]
        if several:
            return several
    return None


def _parts(value: str, sign: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in value.split(sign) if part.strip()))


def _are_quantities(counts: Counter[str]) -> bool:
    numbers = []
    for value in counts:
        try:
            numbers.append(float(value))
        except ValueError:
            return False
    if len(numbers) < 3:
        return False
    rare = sum(counts.values()) < 2 * len(counts)
    if all(number.is_integer() for number in numbers):
        return rare and (len(numbers) > _MOST_QUANTITIES or max(counts.values()) == 1)
    return rare or len(numbers) > _MOST_QUANTITIES

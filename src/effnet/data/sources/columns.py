"""Which column of a table is what: by its name, by its values, or as the person says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from effnet.data.recognition import SUFFIXES
from effnet.data.source import counted
from effnet.data.sources.labels import is_missing, several_columns
from effnet.data.sources.layout import Part, part_of
from effnet.errors import InputError, UnknownNameError

Kind = Literal["image", "label", "split", "group", "fold"]

KINDS: dict[Kind, tuple[str, ...]] = {
    "image": (
        *("path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_path", "img", "img_path"),
        *("image_file", "image_filename", "image_name", "img_name", "img_file", "imagepath", "imagefile", "photo"),
        *("picture", "pixels", "image_id", "imageid", "img_id", "id_code", "isic_id", "image_index", "id", "name"),
        *("new_filename", "uuid", "key"),
    ),
    "label": (
        *("label", "class", "target", "category", "class_name", "label_name", "category_name", "classname", "labels"),
        *("fine_label", "coarse_label", "diagnosis", "breed", "species", "variety", "disease", "dx", "cultivar"),
        *("finding", "grade", "level", "type", "tag", "tags", "y", "class_id", "label_id", "category_id", "classes"),
        *("diagnostic", "scientific_name", "scientificname", "artist", "style", "cell_type", "attribute_ids"),
    ),
    "split": ("split", "part", "subset", "set", "partition", "phase", "data_split", "usage"),
    "group": (
        *("group", "groups", "group_id", "patient", "patient_id", "patientid", "subject", "subject_id", "subjectid"),
        *("person_id", "case", "case_id", "individual", "individual_id", "lesion_id", "video_id", "sequence_id"),
        *("burst_id", "study_id", "exam_id", "slide_id", "scene_id", "seq_id", "animal_id", "plant_id"),
        *("studyinstanceuid", "study_uid", "seriesinstanceuid", "series_uid", "series_id", "specimen_id", "wsi_id"),
        *("session_id", "session", "clip_id", "participant_id", "participant", "visit_id", "video", "clip", "slide"),
        *("burst", "study", "series", "specimen", "wsi", "sequence", "exam", "volume_id", "scan_id", "site_id"),
    ),
    "fold": ("fold", "folds", "kfold", "fold_id", "cv_fold", "foldid", "kfolds", "cv"),
}
"""Names of columns in lower case, the likelier first."""

_FLAGS: dict[str, tuple[Part, Part]] = {
    "is_valid": ("val", "train"),
    "is_val": ("val", "train"),
    "is_validation": ("val", "train"),
    "valid": ("val", "train"),
    "is_test": ("test", "train"),
    "is_holdout": ("test", "train"),
    "is_train": ("train", "val"),
    "is_training": ("train", "val"),
}
"""Columns of yes or no: the part where it is yes, and where no column says yes."""

_BARE_FLAGS: dict[str, tuple[Part, Part]] = {
    "train": ("train", "val"),
    "training": ("train", "val"),
    "val": ("val", "train"),
    "validation": ("val", "train"),
    "test": ("test", "train"),
    "holdout": ("test", "train"),
}
"""The same under names that classes of one-hot columns may have: only beside a column of labels."""

_YES = ("1", "true", "yes", "t", "y", "1.0")
_NO = ("0", "false", "no", "f", "n", "0.0", "", "nan", "none")


class NoColumnError(InputError):
    """A table has no column of images, or none of labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns of a table are.

    Attributes:
        image: paths, ids or bytes.
        label: classes; empty where `marks` are.
        marks: columns of 0 and 1 that are a class each.
        split, flags, fold, group: columns that parts are told by, if there are.
        judged: the fold that is judged.
        guessed: whether image, label or split are not called what they usually are.
        unused: the other columns.
    """

    image: str
    label: str = ""
    marks: tuple[str, ...] = ()
    split: str | None = None
    flags: tuple[str, ...] = ()
    fold: str | None = None
    judged: str = ""
    group: str | None = None
    guessed: bool = False
    unused: tuple[str, ...] = ()

    def described(self) -> str:
        """Return what was taken for what, in words."""
        said = [f"images from column {self.image!r}"]
        said.append(
            f"classes from columns {', '.join(self.marks[:5])}" if self.marks else f"labels from {self.label!r}"
        )
        if self.split or self.flags:
            said.append(f"parts from {', '.join(map(repr, (self.split,) if self.split else self.flags))}")
        if self.fold:
            said.append(f"fold {self.judged} of {self.fold!r} is judged, the others are learnt from")
        if self.group:
            said.append(f"images of one {self.group!r} stay in one part")
        if self.unused:
            more = f" and {len(self.unused) - 5} more" if len(self.unused) > 5 else ""
            said.append(f"not used: {', '.join(map(repr, self.unused[:5]))}{more}")
        return "; ".join(said)


def columns_of(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], given: Mapping[str, str], where: str
) -> Columns:
    """Return which column is what.

    Args:
        names: of all columns.
        rows: all of them.
        given: columns by kind, as the person says.
        where: the table, for errors.

    Raises:
        InputError: no images or no labels among them.
        UnknownNameError: a column that is not there.
    """
    for kind, name in given.items():
        if kind in KINDS and kind != "fold" and name not in names and not _none_of(kind, given):
            raise UnknownNameError.among("column", name, names)
    image = given.get("image") or _images(names, rows)
    if image is None:
        raise _none("image", names, where)
    folded = {name.strip().lower(): name for name in names if name != image}
    split, flags, fold = _part_columns(folded, rows, given)
    group = None if _none_of("group", given) else given.get("group") or _named("group", folded)
    taken = {image, split, *flags, fold, group}
    label = given.get("label") or _named("label", {k: v for k, v in folded.items() if v not in taken})
    marks: tuple[str, ...] = ()
    if label is None:
        left = [name for name in names if name not in taken and not _is_index(name)]
        marks = tuple(name for name in left if _is_marks(name, rows))
        if len(marks) < 2:
            marks = ()
            if not left and group and "group" not in given:
                left, group = [group], None  # what is left to be learnt
            if len(left) != 1 or not _repeats(left[0], rows):
                raise _none("label", names, where)
            label = left[0]
    elif "label" not in given:
        label = _names_of(label, folded, rows, taken)
    if group and label and "group" not in given and _of_classes(group, label, rows):
        group = None
    used = {image, label, split, *flags, fold, group, *marks}
    usual = (label or "").strip().lower() in KINDS["label"][:7] and image.strip().lower() in KINDS["image"][:10]
    return Columns(
        image=image,
        label=label or "",
        marks=marks,
        split=split,
        flags=flags,
        fold=fold,
        judged=given.get("fold") or (_first_fold(fold, rows) if fold else ""),
        group=group,
        guessed=not usual or (split or "split").strip().lower() not in KINDS["split"],
        unused=tuple(name for name in names if name not in used and not _is_index(name)),
    )


def marked(row: Mapping[str, Any], marks: Sequence[str], name: str, where: str) -> str | None:
    """Return the class whose column has the 1; None where none has.

    Raises:
        InputError: several have.
    """
    found = [mark for mark in marks if str(row[mark]).strip().lower() in _YES]
    if len(found) > 1:
        raise several_columns(f"{name} ({', '.join(found[:3])})", where)
    return found[0] if found else None


def part_in(row: Mapping[str, Any], columns: Columns, parts: Mapping[str, Part], where: str) -> Part | None:
    """Return the part that a row says it belongs to; None where the table has no such column.

    Args:
        row: of the table.
        columns: what they are.
        parts: what the values of the column `split` mean, by `parts_of`.
        where: the row, for errors.

    Raises:
        InputError: a value that means no part.
    """
    if columns.split:
        value = str(row[columns.split]).strip()
        part = parts.get(value)
        if part is None:
            raise InputError(f"split {value!r}", where=where, fix="use train, val or test")
        return part
    if columns.flags:
        return _flagged(row, columns.flags, where)
    if columns.fold:
        return "val" if str(row[columns.fold]).strip() == columns.judged else "train"
    return None


def _none(kind: str, names: Sequence[str], where: str) -> NoColumnError:
    usual = " or ".join(KINDS["image" if kind == "image" else "label"][:3])
    fix = f"name a column {usual}, or say which it is: TABLE:{kind}=COLUMN"
    if not {name.strip().lower() for name in names} & {name for known in KINDS.values() for name in known}:
        fix += "; if the first line is an image, write a line of names above it"
    return NoColumnError(f"no column of {kind}s among {', '.join(names)}", where=where, fix=fix)


def _none_of(kind: str, given: Mapping[str, str]) -> bool:
    """Whether the person says that there is no such column: `group=none`."""
    return kind in ("split", "group", "fold") and given.get(kind) == "none"


def _part_columns(
    folded: Mapping[str, str], rows: Sequence[Mapping[str, Any]], given: Mapping[str, str]
) -> tuple[str | None, tuple[str, ...], str | None]:
    """Return the columns that parts are told by: one of their names, several of yes or no, or one of folds."""
    fold = None if _none_of("fold", given) else _named("fold", folded)
    fold = fold if fold is None or "fold" in given or len({str(row[fold]).strip() for row in rows}) > 1 else None
    if _none_of("split", given):
        return None, (), fold
    split = given.get("split") or _named("split", folded) or _of_parts(folded, rows)
    if split:
        return split, (), None
    flags = [folded[name] for name in _FLAGS if name in folded]
    if given.get("label") or _named("label", folded):
        flags += [folded[name] for name in _BARE_FLAGS if name in folded and _is_marks(folded[name], rows)]
    kept = tuple(name for name in flags if name != given.get("label"))
    return None, kept, None if kept else fold


def _of_parts(folded: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the column whose every value names a part, whatever it is called."""
    for lowered, name in folded.items():
        if lowered in KINDS["label"][:9]:
            continue
        found: set[Part | None] = set()
        for row in rows:
            found.add(part_of(str(row.get(name))))
            if None in found:
                break
        if None not in found and "train" in found and len(found) > 1:
            return name
    return None


def _flagged(row: Mapping[str, Any], flags: Sequence[str], where: str) -> Part:
    """Return the part by columns of yes or no.

    Raises:
        InputError: neither yes nor no, or two parts at once.
    """
    known = _FLAGS | _BARE_FLAGS
    meant = {flag: known[flag.strip().lower()] for flag in flags}
    said: set[Part] = set()
    for flag in flags:
        value = str(row[flag]).strip().lower()
        if value not in (*_YES, *_NO):
            raise InputError(f"{flag} is {value!r}", where=where, fix="use true or false")
        if value in _YES:
            said.add(meant[flag][0])
    if len(said) > 1:
        what = f"{', '.join(flags)} name {counted(len(said), 'part')}: {', '.join(sorted(said))}"
        raise InputError(what, where=where, fix="let one of them be true")
    if said:
        return said.pop()
    named = {yes for yes, _ in meant.values()}
    if "train" not in named:
        return "train"
    return "test" if "val" in named else "val"


def _of_classes(group: str, label: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column called group has one for each class: it tells of classes, such as birds, not of images."""
    if group.strip().lower() not in ("group", "groups"):
        return False
    pairs = {(str(row[label]), str(row[group])) for row in rows}
    return len(pairs) == len({label for label, _ in pairs})


def _is_index(name: str) -> bool:
    return name.strip().lower() in ("", "index", "unnamed: 0")


def _named(kind: Kind, folded: Mapping[str, str]) -> str | None:
    return next((folded[name] for name in KINDS[kind] if name in folded), None)


def _images(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the column of images: one that holds them or paths that end like them, else one of a usual name."""
    some = rows[:50]
    folded = {name.strip().lower(): name for name in names}
    likely = [folded[name] for name in KINDS["image"] if name in folded]
    for name in (*likely, *(name for name in names if name not in likely)):
        values = [row.get(name) for row in some if not is_missing(row.get(name))]
        if values and all(_shows_image(value) for value in values):
            return name
    return likely[0] if likely else None


def _shows_image(value: Any) -> bool:
    if isinstance(value, dict):
        return "bytes" in value or "path" in value
    return isinstance(value, bytes) or str(value).strip().lower().endswith(SUFFIXES)


def _names_of(label: str, folded: Mapping[str, str], rows: Sequence[Mapping[str, Any]], taken: set[str | None]) -> str:
    """Return the column of names beside one of numbers, where each number has one name and each name one number."""
    values = [str(row.get(label)).strip() for row in rows]
    if not all(_is_number(value) for value in values):
        return label
    for folded_name, name in folded.items():
        if name == label or name in taken or not re.search(r"name|label|class|category|species|breed", folded_name):
            continue
        texts = [str(row.get(name)).strip() for row in rows]
        pairs = set(zip(values, texts, strict=True))
        named = not any(map(_is_number, texts)) and not any(map(is_missing, texts))
        if named and len(pairs) == len(set(values)) == len(set(texts)):
            return name
    return label


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _repeats(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [str(row.get(name)) for row in rows]
    # Numbers that do not repeat are refused with a better reason than that there is no such column.
    return 1 < len(set(values)) < len(values) or (len(values) > 2 and all(map(_is_number, values)))


def _is_marks(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = {str(row.get(name)).strip().lower() for row in rows}
    return bool(values) and values <= {*_YES[:2], *_NO[:2], "1.0", "0.0"}


def _first_fold(fold: str, rows: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(str(row[fold]).strip() for row in rows)
    if len(counts) < 2:
        raise InputError(f"column {fold!r} has {counted(len(counts), 'fold')}", where=fold, fix="give two or more")
    # A fold of -1 often means that its images are always learnt from.
    usual = [value for value in counts if not value.startswith("-")] or list(counts)
    return min(usual, key=lambda value: (not _is_number(value), float(value) if _is_number(value) else 0, value))

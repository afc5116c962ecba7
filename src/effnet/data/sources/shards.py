"""WebDataset shards: tar files of `key.jpg` beside `key.cls`, local or over HTTP, for data larger than a disk.

Each shard is looked through once; where its images lie and what they show is kept, so that any image can then be read
at its place. Shards from elsewhere are fetched whole and kept as long as there is room (20 GB, or what
EFFNET_SHARD_CACHE says in bytes); the sampler visits shard after shard, so each is fetched about once an epoch.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from effnet.data.cache import cached, fetched
from effnet.data.recognition import SUFFIXES, made_by_program
from effnet.data.source import Dataset, Remark, counted
from effnet.data.sources.labels import no_list, require_classes
from effnet.data.sources.layout import Part, natural, part_of
from effnet.errors import ImageError, InputError

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 1_000_000
_LABELS = ("cls", "label", "class", "class_name", "labels")

_LABEL_FIELDS = ("cls", "label", "json", "txt")
"""Fields that may hold the label; the first that a sample has is taken, as text is often a caption."""

_PREFERRED = ("jpg", "jpeg", "webp", "png")
"""Of several pictures of one key the first of these is the image; a PNG beside a JPEG is its mask."""

_IMAGE_FIELDS = ("image", "img", "rgb", "input", "photo", "picture", "x")
"""Fields before an ending that say that a picture is the image, where there is no plain one."""

_LOOKED_AT = 200
"""Files of a tar that are looked at to tell what it is."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One image of a shard."""

    key: str
    offset: int
    size: int
    label: str


class ShardSource:
    """Images in tar shards.

    Attributes:
        shards: (S,) number of the first image of each shard.
    """

    def __init__(self, files: Sequence[str], samples: Sequence[Sequence[_Sample]], classes: tuple[str, ...]) -> None:
        self._files = tuple(files)
        self._samples = tuple(sample for shard in samples for sample in shard)
        sizes = [len(shard) for shard in samples]
        self.shards = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        self.classes = classes
        numbers = {name: number for number, name in enumerate(classes)}
        self.labels = np.array([numbers[sample.label] for sample in self._samples], np.int64)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._samples)

    def read(self, index: int) -> bytes:
        """Return the image's bytes, fetching its shard first if it is elsewhere and not kept."""
        sample = self._samples[index]
        shard = self._files[int(np.searchsorted(self.shards, index, side="right")) - 1]
        for _ in range(2):  # a shard that was let go between asking and opening is fetched again
            try:
                with _local(shard).open("rb") as file:
                    file.seek(sample.offset)
                    data = file.read(sample.size)
                break
            except OSError as error:
                problem = error.strerror or str(error)
        else:
            raise ImageError(f"cannot be read ({problem})", where=shard, fix="check the shard")
        if len(data) < sample.size:
            raise ImageError("the shard ends within the image", where=shard, fix="write the shard again")
        return data

    def name(self, index: int) -> str:
        """Return the image's key."""
        return self._samples[index].key


def is_shards(text: str) -> bool:
    """Whether a text names shards: a brace pattern, an address of a tar, or a folder of tars with samples."""
    if _BRACES.search(text) or (_is_remote(text) and text.endswith(".tar")):
        return True
    path = Path(text)
    return path.is_dir() and any(path.glob("*.tar")) and not any(entry.is_dir() for entry in path.iterdir())


def open_shards(text: str, *, judging: bool = False) -> Dataset:
    """Return the images in shards, by part where their names begin with one (`train-000.tar`, `val-000.tar`).

    `judging` is as for `layout.assembled`.

    Raises:
        InputError: no shards, no samples in them, or samples without a label.
        DownloadError: a shard elsewhere cannot be had.
    """
    files = _expanded(text)
    by_part: dict[Part, list[str]] = {"train": [], "val": [], "test": []}
    for file in files:
        first = re.split(r"[^a-z]", PurePosixPath(file).name.lower(), maxsplit=1)[0]
        by_part[part_of(first) or "train"].append(file)
    if not (by_part["train"] or judging):
        raise InputError("no shards to train on", where=text, fix="name them train-000000.tar and so on")
    indexes = {part: [_index(file) for file in names] for part, names in by_part.items()}
    samples = {part: [index.samples for index in found] for part, found in indexes.items()}
    learnt = samples.values() if judging else (samples["train"],)
    labels = {sample.label for part in learnt for shard in part for sample in shard}
    if not judging and len(labels) < 2:
        raise InputError(
            f"{counted(len(labels), 'class', 'classes')} in the shards",
            where=text,
            fix="give samples of at least two classes",
        )
    every = [sample.label for shards in samples.values() for shard in shards for sample in shard]
    require_classes(every, column="cls", where=text, judging=judging)
    classes = tuple(sorted(labels, key=natural))
    made: dict[Part, ShardSource | None] = {}
    for part, shards in samples.items():
        strange = sorted({sample.label for shard in shards for sample in shard} - labels)
        if strange:
            what = f"{part} has classes that train has not: {', '.join(strange[:5])}"
            raise InputError(what, where=text, fix="write the shards with the same classes")
        filled = [(file, shard) for file, shard in zip(by_part[part], shards, strict=True) if shard]
        made[part] = ShardSource([f for f, _ in filled], [s for _, s in filled], classes) if filled else None
    train = made["train"] or ShardSource([], [], classes)
    unused: Counter[str] = Counter()
    for found in indexes.values():
        for index in found:
            unused.update(index.fields)
    return Dataset(text, train, made["val"], made["test"], tuple(_unused(unused)))


def _unused(fields: Counter[str]) -> Iterator[Remark]:
    if fields:
        shown = ", ".join(f"{name} ({number})" for name, number in fields.most_common(5))
        what = f"{counted(fields.total(), 'picture')} of other fields not used: {shown}"
        yield Remark("note", "other_fields", what, "nothing, if the picture is the plain one: KEY.jpg beside KEY.cls")


def _expanded(text: str) -> list[str]:
    match = _BRACES.search(text)
    if match:
        first, last, width = int(match[1]), int(match[2]), len(match[1])
        if not 0 <= last - first < _MOST_SHARDS:
            raise InputError(f"shards {first} to {last}", where=text, fix="give the first and the last number")
        names = (f"{number:0{width}}" for number in range(first, last + 1))
        return [file for name in names for file in _expanded(text[: match.start()] + name + text[match.end() :])]
    if _is_remote(text):
        return [text]
    path = Path(text)
    if path.is_dir():
        return sorted(map(str, path.glob("*.tar")), key=natural)
    if not path.is_file():
        raise InputError("no such shard", where=text, fix="check the numbers of the pattern")
    return [text]


def _is_remote(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def _local(shard: str) -> Path:
    if not _is_remote(shard):
        return Path(shard)
    return fetched(shard, f"{hashlib.sha256(shard.encode()).hexdigest()[:24]}.tar")


@dataclass(frozen=True, slots=True)
class _Index:
    """What is in a shard: its samples, and how many files of each other field."""

    samples: list[_Sample]
    fields: dict[str, int]


def _index(shard: str) -> _Index:
    stamp = shard
    if not _is_remote(shard):
        state = Path(shard).stat()
        stamp = f"{Path(shard).resolve()} {state.st_size} {state.st_mtime_ns}"
    name = f"shard-{hashlib.sha256(f'3 {stamp}'.encode()).hexdigest()[:24]}.json"
    content = json.loads(cached(name, lambda temp: _write_index(shard, temp)).read_text("utf-8"))
    return _Index([_Sample(*entry) for entry in content["samples"]], content["fields"])


def _write_index(shard: str, target: Path) -> None:
    try:
        with tarfile.open(_local(shard), "r:") as archive:
            content = _indexed(archive, shard)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"not a readable shard ({error})", where=shard, fix="write it as a plain .tar") from None
    target.write_text(json.dumps(content), "utf-8")


def _indexed(archive: tarfile.TarFile, shard: str) -> dict[str, Any]:
    """Return the samples of a shard, and the other fields in it.

    A sample's files share what is before the first dot of their names, and its picture is the one whose field is a
    plain ending: `7.jpg`, while `7.seg.png` is a mask. Where a name has dots of its own, such as `IMG.0001.jpg`, its
    label has them too: `IMG.0001.cls`.
    """
    pictures: dict[str, dict[str, tarfile.TarInfo]] = {}
    labels: dict[str, dict[str, str]] = {}
    dotted: list[tuple[str, str, tarfile.TarInfo]] = []
    fields: Counter[str] = Counter()
    for member in archive:
        folder, _, file = member.name.rpartition("/")
        hidden = file.startswith(".") or any(made_by_program(part) for part in folder.split("/"))
        if not member.isfile() or hidden:
            continue
        stem, _, last = file.rpartition(".")
        key, ending = f"{folder}/{stem}" if folder else stem, last.lower()
        if ending in _LABEL_FIELDS:
            found = archive.extractfile(member)
            assert found is not None
            label = _label(found.read(1 << 20), ending, f"{shard}: {member.name}")
            if label is not None:
                labels.setdefault(key, {})[ending] = label
        elif f".{ending}" in SUFFIXES:
            if "." in stem:
                dotted.append((key, file.partition(".")[2].lower(), member))
            else:
                pictures.setdefault(key, {})[ending] = member
        else:
            fields[ending] += 1
    others = _named_pictures(dotted, pictures, labels)
    fields.update(others)
    if others and not pictures:
        shown = ", ".join(name for name, _ in others.most_common(5))
        fix = "write the picture to be learnt as KEY.jpg, or one of KEY.image.jpg, KEY.img.jpg, KEY.rgb.jpg"
        raise InputError(f"no picture of a plain field beside a label, only {shown}", where=shard, fix=fix)
    missing = [key for key in pictures if key not in labels]
    if missing or not pictures:
        what = f"{len(missing)} images without a label, such as {missing[0]}" if missing else "no images in it"
        raise InputError(what, where=shard, fix="give each image a .cls (or .json with a label) of the same key")
    samples = []
    for key, found_here in pictures.items():
        chosen = min(found_here, key=lambda ending: (_PREFERRED.index(ending) if ending in _PREFERRED else 99, ending))
        fields.update(ending for ending in found_here if ending != chosen)
        member, label = found_here[chosen], next(labels[key][f] for f in _LABEL_FIELDS if f in labels[key])
        samples.append((key, member.offset_data, member.size, label))
    return {
        "samples": samples,
        "fields": {name: number for name, number in fields.items() if f".{name}" in SUFFIXES or "." in name},
    }


def _named_pictures(
    dotted: Sequence[tuple[str, str, tarfile.TarInfo]],
    pictures: dict[str, dict[str, tarfile.TarInfo]],
    labels: dict[str, dict[str, str]],
) -> Counter[str]:
    """Add pictures whose names have more dots to those of their keys, and return the fields of the others.

    That is a picture whose label has the same dots, and of a key without a plain picture the field that says that it
    is the image: `7.image.jpg` beside `7.depth.png`.
    """
    others: dict[str, dict[str, tarfile.TarInfo]] = {}
    unused: Counter[str] = Counter()
    for key, field, member in dotted:
        folder, _, file = key.rpartition("/")
        first = f"{folder}/{file.partition('.')[0]}" if folder else file.partition(".")[0]
        if key in labels:
            pictures.setdefault(key, {})[field.rpartition(".")[2]] = member
        elif first in labels and first not in pictures:
            others.setdefault(first, {})[field] = member
        else:
            unused[field] += 1
    for key, found in others.items():
        usual = [field for field in found if field.partition(".")[0] in _IMAGE_FIELDS]
        if len(usual) == 1 and key not in pictures:
            pictures[key] = {usual[0].rpartition(".")[2]: found.pop(usual[0])}
        unused.update(list(found))
    return unused


def _label(content: bytes, extension: str, where: str) -> str | None:
    text = content.decode("utf-8", "replace").strip()
    if extension != "json":
        return text or None
    try:
        data: Any = json.loads(text)
    except ValueError:
        return None
    value = next((data[name] for name in _LABELS if name in data), None) if isinstance(data, dict) else None
    value = no_list(value, column="label", where=where)
    return None if value is None else str(value)


def holds_samples(path: Path) -> bool:
    """Whether a plain tar is a shard: an image in it lies beside a label of the same key."""
    seen: dict[str, set[bool]] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member, _ in zip(archive, range(_LOOKED_AT), strict=False):
                stem, _, ending = member.name.lower().rpartition(".")
                folder, _, file = stem.rpartition("/")
                if ending in ("cls", "json", "label", "txt") or f".{ending}" in SUFFIXES:
                    for key in {stem, f"{folder}/{file.partition('.')[0]}" if folder else file.partition(".")[0]}:
                        seen.setdefault(key, set()).add(f".{ending}" in SUFFIXES)
    except (tarfile.TarError, OSError, EOFError):
        return False
    return any(len(kinds) == 2 for kinds in seen.values())

"""Zip and tar archives of class folders, read in place: nothing is unpacked to where its names say.

A zip and a plain tar are read at the place of each image. A compressed tar can only be read from its start, so its
images are copied once, in order, to a plain file beside the downloaded weights, which is then read at places too.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from effnet.data.recognition import HEAD, Listing, sorted_out
from effnet.data.source import Dataset, Remark
from effnet.data.sources.layout import Placed, assembled, labels_of, placed
from effnet.errors import ImageError, InputError

_MOST_IMAGES = 20_000_000
_LARGEST_IMAGE = 64 << 20
_LARGEST_TOTAL = 1 << 42
_LARGEST_RATIO = 200
"""A bomb's ratio of content to archive is a thousand or more; images barely shrink at all."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a stored file's bytes are."""

    offset: int
    size: int


class StoredSource:
    """Images that lie one after another in a file: a plain tar, or a copy of a compressed one."""

    def __init__(
        self, file: Path, places: dict[str, _Place], classes: tuple[str, ...], images: Sequence[Placed]
    ) -> None:
        self._file = file
        self._keys = tuple(image.key for image in images)
        self._places = tuple(places[key] for key in self._keys)
        self.classes = classes
        self.labels = labels_of(classes, images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._keys)

    def read(self, index: int) -> bytes:
        """Return the image's bytes."""
        place = self._places[index]
        try:
            with self._file.open("rb") as file:
                data = os.pread(file.fileno(), place.size, place.offset)
        except OSError as error:
            raise ImageError(f"cannot be read ({error.strerror})", where=str(self._file), fix="check it") from None
        if len(data) < place.size:
            raise ImageError("the archive ends within the image", where=str(self._file), fix="download it again")
        return data

    def name(self, index: int) -> str:
        """Return the path within the archive."""
        return self._keys[index]


class ZipSource:
    """Images in a zip."""

    def __init__(self, file: Path, classes: tuple[str, ...], images: Sequence[Placed]) -> None:
        self._file = file
        self._keys = tuple(image.key for image in images)
        self._open: dict[int, zipfile.ZipFile] = {}
        self.classes = classes
        self.labels = labels_of(classes, images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._keys)

    def read(self, index: int) -> bytes:
        """Return the image's bytes."""
        try:
            # Each process has its own handle: a shared one would have a shared position.
            archive = self._open.get(os.getpid()) or self._open.setdefault(os.getpid(), zipfile.ZipFile(self._file))
            with archive.open(self._keys[index]) as file:
                return file.read(_LARGEST_IMAGE)
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
            raise ImageError(f"cannot be unpacked ({error})", where=self._keys[index], fix="zip it again") from None

    def name(self, index: int) -> str:
        """Return the path within the archive."""
        return self._keys[index]

    def __getstate__(self) -> dict[str, object]:
        """Leave the open handles behind."""
        return self.__dict__ | {"_open": {}}


def is_archive(path: Path) -> bool:
    """Whether the file's name is that of an archive."""
    return path.name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))


def open_archive(path: Path, *, judging: bool = False) -> Dataset:
    """Return the images of a zip or tar: CLASS/image or PART/CLASS/image, perhaps under one folder.

    `judging` is as for `assembled`.

    Raises:
        InputError: not such an archive, damaged, hostile, or without class folders.
    """
    where = str(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                sizes = {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}
                _require_bounded(sizes, path)
                listing = sorted_out((key, _zip_head(archive, key)) for key in sizes if _allowed(key))
            images, said = _placed(listing, where)
            return assembled(
                where, images, lambda classes, members: ZipSource(path, classes, members), said, judging=judging
            )
        file, places, listing = _indexed(path)
    except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError) as error:
        raise InputError(f"not a readable archive ({error})", where=where, fix="give a .zip or .tar(.gz)") from None
    images, said = _placed(listing, where)
    return assembled(
        where, images, lambda classes, members: StoredSource(file, places, classes, members), said, judging=judging
    )


def _placed(listing: Listing, where: str) -> tuple[list[Placed], tuple[Remark, ...]]:
    remarks = listing.remarks()
    lost = next((remark for remark in remarks if remark.kind == "unread_format"), None)
    if lost is not None and not listing.images:
        raise InputError(lost.what, where=where, fix=lost.fix)
    images, said = placed(listing.images, where=where)
    return images, (*remarks, *said)


def _zip_head(archive: zipfile.ZipFile, key: str) -> Callable[[], bytes]:
    def head() -> bytes:
        try:
            with archive.open(key) as file:
                return file.read(HEAD)
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, ValueError):
            return b""  # encrypted, damaged, or of a method that is not known: what it holds is not known either

    return head


def _indexed(path: Path) -> tuple[Path, dict[str, _Place], Listing]:
    """Return a plain file that holds a tar's images, where each of them is in it, and what it holds."""
    try:
        with tarfile.open(path, "r:") as archive:  # only an uncompressed one
            places, listing = _listed(archive, path)
            _require_bounded({name: place.size for name, place in places.items()}, path)
            return path, places, listing
    except tarfile.ReadError:
        return _unpacked(path)


def _listed(archive: tarfile.TarFile, path: Path) -> tuple[dict[str, _Place], Listing]:
    places = {
        member.name: _Place(member.offset_data, member.size)
        for member in archive
        if member.isfile() and _allowed(member.name)
    }

    def head(place: _Place) -> Callable[[], bytes]:
        return lambda: os.pread(file.fileno(), min(HEAD, place.size), place.offset)

    with path.open("rb") as file:
        return places, sorted_out((name, head(place)) for name, place in places.items())


def _unpacked(path: Path) -> tuple[Path, dict[str, _Place], Listing]:
    from effnet.data.cache import cached

    state = path.stat()
    key = hashlib.sha256(f"2 {path.resolve()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:16]
    copy = cached(f"{path.name.partition('.')[0]}-{key}.tar", lambda temp: _copy(path, temp))
    with tarfile.open(copy, "r:") as archive:
        return (copy, *_listed(archive, copy))


def _copy(path: Path, target: Path) -> None:
    """Write a plain tar of the images, and of the first bytes of what looks like one and is none that is read."""
    with tarfile.open(path, "r:*") as archive, tarfile.open(target, "w:") as plain:
        total = 0
        for member in _images(archive):
            file = archive.extractfile(member)
            assert file is not None
            total += member.size
            _require_bounded({member.name: total}, path)
            start = file.read(HEAD)
            listing = sorted_out([(member.name, functools.partial(bytes, start))])
            if not listing.images and not listing.left_out:
                continue
            content = start + file.read() if listing.images else start
            info = tarfile.TarInfo(member.name)
            info.size = len(content)
            plain.addfile(info, io.BytesIO(content))


def _images(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for count, member in enumerate(archive):
        if count >= _MOST_IMAGES:
            raise ValueError(f"more than {_MOST_IMAGES} files")
        if member.isfile() and _allowed(member.name) and member.size <= _LARGEST_IMAGE:
            yield member


def _allowed(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _require_bounded(sizes: dict[str, int], path: Path) -> None:
    total = sum(sizes.values())
    if len(sizes) > _MOST_IMAGES or total > min(_LARGEST_TOTAL, _LARGEST_RATIO * max(path.stat().st_size, 1 << 20)):
        raise ValueError(f"it would unpack to {total} bytes")

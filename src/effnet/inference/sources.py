"""From what a person types (files, folders, globs) to the image files that are meant, in a stable order."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from effnet.errors import InputError

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Endings by which a folder's images are recognised; a file named outright may have any."""


def expand(arguments: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Return the image files that `arguments` mean, in the order given.

    A file is taken as it is; a folder gives every image file below it, sorted by name, each real folder once (links
    may form loops) and hidden names left out; anything else is a glob pattern (`**` crosses folders). Names that are
    not UTF-8 are carried as `os.fsdecode` does.

    Raises:
        InputError: nothing is there, a folder cannot be read, or there is no image in all of it.
    """
    files: list[str] = []
    for argument in arguments:
        files.extend(_expand(os.fspath(argument)))
    if not files:
        kinds = ", ".join(sorted(SUFFIXES))
        raise InputError("no images found", fix=f"name image files, or folders that hold some ({kinds})")
    return tuple(files)


def read_list(content: bytes) -> tuple[str, ...]:
    """Return the paths that a list names: one a line, or separated by NUL (as `find -print0` writes them).

    Raises:
        InputError: the list is empty.
    """
    separator = b"\0" if b"\0" in content else b"\n"
    lines = content.split(separator)
    if separator == b"\n":
        lines = [line.removesuffix(b"\r") for line in lines]
    paths = tuple(os.fsdecode(line) for line in lines if line.strip())
    if not paths:
        raise InputError("the list of images is empty", fix="write one path a line")
    return paths


def _expand(argument: str) -> Iterator[str]:
    path = Path(argument)
    if path.is_dir():
        yield from _walk(argument)
    elif os.path.lexists(argument):
        yield argument
    elif glob.has_magic(argument):
        found = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (pathlib's drops a leading ./)
        if not found:
            raise InputError("nothing matches this pattern", where=argument, fix="check it; ** crosses folders")
        yield from (name for name in found if not Path(name).is_dir())
    else:
        raise InputError("no such file or folder", where=argument, fix="check the path")


def _walk(folder: str) -> Iterator[str]:
    visited: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            status = Path(path).stat()
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            reason = f"cannot read the folder: {error.strerror}"
            raise InputError(reason, where=path, fix="check its permissions, or leave it out") from None
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        entries = [entry for entry in entries if not entry.name.startswith(".")]
        yield from (entry.path for entry in entries if _is_image(entry))
        waiting.extend(entry.path for entry in reversed(entries) if _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that lead to each other
        return False


def _is_image(entry: os.DirEntry[str]) -> bool:
    if Path(entry.name).suffix.lower() not in SUFFIXES:
        return False
    try:
        return stat.S_ISREG(entry.stat().st_mode)  # reading a pipe or a device could wait for ever
    except OSError:
        return True  # a broken link: what is wrong with it is reported when it is read

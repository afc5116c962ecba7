"""From what a person types (files, folders, globs) to the image files that are meant, in a stable order."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from effnet.data.recognition import SUFFIXES, Listing, listed
from effnet.data.source import Remark
from effnet.errors import InputError


def expand(
    arguments: Iterable[str | os.PathLike[str]],
    *,
    foreign: bool = False,
    remark: Callable[[str, Remark], None] = lambda folder, remark: None,
) -> tuple[str, ...]:
    """Return the image files that `arguments` mean, in the order given.

    A file is taken as it is; a folder gives every image file below it (`effnet.data.recognition` says what that is, by
    name and by content), sorted by name, files before folders, each real folder once (links may form loops) and hidden
    names left out; anything else is a glob pattern (`**` crosses folders). Names that are not UTF-8 are carried as
    `os.fsdecode` does.

    Args:
        arguments: what a person named.
        foreign: give images of formats that are not read (HEIC, raw) too: reading them says why each is not.
        remark: told, for each folder, of images that are left out for another reason.

    Raises:
        InputError: nothing is there, a folder cannot be read, or there is no image in all of it.
    """
    files: list[str] = []
    unread: list[Remark] = []
    for given in arguments:
        argument = os.fspath(given)
        if not Path(argument).is_dir():
            files.extend(_named(argument))
            continue
        listing = _listed(argument)
        files.extend(_in_folder(argument, listing, foreign))
        for found in listing.remarks():
            if found.kind == "unread_format":
                unread.append(found)
            elif found.kind == "program_folders":
                remark(argument, found)
    if not files:
        kinds = ", ".join(sorted(SUFFIXES))
        if unread:
            raise InputError(f"no images found: {unread[0].what}", fix=unread[0].fix)
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


def _named(argument: str) -> Iterator[str]:
    if os.path.lexists(argument):
        yield argument
    elif glob.has_magic(argument):
        found = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (pathlib's drops a leading ./)
        if not found:
            raise InputError("nothing matches this pattern", where=argument, fix="check it; ** crosses folders")
        yield from (name for name in found if not Path(name).is_dir())
    else:
        raise InputError("no such file or folder", where=argument, fix="check the path")


def _listed(folder: str) -> Listing:
    try:
        return listed(Path(folder))
    except InputError as error:
        reason = f"cannot read the folder: {error.what.removeprefix('cannot be read (').removesuffix(')')}"
        raise InputError(reason, where=error.where, fix="check its permissions, or leave it out") from None


def _in_folder(folder: str, listing: Listing, foreign: bool) -> Iterator[str]:
    # A download's placeholder is no example to learn from, but it is an image that somebody may ask about.
    keys = [*listing.images, *(entry.key for entry in listing.of("placeholder"))]
    if foreign:
        keys += [entry.key for entry in listing.of("foreign")]
    for key in sorted(keys, key=_files_first):
        path = os.path.join(folder, key)  # noqa: PTH118 (pathlib's drops a leading ./)
        if _is_regular(path):
            yield path


def _files_first(key: str) -> tuple[tuple[bool, str], ...]:
    *folders, name = PurePosixPath(key).parts
    return (*((True, folder) for folder in folders), (False, name))


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)  # reading a pipe or a device could wait for ever
    except OSError:
        return True  # a broken link: what is wrong with it is reported when it is read

"""The one way a file is written: whole, or not at all.

    with atomic_write(path) as temp:
        temp.write_bytes(data)

A crash, a full disk or a kill at any moment leaves either the old file or the new one under `path`, never a part of
one. The order is fsync the file, rename it, fsync the folder: without the first, a power loss after the rename can
leave an empty file; without the last, the old one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from effnet.errors import EffnetError, InputError
from effnet.quantities import size_text

_ORPHAN_AGE = 3600.0
"""Seconds without a change after which a temporary file can only be the remains of a killed writer."""

_NAME_MAX = 255
"""Bytes in a file name, on every file system in common use."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BROKEN = (errno.EIO, errno.ENXIO, errno.ESTALE)


class StorageError(EffnetError):
    """A file could not be written: the disk is full, broken, read-only or not ours."""


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, needs: int | None = None) -> Iterator[Path]:
    """Yield an empty temporary file beside `path`; when the block ends well, it becomes `path`.

    When the block raises, or is interrupted, the temporary file is removed and the file that was there is untouched.
    Symbolic links are followed, as writing through them would.

    Args:
        path: the file to create or replace; its folder must exist.
        needs: bytes that will be written, when known: too little room is then refused before the work starts.

    Raises:
        InputError: the folder does not exist, or `path` is a folder or a device.
        StorageError: no room, no permission, or the disk failed.
    """
    target = _target(Path(path))
    if needs is not None:
        require_room(target.parent, needs, where=str(path))
    _sweep(target)
    temp = _temporary(target)
    mode = stat.S_IMODE(temp.stat().st_mode)
    try:
        with typed_os_errors(target, needs=needs):
            yield temp
            if target.exists():
                shutil.copymode(target, temp)
            elif stat.S_IMODE(temp.stat().st_mode) != mode:
                temp.chmod(mode)  # safetensors puts a file of its own, for its owner's eyes only, in the place of ours
            replace(temp, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temp.unlink(missing_ok=True)
        raise


def require_target(path: str | os.PathLike[str]) -> None:
    """Refuse, before long work starts, a file that `atomic_write` could not write when it is over.

    Raises:
        InputError: the folder does not exist, or `path` is a folder or a device.
        StorageError: the folder is not ours to write to.
    """
    target = _target(Path(path))
    temp = _temporary(target)
    with typed_os_errors(target):
        temp.unlink()


def make_folder(path: Path, option: str | None = None) -> None:
    """Make a folder and those above it, where they are not there yet.

    Args:
        option: what a person names it with on the command line, for the error's fix.

    Raises:
        InputError: something that is no folder is in the way.
        StorageError: no room, no permission, or the disk failed.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError("a file is in the way of this folder", where=str(path), fix="name another folder") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        fix = "name a folder on a disk that has room and can be written to" + (f", with {option}" if option else "")
        raise StorageError(f"cannot be made: {reason}", where=str(path), fix=fix) from None


def replace(temp: Path, path: Path) -> None:
    """Make the finished file `temp` into `path`, in the same folder, so that it survives a loss of power.

    Raises:
        OSError: as the system gave it; `typed_os_errors` translates.
    """
    with temp.open("r+b") as file:
        os.fsync(file.fileno())
    temp.replace(path)
    _fsync_folder(path.parent)


def require_room(folder: Path, needs: int, *, where: str) -> None:
    """Refuse, before anything is written, what cannot fit.

    Raises:
        StorageError: the disk of `folder` has fewer than `needs` bytes free.
    """
    free = _free(folder)
    if free is not None and free < needs:
        raise _full(where, folder, needs, free)


@contextlib.contextmanager
def typed_os_errors(path: Path, *, needs: int | None = None) -> Iterator[None]:
    """Turn the failures of a disk under the file `path` into `StorageError`; others pass as they are.

    Libraries in native code report a full or broken disk in their own exceptions, by its text; those are recognised
    too.
    """
    try:
        yield
    except EffnetError:
        raise
    except OSError as error:
        typed = _typed(error, path, needs)
        if typed is None:
            raise
        raise typed from error
    except Exception as error:
        code = next((code for code in (*_FULL, *_BROKEN) if os.strerror(code) in str(error)), None)
        typed = None if code is None else _typed(OSError(code, os.strerror(code)), path, needs)
        if typed is None:
            raise
        raise typed from error


def _target(path: Path) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise InputError("is a folder", where=str(path), fix="name a file in it")
    if target.exists() and not target.is_file():
        # Renaming over a device such as /dev/null would replace the device itself.
        raise InputError("is not a regular file", where=str(path), fix="name a regular file")
    if not target.parent.is_dir():
        raise InputError("its folder does not exist", where=str(path), fix=f"create it: mkdir -p '{target.parent}'")
    return target


def _temporary(target: Path) -> Path:
    # Opened with 0o666 so that the umask decides, as for any file a person writes.
    temp = target.with_name(f".{_stem(target)}.{secrets.token_hex(6)}.tmp")
    with typed_os_errors(target):
        os.close(os.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temp


def _stem(target: Path) -> str:
    # The name plus what the temporary name adds must still be a legal name; cut between characters.
    room = _NAME_MAX - len(".") - len(".000000000000.tmp")
    return os.fsencode(target.name)[:room].decode(errors="ignore")


def _sweep(target: Path) -> None:
    prefix = f".{_stem(target)}."
    now = time.time()
    with contextlib.suppress(OSError):
        for entry in os.scandir(target.parent):
            if entry.name.startswith(prefix) and entry.name.endswith(".tmp"):
                with contextlib.suppress(OSError):
                    if now - entry.stat(follow_symlinks=False).st_mtime > _ORPHAN_AGE:
                        Path(entry.path).unlink()


def _fsync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder; its rename is journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network and FUSE file systems do not implement it; the rename itself has succeeded.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(handle)


def _typed(error: OSError, path: Path, needs: int | None) -> EffnetError | None:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        return _full(str(path), path.parent, needs, _free(path.parent))
    if error.errno in _BROKEN:
        fix = "check the disk (its log, its cable, its mount) and write elsewhere meanwhile"
        return StorageError(f"the disk failed: {reason}", where=str(path), fix=fix)
    if not _about(error, path):
        return None  # the block failed at something else, which is not ours to explain
    if error.errno == errno.ENOENT and not path.parent.is_dir():
        return InputError("its folder does not exist", where=str(path), fix=f"create it: mkdir -p '{path.parent}'")
    fix = "write to a folder you own, or change its permissions"
    return StorageError(f"cannot be written: {reason}", where=str(path), fix=fix)


def _about(error: OSError, path: Path) -> bool:
    named = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return any(
        name in (path, path.parent) or (name.parent == path.parent and _stem(path) in name.name) for name in named
    )


def _full(where: str, folder: Path, needs: int | None, free: int | None) -> StorageError:
    known = [f"needs {size_text(needs)}"] if needs is not None else []
    known += [f"{size_text(free)} free in {folder}"] if free is not None else []
    detail = f" ({', '.join(known)})" if known else ""
    return StorageError(f"the disk is full{detail}", where=where, fix="free some space or write to another disk")


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None

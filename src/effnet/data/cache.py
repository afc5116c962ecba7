"""Files that can be made again, kept: unpacked archives, shards fetched from elsewhere, and their indexes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from effnet.weights.atomic import atomic_write, make_folder
from effnet.weights.digest import Expected
from effnet.weights.store import fetch_url, home

_LIMIT = 20 << 30
"""Bytes of fetched shards kept, if EFFNET_SHARD_CACHE does not say otherwise."""


def folder() -> Path:
    """Return where they are, made if it is not there."""
    path = home() / "datasets"
    make_folder(path)
    return path


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Return the file `name`; when it is not there, `make` first writes it to the path it is given.

    Several processes that ask at once wait for the one that makes it.
    """
    path = folder() / name
    if not path.exists():
        with FileLock(path.with_name(f"{name}.lock"), fallback_to_soft=False):
            if not path.exists():
                with atomic_write(path) as temp:
                    make(temp)
    return path


def fetched(url: str, name: str) -> Path:
    """Return the file at `url`, kept under `name`; the longest unused ones go when all together are too large.

    Raises:
        DownloadError: it cannot be had.
    """
    path = folder() / "shards" / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        _make_room(path.parent)
        fetch_url(url, path, expected=Expected())
    with contextlib.suppress(OSError):
        os.utime(path)  # the order in which they are let go
    return path


def _make_room(shards: Path) -> None:
    limit = int(os.environ.get("EFFNET_SHARD_CACHE", _LIMIT))
    with contextlib.suppress(OSError):
        files = sorted((p for p in shards.iterdir() if p.suffix == ".tar"), key=lambda p: p.stat().st_mtime)
        kept = sum(p.stat().st_size for p in files)
        while files and kept > limit:
            oldest = files.pop(0)
            kept -= oldest.stat().st_size
            oldest.unlink()

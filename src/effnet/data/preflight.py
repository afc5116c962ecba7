"""A look at some images before hours are spent on them, and what to say of the data first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from effnet.data.decode import decode
from effnet.data.deep import range_remarks, used_range
from effnet.data.source import Dataset, Remark, Source, counted
from effnet.errors import EffnetError, ImageError

_LOOKED_AT = 24
"""Images of each part that are opened."""


def remarked(remarks: Iterable[Remark]) -> Iterator[str]:
    """Yield a line for each remark on the data: `warning: ... (fix: ...)`."""
    for remark in remarks:
        yield f"{remark.severity}: {remark.what} (fix: {remark.fix})"


def used_ranges(source: Source) -> tuple[Remark, ...]:
    """Return what is to be said where a few images of 16 bits, spread over the source, use only some of their bits."""
    return used_ranges_of(len(source), source.read)


def used_ranges_of(count: int, read: Callable[[int], bytes | Path]) -> tuple[Remark, ...]:
    """Return the same of `count` images that `read` gives, as bytes or files."""
    ranges = []
    for index in _spread(count):
        try:
            content = read(index)
            if _head(content).startswith(b"\xff\xd8"):
                continue  # a JPEG has 8 bits
            decode(content)
            ranges.append(used_range(content))
        except (EffnetError, OSError):
            continue  # unreadable images are told of elsewhere
    return tuple(range_remarks([found for found in ranges if found is not None], of_all=False))


def _head(content: bytes | Path) -> bytes:
    if isinstance(content, bytes):
        return content[:2]
    with content.open("rb") as file:
        return file.read(2)


def _spread(count: int) -> list[int]:
    numbers: list[int] = np.unique(np.linspace(0, count - 1, min(_LOOKED_AT, count)).astype(int)).tolist()
    return numbers


def require_present(dataset: Dataset) -> None:
    """Refuse data of which files are missing, before anything is computed.

    Raises:
        ImageError: a table lists files that are not there.
    """
    for remark in dataset.remarks:
        if remark.kind == "missing_files":
            raise ImageError(remark.what, where=dataset.name, fix=remark.fix)


def require_readable(dataset: Dataset) -> None:
    """Open a few images, spread over each part.

    Raises:
        ImageError: files are missing, or some images cannot be read: the first one's reason, and how many of those that
            were looked at.
    """
    require_present(dataset)
    seen = 0
    failed: list[tuple[str, EffnetError]] = []
    for source in (dataset.train, dataset.val, dataset.test):
        if source is None or not len(source):
            continue
        for index in _spread(len(source)):
            seen += 1
            try:
                decode(source.read(index), min_size=64)
            except EffnetError as error:
                failed.append((source.name(index), error))
    if failed:
        name, first = failed[0]
        what = f"{first.what}; {len(failed)} of {counted(seen, 'image')} looked at cannot be read"
        fix = f"{first.fix}; effnet data check DATA lists them all" if first.fix else "effnet data check DATA"
        raise ImageError(what, where=name, fix=fix)

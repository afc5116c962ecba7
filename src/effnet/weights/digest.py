"""What proves that a file is the one that was published: its digest and its size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from effnet.errors import DownloadError

_CHUNK = 1 << 20


class WrongFileError(DownloadError):
    """A file arrived, or was put into the cache, that is not the one that was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is known of a file before it arrives; an empty value accepts anything.

    Attributes:
        sha256: hex digest or a prefix of it (torch.hub puts eight digits into file names).
        md5: hex digest, where nothing better is published.
        size: bytes.
    """

    sha256: str | None = None
    md5: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a file on disk is."""

    sha256: str
    md5: str | None
    size: int


def measure(path: Path, *, md5: bool = False) -> Measured:
    """Read the file once and return its size and digests; the slow md5 only on request.

    Raises:
        OSError: it cannot be read.
    """
    size, digests = 0, [hashlib.sha256()]
    if md5:
        digests.append(hashlib.md5(usedforsecurity=False))
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            for digest in digests:
                digest.update(chunk)
            size += len(chunk)
    return Measured(sha256=digests[0].hexdigest(), md5=digests[1].hexdigest() if md5 else None, size=size)


def mismatch(measured: Measured, expected: Expected) -> str | None:
    """Return how `measured` differs from what was `expected`, naming both; None when it does not."""
    if expected.size is not None and measured.size != expected.size:
        return f"it has {measured.size} bytes, expected {expected.size}"
    if expected.sha256 is not None and not measured.sha256.startswith(expected.sha256):
        return f"its sha256 is {measured.sha256}, expected {expected.sha256}"
    if expected.md5 is not None and measured.md5 != expected.md5:
        return f"its md5 is {measured.md5}, expected {expected.md5}"
    return None

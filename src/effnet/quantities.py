"""Numbers as people write them: `10M` parameters, `1G` MACs, `64MB` of memory, both read and printed."""

from __future__ import annotations

import re

from effnet.errors import InputError

_COUNT = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_NUMBER = re.compile(r"(\d[\d_]*(?:\.\d+)?(?:e\d{1,2})?) ?([a-z]*)")


def parse_count(text: str) -> int:
    """Read `5_288_548`, `5.3M`, `0.39G`, `400k` or `1e9`; G and B are both 10**9.

    Raises:
        InputError: anything else.
    """
    return _parse(text, _COUNT, "a count", "write a number such as 5300000, 5.3M or 0.39G")


def parse_bytes(text: str) -> int:
    """Read `64MB` (10**6), `64MiB` (2**20), `1.5GB` or a plain number of bytes.

    Raises:
        InputError: anything else; `64M` too, which could mean either.
    """
    return _parse(text, _BYTES, "a size in bytes", "write a number such as 64MB or 64MiB")


def millions(count: int) -> str:
    """Write parameters as the papers do: `5.29M`."""
    return f"{count / 1e6:.2f}M"


def billions(count: int) -> str:
    """Write MACs as the papers do: `0.386G`."""
    return f"{count / 1e9:.3f}G"


def size_text(count: int) -> str:
    """Write a number of bytes in the unit that suits it: `512 bytes`, `64.0 MB`."""
    size, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 999.95 or unit == "TB":
            break
        size /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"


def count_text(count: int) -> str:
    """Write any count in the unit that suits it: `640`, `100k`, `5.29M`, `1G`."""
    size, unit = float(count), ""
    for unit in ("", "k", "M", "G", "T"):
        if size < 999.5 or unit == "T":
            break
        size /= 1000
    return f"{size:.3g}{unit}"


def _parse(text: str, units: dict[str, int], what: str, fix: str) -> int:
    found = _NUMBER.fullmatch(text.strip().lower())
    if found is None or found[2] not in units:
        raise InputError(f"{text!r} is not {what}", fix=fix)
    return round(float(found[1].replace("_", "")) * units[found[2]])

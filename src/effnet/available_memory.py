"""How much memory this process may still take, as the system and its container see it.

Free memory is not it: what was read from the disk is kept in otherwise unused memory, so after unpacking an archive
next to nothing is free and nearly all is available. And inside a container the machine has more than the process may
take: a control group's limit ends the process, whatever the machine has left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_UNKNOWN = 4 << 30
"""Bytes, where the system does not tell."""

_UNLIMITED = 1 << 60
"""Version 1 of control groups writes a number near 2**63 where there is no limit."""


def available_memory(root: Path = Path("/")) -> int:
    """Return bytes: what the machine has available, or what is left to the control groups of this process if less.

    Args:
        root: of the file system that `/proc` and `/sys` are under.
    """
    return max(0, min([_of_machine(root), *_left_to_groups(root)]))


def _of_machine(root: Path) -> int:
    known = _table(root / "proc/meminfo")
    if "MemAvailable" in known:
        return known["MemAvailable"] * 1024
    if {"MemFree", "Cached"} <= known.keys():  # kernels before 3.14
        return (known["MemFree"] + known["Cached"]) * 1024
    try:
        # No estimate without /proc (macOS): half of the machine, as others work on it too.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN


def _left_to_groups(root: Path) -> Iterator[int]:
    for folder, limit, used in _groups(root):
        most, taken = _number(folder / limit), _number(folder / used)
        if most is None or most >= _UNLIMITED or taken is None:
            continue
        # Pages of files that nobody uses are counted as taken, and given up when memory is asked for.
        stat = _table(folder / "memory.stat")
        given_up = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        yield most - max(0, taken - given_up)


def _groups(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield every control group over this process, with the names of its files of limit and use."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mounts, names = ["sys/fs/cgroup", "sys/fs/cgroup/unified"], ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            mounts, names = ["sys/fs/cgroup/memory"], ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        # Inside a container the path is the host's while the mount shows the group itself; so the mount is asked too.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for mount in mounts:
            for length in range(len(parts), -1, -1):
                yield root.joinpath(mount, *parts[:length]), *names


def _table(path: Path) -> dict[str, int]:
    """Return lines such as `MemFree:  12 kB` or `inactive_file 12` by name."""
    try:
        rows = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # `max` is no limit

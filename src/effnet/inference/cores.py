"""The processors of this machine: what they are called, and how many there are to use, which in a container differs."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = _QUOTA) -> int:
    """Return the processors this process may be scheduled on, at most the quota that its container is given.

    More threads than that wait for each other: a runtime that sees 64 processors behind a quota of 2 is many times
    slower than with 2 threads.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text().split()[:2]
        share = math.ceil(int(allowed) / int(period))  # "max" is no number: no quota
    except (OSError, ValueError, ZeroDivisionError):
        return cores
    return max(1, min(cores, share))


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name and how many of it may be used: `AMD EPYC, 2 cores`."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(named, platform.processor() or platform.machine())
    cores = usable_cores()
    return f"{name}, {cores} core{'s' if cores > 1 else ''}"


def instruction_set(cpuinfo: Path = Path("/proc/cpuinfo")) -> bytes:
    """Return what names the instructions of this processor: what was compiled for one may not run on another."""
    try:
        lines = cpuinfo.read_bytes().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}".encode()
    telling = (b"model name", b"flags", b"Features", b"CPU part")
    return b"\n".join(sorted({line for line in lines if line.startswith(telling)}))

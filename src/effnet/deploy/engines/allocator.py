"""Telling glibc to keep what torch frees.

Large activations are otherwise given back to the system after every layer and faulted in again at the next: at batch 32
that was measured to take half of the time on a virtual machine. It concerns the whole process, so only engines of torch
ask for it, and `settings` says so.
"""

from __future__ import annotations

import ctypes
import sys

# mallopt's parameters (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Ask for it; return whether the C library agreed (only glibc knows how)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (musl's mallopt does nothing)
        return bool(library.mallopt(_MMAP_THRESHOLD, 1 << 30) and library.mallopt(_TRIM_THRESHOLD, _MOST))
    except (OSError, AttributeError):
        return False

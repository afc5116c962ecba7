"""Telling glibc to keep what torch frees.

Large activations are otherwise given back to the system after every layer and faulted in again at the next: at batch 32
that was measured to take half of the time of inference on a virtual machine, and some of a training step
(docs/kernels.md). It concerns the whole process, so only engines of torch, whose `settings` say so, and the trainer on
a CPU ask for it; the process keeps the memory of its largest step until it ends.
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

"""Memory that is freed stays with the process once it was asked for: it is not faulted in again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from effnet.allocator import keep_freed_memory

PROGRAM = """
import resource, torch
from effnet.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(12):
        torch.ones(16 << 20)  # 64 MB, more than glibc keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
assert keep_freed_memory()
faults()
print(usual, faults())
"""


def test_freed_memory_is_used_again_without_page_faults() -> None:
    if not sys.platform.startswith("linux"):
        assert keep_freed_memory() is False
        pytest.skip("only glibc knows how")
    # In a process of its own: it cannot be taken back.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if "AssertionError" in done.stderr:
        pytest.skip("this C library has no mallopt that helps")
    usual, kept = map(int, done.stdout.split())
    assert kept < usual / 4

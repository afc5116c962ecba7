"""Only for test_interpreter.py: without the interpreter these files are not collected."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["*"]


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Fill new tensors with NaN, so that what a kernel leaves out shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(1)
    assert torch.empty(3).isnan().all() and torch.zeros(2, 3, 4, 4).new_empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)

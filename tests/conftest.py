"""What every test shares: one torch thread each (the suite runs in parallel), and the real images when present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres import postgresql as postgresql

os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"

settings.register_profile("effnet", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("effnet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the real images where they are absent."""
    if not SHARED.is_dir():
        skip = pytest.mark.skip(reason="the real images are not beside this checkout")
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real images and published figures; only for tests marked `shared`."""
    return SHARED

from __future__ import annotations

import pytest

from effnet.deploy.quantize import running


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes how long is not tested, so it is measured for a moment only."""
    monkeypatch.setattr(running, "_SECONDS", 0.0)

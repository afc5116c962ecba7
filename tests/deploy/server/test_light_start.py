"""The server and its children run without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("effnet.deploy.server.launch", ("torch", "onnx")),
        ("effnet.deploy.server.bundles", ("torch", "onnx")),
        ("effnet.deploy.server.decoder", ("torch", "starlette", "uvicorn", "onnxruntime")),
    ],
)
def test_nothing_heavy_is_loaded(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"

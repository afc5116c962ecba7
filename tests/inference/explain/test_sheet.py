"""Pictures and pages of explanations."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effnet.errors import InputError
from effnet.inference.explain import Explanation, explain
from effnet.inference.explain.sheet import sheet, write_sheet
from effnet.inference.explain.shown import image_shown
from effnet.inference.prediction import Score
from effnet.inference.predictor import load
from effnet.report.explanation import render
from tests.tiny import LABELS, tiny_network


def explanations(*, check: bool = False) -> list[Explanation]:
    network = tiny_network()
    network.labels = LABELS
    photo = Image.fromarray(np.random.default_rng(3).integers(0, 256, (50, 80, 3), dtype=np.uint8))
    return list(explain(load(network), photo, top=2, check=check))


def test_a_sheet_has_a_row_an_image_and_a_column_a_class() -> None:
    row = explanations()
    one, two = sheet([row]), sheet([row, row])
    assert two.height > one.height and two.width == one.width
    assert sheet([row * 2]).width > one.width
    # The image itself stands at the top left, its first overlay beside it.
    picture = np.asarray(one.crop((16, 16, 96, 66)), int)
    assert np.array_equal(picture, np.asarray(row[0].image, int))


def test_names_in_any_script_and_of_any_length_are_drawn() -> None:
    row = explanations()
    for label in ("고양이", "x" * 500, "a\x1b[2Jb", ""):
        target = Score(index=0, label=label, probability=1.0)
        assert sheet([[replace(row[0], target=target)]]).width == sheet([row[:1]]).width


def test_files_are_of_the_kind_that_their_ending_says(tmp_path: Path) -> None:
    row = explanations()
    for name, kind in (("a.png", "PNG"), ("b.JPG", "JPEG"), ("c.jpeg", "JPEG")):
        write_sheet([row], tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            assert picture.format == kind
    with pytest.raises(InputError, match="png"):
        write_sheet([row], tmp_path / "d.bmp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.JPG", "c.jpeg"]


def test_the_page_says_what_was_found() -> None:
    row = explanations(check=True)
    hostile = replace(row[0], target=replace(row[0].target, label="<script>"), source="/a/<b>.jpg")
    page = render([image_shown([hostile, row[1]])], title="t & t")
    assert "<script>" not in page and "&lt;script&gt;" in page and "&lt;b&gt;.jpg" in page
    assert page.count("data:image/jpeg;base64,") == 5  # the image, two maps, two occlusion maps
    assert not re.search(r"(src|href)='(?!data:)", page)
    check = row[1].check
    assert check is not None and check.rank_correlation is not None
    for text in (f"{check.rank_correlation:+.2f}", f"{check.insertion:.3f}", check.verdict, "classifier", "stem"):
        assert text in page
    assert "classifier" not in render([image_shown(explanations())], title="t")

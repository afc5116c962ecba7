"""A lecture's code runs with only its import lines changed, and the tutorial shows exactly that code.

The blocks in `lecture/` are our reconstruction of what a Korean lecture on EfficientNet shows: they are written for
efficientnet_pytorch and torchvision, and nothing in them was bent to suit this project.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.place import draw, shrink

LECTURE = sorted((Path(__file__).parent / "lecture").glob("*.py"))
ROOT = Path(__file__).resolve().parents[2]

# What a person changes; nothing but whole import lines.
CHANGES = (
    (r"^from efficientnet_pytorch import", "from effnet import"),
    (r"^from torchvision import models$", "from effnet import models"),
    (r"^import torchvision\.models as models$", "import effnet.models as models"),
    (r"^from torchvision\.models import", "from effnet.models import"),
)


def converted(text: str) -> str:
    for old, new in CHANGES:
        text = re.sub(old, new, text, flags=re.MULTILINE)
    return text


@pytest.mark.parametrize("path", LECTURE, ids=lambda path: path.stem)
def test_it_runs_with_only_the_import_changed(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shrink(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    draw(0, 0).save("photo.jpg")
    code = converted(path.read_text(encoding="utf-8"))
    exec(compile(code, str(path), "exec"), {"__name__": "__main__"})


def test_only_import_lines_change() -> None:
    changed = 0
    for path in LECTURE:
        before = path.read_text(encoding="utf-8").splitlines()
        after = converted("\n".join(before)).splitlines()
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            if old != new:
                changed += 1
                assert isinstance(ast.parse(old).body[0], ast.Import | ast.ImportFrom)
        assert not re.search(r"torchvision|efficientnet_pytorch", converted(path.read_text(encoding="utf-8")))
    assert changed >= 8


@pytest.mark.parametrize("page", ["docs/tutorials/lecture.md", "docs/ko/tutorials/lecture.md"])
def test_the_tutorial_shows_this_code(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for path in LECTURE:
        assert converted(path.read_text(encoding="utf-8")).strip() in text, path.name

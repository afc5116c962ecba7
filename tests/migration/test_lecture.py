"""The lecture from which EfficientNet is taught: its code runs with only its import changed, its numbers are ours.

The lecture itself is beside the checkout, not in it (marker `shared`). `lecture/` has the calls of its three blocks,
which the tutorial shows; `scripts/` has more of what people write for torchvision and efficientnet_pytorch.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import effnet
from effnet.comparison.others import others
from effnet.comparison.paper_tables import V1Row, v1_table, v2_table
from effnet.nn import MBConv
from effnet.spec import Conventions
from tests.docs.place import draw, shrink

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CALLS = sorted((HERE / "lecture").glob("*.py"))
SCRIPTS = [*CALLS, *sorted((HERE / "scripts").glob("*.py"))]

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


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shrink(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_it_runs_with_only_the_import_changed(path: Path) -> None:
    draw(0, 0).save("photo.jpg")
    code = converted(path.read_text(encoding="utf-8"))
    exec(compile(code, str(path), "exec"), {"__name__": "__main__"})


def test_only_import_lines_change() -> None:
    changed = 0
    for path in SCRIPTS:
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
    for path in CALLS:
        assert converted(path.read_text(encoding="utf-8")).strip() in text, path.name


# --- the lecture's own text ---


@pytest.fixture
def lecture(shared: Path) -> str:
    return (shared / "reference" / "lecture.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """Return its Python, only the imports changed. The second block leaves `nn` to the first, so they share names."""
    found = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 3
    return [converted(block) for block in found]


def table(text: str, first: str) -> list[list[str]]:
    """Return the rows of the table whose rows begin with `first`."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if re.match(rf"\| {first}", line)
    ]


@pytest.mark.shared
@pytest.mark.usefixtures("place")
def test_its_blocks_run_and_print_its_numbers(lecture: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, block in enumerate(blocks(lecture)):
        assert "torchvision" not in re.sub(r"#.*", "", block)
        exec(compile(block, f"lecture[{number}]", "exec"), names)
    printed = capsys.readouterr().out
    stated = re.findall(r"^# ~([\d,]+)$", lecture, flags=re.MULTILINE)
    assert stated == ["5,288,548", "19,341,616"]
    for count in (*stated, "21,458,488"):
        assert f"{count}\n" in printed
    assert "torch.Size([1, 10])" in printed
    examples = re.findall(r"^# (\S+) +\| 파라미터: +([\d.]+M)", lecture, flags=re.MULTILINE)
    assert examples == re.findall(r"^(\S+) +\| 파라미터: +([\d.]+M)", printed, flags=re.MULTILINE)
    assert len(examples) == 4


@pytest.mark.shared
@pytest.mark.parametrize(
    ("channels", "out", "expand", "stride", "params"),
    [(32, 16, 1, 1, 1448), (16, 24, 6, 2, 6004), (24, 24, 6, 1, 10710), (320, 320, 6, 1, 1563600)],
)
def test_its_block_is_our_block(lecture: str, channels: int, out: int, expand: int, stride: int, params: int) -> None:
    """Same parameters, and with its norms' epsilon the same function."""
    names: dict[str, Any] = {}
    exec(blocks(lecture)[0], names)
    theirs = names["MBConv"](channels, out, expand, stride).eval()
    ours = MBConv(channels, out, expand, stride, conventions=Conventions(norm_eps=1e-5)).eval()
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters()) == params
    # They hold their layers in three lists (main, se, project), in the order in which ours holds them in one.
    theirs.load_state_dict(dict(zip(theirs.state_dict(), in_its_order(theirs, ours), strict=True)))
    images = torch.randn(2, channels, 12, 12)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def in_its_order(theirs: torch.nn.Module, ours: torch.nn.Module) -> list[torch.Tensor]:
    state = ours.state_dict()
    squeeze = [name for name in state if ".fc" in name]
    project = list(state)[-6:]
    main = [name for name in state if name not in squeeze and name not in project]
    parts = {"main": iter(main), "se": iter(squeeze), "project": iter(project)}
    return [state[next(parts[name.partition(".")[0]])] for name in theirs.state_dict()]


@pytest.mark.shared
def test_its_table_of_b0_to_b7_is_the_command_s(lecture: str) -> None:
    rows = table(lecture, r"B\d \|")
    assert len(rows) == 8
    for (name, phi, pixels, params, top1), ours in zip(rows, v1_table(), strict=True):
        assert (name, int(phi), int(pixels)) == (ours.label, ours.phi, ours.resolution)
        assert params == ours.printed_params, "9.2M of B2 count the running statistics; ours are in `params`"
        printed = "84.3%" if name == "B7" else top1  # the lecture has Table 4's 84.4 there; Table 2 says 84.3
        assert printed == f"{ours.paper_top1:.1f}%"


@pytest.mark.shared
def test_its_table_of_v2_is_the_command_s(lecture: str) -> None:
    rows = table(lecture, "EfficientNetV2-")
    assert [row[0][-1] for row in rows] == ["S", "M", "L"]
    wanted = {"V2-S": 21.458488e6, "V2-M": 54.139356e6, "V2-L": 118.515272e6}
    for (_, params, top1, _), ours in zip(rows, v2_table(), strict=True):
        assert ours.params == wanted[ours.label]
        assert abs(float(params.rstrip("M")) - ours.params / 1e6) < 1.5, "22M, 54M and 120M are the paper's rounding"
        assert top1 == f"{ours.paper_top1:.1f}%"
    assert [round(row.sooner, 1) for row in v2_table()] == [19.6, 10.7, 5.8], "5 to 11 times: V2-L and V2-M against B7"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("says", "is_so"),
    [
        (r"\\alpha=1\.2\$, \$\\beta=1\.1\$, \$\\gamma=1\.15", lambda: 1.9 < 1.2 * 1.1**2 * 1.15**2 < 2),
        (r"일반 합성곱 대비 연산량 ~1/9", lambda: 1 / 9 < depthwise_share(1000) < 1 / 8.9),
        (r"8\.4배 작고", lambda: round(gpipe() / row(7).params, 1) == 8.4),
        (r"7개 스테이지", lambda: len(effnet.find("b0").stages) == 7),
        (r"224×224 → 380×380", lambda: (row(0).resolution, row(4).resolution) == (224, 380)),
        (r"B0: 224, B4: 380, B7: 600", lambda: [row(n).resolution for n in (0, 4, 7)] == [224, 380, 600]),
        (r"5배 적지만", lambda: 4.8 < effnet.cost_of(effnet.find("resnet50")).params / row(0).params < 5),
    ],
)
def test_its_other_numbers(lecture: str, says: str, is_so: Callable[[], bool]) -> None:
    assert re.search(says, lecture), f"the lecture no longer says {says}"
    assert is_so()


def row(phi: int) -> V1Row:
    return v1_table()[phi]


def gpipe() -> float:
    return next(other.params for other in others() if other.label == "GPipe")


def depthwise_share(channels: int) -> float:
    """Return the multiply-accumulates of a depthwise 3x3 and a 1x1 convolution, over those of a 3x3 convolution."""
    return (9 * channels + channels**2) / (9 * channels**2)


def test_its_guide_is_the_recommendation() -> None:
    wanted = {"prototype": ["b0"], "balanced": ["b3", "b4"], "best": ["b7", "b6", "b5"], "fast-training": ["v2-s"]}
    for goal, names in wanted.items():
        found = [choice.name for choice in effnet.recommend(goal, count=3).choices][: len(names)]
        assert found == [effnet.find(name).name for name in names]

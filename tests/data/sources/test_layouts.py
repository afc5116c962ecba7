"""Parts, folders and shards as people name them: nothing becomes a class that is none."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from effnet.data.decode import decode
from effnet.data.source import Dataset
from effnet.data.sources import open_dataset
from effnet.data.sources.layout import part_of
from effnet.errors import InputError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))


def picture(value: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (value, value, value)).save(file, kind)
    return file.getvalue()


def folder(root: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(number))
    return root


def both(part: str) -> list[str]:
    return [f"{part}/{label}/{n}.png" for label in "ab" for n in range(2)]


def sizes(dataset: Dataset) -> tuple[int, int, int]:
    return len(dataset.train), len(dataset.val or ()), len(dataset.test or ())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "dev"), (4, 4, 0)),
        (("train", "eval"), (4, 4, 0)),
        (("train", "evaluation"), (4, 4, 0)),
        (("train", "holdout"), (4, 0, 4)),
        (("Training", "hold-out"), (4, 0, 4)),
        (("train", "val", "eval"), (4, 4, 4)),
        (("train", "dev", "test"), (4, 4, 4)),
        (("training_set", "test_set"), (4, 0, 4)),
        (("train_images", "valid_images"), (4, 4, 0)),
        (("archive/train", "archive/dev"), (4, 4, 0)),
        (("train/train", "test/test"), (4, 0, 4)),
        (("training_set/training_set", "test_set/test_set"), (4, 0, 4)),
    ],
)
def test_names_of_parts(tmp_path: Path, names: tuple[str, ...], expected: tuple[int, ...]) -> None:
    dataset = open_dataset(folder(tmp_path / "d", [name for part in names for name in both(part)]), val_share=None)
    assert dataset.train.classes == ("a", "b")
    assert sizes(dataset) == expected


def test_other_names_are_no_parts() -> None:
    assert [part_of(name) for name in ("trainer", "testudo", "valley", "ant", "set", "images", "device")] == [None] * 7


@pytest.mark.parametrize("other", ["extra", "more", "unlabeled_images"])
def test_a_part_beside_what_is_none_is_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(InputError, match=f"train is a part, and beside it is {other}"):
        open_dataset(folder(tmp_path / "d", [*both("train"), *both("val"), *both(other)]))


def test_parts_by_other_names_are_no_classes(tmp_path: Path) -> None:
    names = [*both("seg_train/seg_train"), *both("seg_test/seg_test"), "seg_pred/1.png"]
    with pytest.raises(InputError, match="look like parts"):
        open_dataset(folder(tmp_path / "d", names))


def test_folds_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cross-validation"):
        open_dataset(folder(tmp_path / "d", [name for fold in range(3) for name in both(f"fold_{fold}")]))


def test_folders_within_classes_are_theirs(tmp_path: Path) -> None:
    names = [f"{label}/{season}/{n}.png" for label in "ab" for season in ("summer", "winter") for n in range(2)]
    assert open_dataset(folder(tmp_path / "d", names)).train.classes == ("a", "b")


@pytest.mark.parametrize("inner", ["", "unknown/", "test/"])
def test_an_unlabelled_test_part_is_used_for_nothing_and_said(tmp_path: Path, inner: str) -> None:
    root = folder(tmp_path / "d", [*both("train"), *(f"test/{inner}{n}.png" for n in range(3))])
    dataset = open_dataset(root, val_share=None)
    assert sizes(dataset) == (4, 0, 0)
    (remark,) = dataset.remarks
    assert remark.kind == "unlabelled" and "3 images in test" in remark.what


def test_a_class_in_val_that_train_has_not_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="classes that train has not: c"):
        open_dataset(folder(tmp_path / "d", [*both("train"), "val/c/1.png"]))


def test_an_empty_folder_of_a_program_is_no_class(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", ["a/1.png", "a/2.png", "b/1.png", "b/2.png"])
    (root / "__MACOSX" / "a").mkdir(parents=True)
    (root / "__MACOSX" / "a" / "._1.png").write_bytes(b"\0\5\x16\7")
    assert open_dataset(root).train.classes == ("a", "b")


def shard(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def values(dataset: Dataset) -> list[int]:
    return [decode(dataset.train.read(n)).getpixel((0, 0))[0] for n in range(len(dataset.train))]


@pytest.mark.parametrize("mask", ["seg.png", "mask.jpg", "depth.16.png", "png", "0.png"])
@pytest.mark.parametrize("first", [False, True])
def test_masks_are_not_the_image(tmp_path: Path, mask: str, first: bool) -> None:
    files: dict[str, bytes] = {}
    for n in range(4):
        pair = [(f"{n:04}.jpg", picture(n * 10, "PNG")), (f"{n:04}.{mask}", picture(200 + n))]
        files |= dict(reversed(pair) if first else pair) | {f"{n:04}.cls": b"xy"[n % 2 : n % 2 + 1]}
    dataset = open_dataset(shard(tmp_path / "x-000000.tar", files), val_share=None)
    assert values(dataset) == [0, 10, 20, 30]
    (remark,) = dataset.remarks
    assert remark.kind == "other_fields" and f"{mask} (4)" in remark.what


@pytest.mark.parametrize("field", ["image.jpg", "img.png", "rgb.8.png"])
@pytest.mark.parametrize("inner", ["", "v1.0/"])
def test_a_field_that_says_that_it_is_the_image_is_taken(tmp_path: Path, field: str, inner: str) -> None:
    files: dict[str, bytes] = {}
    for n in range(4):
        key = f"{inner}{n:04}"
        files |= {
            f"{key}.depth.png": picture(200 + n),
            f"{key}.{field}": picture(n * 10),
            f"{key}.cls": b"xyxy"[n : n + 1],
        }
    dataset = open_dataset(shard(tmp_path / "x.tar", files), val_share=None)
    assert values(dataset) == [0, 10, 20, 30] and "depth.png (4)" in dataset.remarks[0].what


def test_pictures_of_which_none_is_the_image_are_named(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for n in range(4):
        files |= {f"{n}.{field}": picture(n) for field in ("left.png", "right.png")} | {f"{n}.cls": b"xyxy"[n : n + 1]}
    with pytest.raises(InputError, match=r"no picture of a plain field beside a label, only left\.png, right\.png"):
        open_dataset(shard(tmp_path / "x.tar", files))


@pytest.mark.parametrize("name", ["val", "test", "Dev", "training"])
def test_a_part_beside_classes_is_doubted_or_refused(tmp_path: Path, name: str) -> None:
    for key in ("ant/0.png", "ant/1.png", "bee/0.png", "bee/1.png", f"{name}/0.png", f"{name}/1.png"):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(picture(len(key)))
    dataset = open_dataset(tmp_path, val_share=None)
    assert set(dataset.train.classes) == {"ant", "bee", name}
    assert [(r.kind, name in r.what) for r in dataset.remarks] == [("part_as_class", True)]
    for label in ("ant", "bee"):
        (tmp_path / name / label).mkdir()
        (tmp_path / name / label / "0.png").write_bytes(picture(9))
    with pytest.raises(InputError, match=rf"{name} (holds ant, bee|is a part)"):
        open_dataset(tmp_path)


def test_a_folder_may_be_called_as_the_hub_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("hf/a/0.png", "hf/a/1.png", "hf/b/0.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture(len(name)))
    assert open_dataset("hf", val_share=None).train.classes == ("a", "b")


@pytest.mark.parametrize("name", ["x-000000.tar", "v1.0/train-000000.tar", "d.tar"])
@pytest.mark.parametrize("inner", ["", "v1.0/", "a/b.c/"])
def test_one_shard_is_enough(tmp_path: Path, name: str, inner: str) -> None:
    files = {}
    for n in range(4):
        files |= {f"{inner}{n}.jpg": picture(n), f"{inner}{n}.cls": str(n % 2).encode()}
    dataset = open_dataset(shard(tmp_path / name, files), val_share=None)
    assert values(dataset) == [0, 1, 2, 3] and dataset.train.classes == ("0", "1")


@pytest.mark.parametrize("many", [False, True])
def test_names_with_dots_of_their_own(tmp_path: Path, many: bool) -> None:
    files = {}
    for n in range(4):
        files |= {f"IMG.000{n}.jpg": picture(n), f"IMG.000{n}.cls": b"ab"[n % 2 : n % 2 + 1]}
    path = shard(tmp_path / "x-000000.tar", files)
    dataset = open_dataset(str(path).replace("000000", "{000000..000000}") if many else path, val_share=None)
    assert values(dataset) == [0, 1, 2, 3]


def test_a_class_file_speaks_before_a_caption(tmp_path: Path) -> None:
    files = {}
    for n in range(4):
        files |= {f"{n}.txt": f"caption {n}".encode(), f"{n}.jpg": picture(n), f"{n}.cls": str(n % 2).encode()}
    assert open_dataset(shard(tmp_path / "a-000000.tar", files), val_share=None).train.classes == ("0", "1")


@pytest.mark.parametrize(("field", "labels"), [("cls", ("a", "b", "a|b", "b")), ("json", ("a", "b", ["a", "b"], "b"))])
def test_several_labels_in_shards_are_refused(tmp_path: Path, field: str, labels: tuple[object, ...]) -> None:
    import json

    files = {}
    for n, label in enumerate(labels):
        text = json.dumps({"label": label}) if field == "json" else str(label)
        files |= {f"{n}.jpg": picture(n), f"{n}.{field}": text.encode()}
    with pytest.raises(InputError, match="several labels in a cell"):
        open_dataset(shard(tmp_path / "a-000000.tar", files))


def test_a_tar_of_class_folders_is_still_one(tmp_path: Path) -> None:
    files = {f"{label}/{n}.png": picture(n) for label in "ab" for n in range(2)} | {"a/notes.txt": b"x"}
    assert open_dataset(shard(tmp_path / "d.tar", files), val_share=None).train.classes == ("a", "b")

"""Tables as people have them: what is taken for what, what is refused, and why."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effnet.cli import main
from effnet.data.decode import decode
from effnet.data.source import Dataset
from effnet.data.sources import open_dataset, open_judged
from effnet.errors import EffnetError, ImageError, InputError, UnknownNameError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))


def picture(value: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (value % 256, value * 7 % 256, 9)).save(file, kind)
    return file.getvalue()


def images(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(number))


def table(tmp_path: Path, text: str, where: str = "", *, ending: str = ".png", name: str = "train.csv") -> Path:
    """A table of a0..a7 beside their images."""
    images(tmp_path / where, [f"a{n}{ending}" for n in range(8)])
    (tmp_path / name).write_text(text)
    return tmp_path / name


def rows(*labels: str, ending: str = "") -> str:
    return "".join(f"a{n}{ending},{label}\n" for n, label in enumerate(labels))


def found(dataset: Dataset) -> dict[str, str]:
    return {dataset.train.name(n): dataset.train.classes[label] for n, label in enumerate(dataset.train.labels)}


TWO = ("x", "y") * 4


@pytest.mark.parametrize(
    "header", ["image_id,label", "id,breed", "id_code,diagnosis", "filename,species", "img_name,foo", "Image,Id"]
)
@pytest.mark.parametrize("where", ["", "train_images", "images", "train", "jpegs"])
def test_ids_without_an_ending_are_found_beside_the_table(tmp_path: Path, header: str, where: str) -> None:
    path = table(tmp_path, f"{header}\n{rows(*TWO)}", where)
    dataset = open_dataset(path, val_share=None)
    assert found(dataset) == {f"a{n}": TWO[n] for n in range(8)}
    assert [decode(dataset.train.read(n)).getpixel((0, 0))[0] for n in range(8)] == list(range(8))
    said = " ".join(remark.what for remark in dataset.remarks)
    assert ".png appended" in said and (where == "" or f"{where}/" in said)


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings(tmp_path: Path, sign: str, encoding: str) -> None:
    path = table(tmp_path, "")
    text = "image,label\n" + rows(*(["é", "y"] * 4), ending=".png")
    path.write_bytes(text.replace(",", sign).encode(encoding))
    assert set(found(open_dataset(path, val_share=None)).values()) == {"é", "y"}


def test_the_folder_of_most_images_is_taken_and_may_be_said(tmp_path: Path) -> None:
    path = table(tmp_path, f"image_id,label\n{rows(*TWO)}", "pictures")
    images(tmp_path / "masks", [f"a{n}.png" for n in range(5)])
    dataset = open_dataset(path, val_share=None)
    assert Path(dataset.train.read(0)).parent.name == "pictures"
    dataset = open_dataset(f"{path}:images=masks,label=label", val_share=None)
    assert Path(dataset.train.read(0)).parent.name == "masks"
    (missing,) = [remark for remark in dataset.remarks if remark.kind == "missing_files"]
    assert missing.severity == "error" and "3 of 8" in missing.what
    with pytest.raises(UnknownNameError, match="labels"):
        open_dataset(f"{path}:labels=label")
    with pytest.raises(UnknownNameError, match="column"):
        open_dataset(f"{path}:label=lable")
    with pytest.raises(InputError, match="no such folder"):
        open_dataset(f"{path}:images=nowhere")


def test_the_ending_that_most_have_is_taken(tmp_path: Path) -> None:
    path = table(tmp_path, f"image_id,label\n{rows(*TWO)}", ending=".jpg")
    images(tmp_path, ["a0.png", "a1.png"])  # masks of some
    dataset = open_dataset(path, val_share=None)
    assert all(Path(dataset.train.read(n)).suffix == ".jpg" for n in range(8))


def test_ids_with_dots(tmp_path: Path) -> None:
    images(tmp_path / "train_images", [f"IMG.000{n}.jpg" for n in range(4)])
    (tmp_path / "t.csv").write_text("id,breed\n" + "".join(f"IMG.000{n},{'ab'[n % 2]}\n" for n in range(4)))
    assert len(open_dataset(tmp_path / "t.csv", val_share=None).train) == 4


def test_a_table_of_images_that_are_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,label\n" + rows(*TWO))
    with pytest.raises(InputError, match=r"none of the 8 images is there.*images=FOLDER"):
        open_dataset(tmp_path / "t.csv")


@pytest.mark.parametrize("first", ["a0.png,x", "x,a0.png", "train/a0.jpg;x"])
def test_a_table_without_names_is_told(tmp_path: Path, first: str) -> None:
    path = table(tmp_path, f"{first}\n{rows(*TWO, ending='.png')}")
    with pytest.raises(InputError, match="no line of names"):
        open_dataset(path)


def test_rows_of_too_many_fields_are_told(tmp_path: Path) -> None:
    path = table(tmp_path, "image,label\na0.png,x\na1.png,x,y\n")
    with pytest.raises(InputError, match=r"row 2: 3 fields under 2 names"):
        open_dataset(path)


def test_names_are_taken_for_their_numbers(tmp_path: Path) -> None:
    text = "image,label,label_name\n" + "".join(f"a{n}.png,{n % 2},{('cat', 'ant')[n % 2]}\n" for n in range(8))
    assert open_dataset(table(tmp_path, text), val_share=None).train.classes == ("ant", "cat")
    path = table(tmp_path, text.replace("a3.png,1,ant", "a3.png,1,cat"))  # names that do not follow the numbers
    assert open_dataset(path, val_share=None).train.classes == ("0", "1")


def test_one_hot_columns(tmp_path: Path) -> None:
    text = "image_id,ant,bee,wasp\n" + "".join(f"a{n},{n % 3 == 0:d},{n % 3 == 1:d},{n % 3 == 2:d}\n" for n in range(8))
    dataset = open_dataset(table(tmp_path, text), val_share=None)
    assert found(dataset) == {f"a{n}": ("ant", "bee", "wasp")[n % 3] for n in range(8)}
    with pytest.raises(InputError, match=r"several labels an image.*a4 \(ant, bee\)"):
        open_dataset(table(tmp_path, text.replace("a4,0,1,0", "a4,1,1,0")))
    with pytest.raises(InputError, match="no column of classes has a 1"):
        open_dataset(table(tmp_path, text.replace("a4,0,1,0", "a4,0,0,0")))


SEVERAL = [
    ("label", ["ant", "garden", "ant|garden", "ant"] * 2),
    ("label", ["ant|garden", "bee|garden", "ant|house", "bee|house"] * 2),
    ("label", ["ant;bee", "bee;ant", "ant;bee", "bee;ant"] * 2),
    ("label", ["ant", "bee", '"ant,bee"', "ant"] * 2),
    ("label", ['"cat, dog"', '"dog, bird"', '"bird, cat"', '"cat, dog"'] * 2),
    ("label", ["ants", "scab", "ants scab", "scab"] * 2),
    ("labels", ["ants", "ants scab", "bees", "bees scab"] * 2),
    ("tags", ["clear primary", "clear", "primary", "haze primary"] * 2),
    ("tags", ["clear road", "clear water", "haze road", "haze water", "clear road water", "haze"] + ["haze"] * 2),
    ("tags", ["clear road", "clear water", "haze road", "haze water", "clear road water"] + ["haze road"] * 3),
    ("labels", ['"cat,dog"', '"cat,bird"', '"cat,fish"', '"cat,dog"'] * 2),
    ("label", ["ant", "bee", "ant/bee", "ant"] * 2),
    ("label", ["ant", "bee", "ant + bee", "ant"] * 2),
    ("label", ["\"['ant', 'bee']\"", "\"['ant']\"", "\"['bee']\"", "\"['ant']\""] * 2),
]


@pytest.mark.parametrize(("column", "labels"), SEVERAL)
def test_several_labels_in_a_cell_are_refused(tmp_path: Path, column: str, labels: list[str]) -> None:
    path = table(tmp_path, f"image,{column}\n{rows(*labels, ending='.png')}")
    with pytest.raises(InputError, match=r"several labels in a cell"):
        open_dataset(path)


@pytest.mark.parametrize(
    "labels",
    [
        ["golden retriever", "golden eagle", "labrador retriever", "eagle"] * 2,
        ["ant", "fire ant", "army ant", "bee"] * 2,
        ['"missile"', '"projectile, missile"', '"dam, levee"', "crane"] * 2,
        ["none", "crack", "none", "crack"] * 2,
        ["AC/DC", "rock", "R&B", "C++"] * 2,
        ["0", "1", "10", "2"] * 2,
        ["0.5", "1.0", "0.5", "1.0"] * 2,
        ["a|b", "c|d"] * 4,
    ],
)
def test_names_of_several_words_are_classes(tmp_path: Path, labels: list[str]) -> None:
    path = table(tmp_path, f"image,label\n{rows(*labels, ending='.png')}")
    assert len(open_dataset(path, val_share=None).train.classes) == len(set(labels))


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "NULL", "N/A", "None", "<NA>"])
def test_no_value_is_no_class(tmp_path: Path, missing: str) -> None:
    path = table(tmp_path, f"image,label\n{rows('x', 'y', missing, 'x', ending='.png')}")
    what = f"is {missing!r}, as programs write .* give it another name" if missing else "is empty"
    with pytest.raises(InputError, match=rf"row 3: column 'label' {what}"):
        open_dataset(path)


@pytest.mark.parametrize(
    "labels",
    [
        ["23", "41", "37", "52", "29", "64", "35", "48"],
        [f"{n * 1.7:.2f}" for n in range(8)],
        ["1.5", "2.7", "3.1"],
        ["-1e-3", "0.2", "4", "5", "6"],
    ],
)
def test_quantities_are_no_classes(tmp_path: Path, labels: list[str]) -> None:
    path = table(tmp_path, f"image,label\n{rows(*labels, ending='.png')}")
    with pytest.raises(InputError, match="different numbers"):
        open_dataset(path)


def test_one_image_of_each_numbered_class_may_be_judged(tmp_path: Path) -> None:
    path = table(tmp_path, f"image,label\n{rows(*(str(n) for n in range(8)), ending='.png')}")
    assert len(open_judged(path).source) == 8
    with pytest.raises(InputError, match="8 different numbers"):
        open_dataset(path)


def test_a_row_for_each_label_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, f"image,label\n{rows(*TWO, ending='.png')}a0.png,y\n")
    with pytest.raises(InputError, match=r"1 image is listed under several labels, such as a0\.png: x, y"):
        open_dataset(path)
    path.write_text(f"image,label\n{rows(*TWO, ending='.png')}a0.png,x\n")
    dataset = open_dataset(path, val_share=None)
    assert len(dataset.train) == 8 and [remark.kind for remark in dataset.remarks] == ["repeated_rows"]


def grouped(tmp_path: Path, column: str = "patient_id", more: str = "", value: str = "") -> Path:
    images(tmp_path, [f"p{n // 4}_{n}.png" for n in range(80)])
    lines = [f"p{n // 4}_{n}.png,{'xy'[n // 4 % 2]},P{n // 4}{value}" for n in range(80)]
    (tmp_path / "t.csv").write_text(f"image,label,{column}{more}\n" + "\n".join(lines) + "\n")
    return tmp_path / "t.csv"


@pytest.mark.parametrize("column", ["patient_id", "group", "subject", "Patient", "StudyInstanceUID", "session"])
@pytest.mark.parametrize("seed", range(3))
def test_groups_stay_in_one_part(tmp_path: Path, column: str, seed: int) -> None:
    dataset = open_dataset(grouped(tmp_path, column), seed=seed, val_share=0.2)
    assert dataset.val is not None

    def patients(source: object) -> set[str]:
        return {source.name(n).split("_")[0] for n in range(len(source))}  # type: ignore[attr-defined, arg-type]

    assert not patients(dataset.train) & patients(dataset.val)
    assert len(dataset.train) + len(dataset.val) == 80 and 12 <= len(dataset.val) <= 20
    assert np.bincount(dataset.val.labels).min() >= 4
    said = " ".join(remark.what for remark in dataset.remarks)
    assert column in said and "20 groups" in said


def test_groups_that_are_in_two_given_parts_are_said(tmp_path: Path) -> None:
    path = grouped(tmp_path, more=",split", value=",train")
    path.write_text(path.read_text().replace("P3,train\n", "P3,val\n", 2))
    (remark,) = [remark for remark in open_dataset(path).remarks if remark.kind == "straddling_groups"]
    assert remark.severity == "warning" and "P3" in remark.what


@pytest.mark.parametrize("groups", ["aabb", "aabbcc", "aaaa"])
def test_groups_of_classes_are_no_groups_of_images(tmp_path: Path, groups: str) -> None:
    kinds = [f"k{n % len(groups)}" for n in range(8)]
    lines = [f"a{n}.png,{kind},{groups[int(kind[1:])]}" for n, kind in enumerate(kinds)]
    path = table(tmp_path, "image,species,Group\n" + "\n".join(lines) + "\n")
    dataset = open_dataset(path, val_share=None)
    assert dataset.train.groups is None  # type: ignore[attr-defined]
    assert "not used: 'Group'" in dataset.remarks[0].what


def test_a_person_may_say_that_there_are_no_groups(tmp_path: Path) -> None:
    lines = [f"a{n}.png,{label},{label}" for n, label in enumerate(TWO)]
    path = table(tmp_path, "image,label,patient_id\n" + "\n".join(lines) + "\n")
    with pytest.raises(InputError, match="group=none"):
        open_dataset(path)
    assert open_dataset(f"{path}:group=none").val is not None


@pytest.mark.parametrize("column", ["group", "subject", "session"])
def test_what_is_left_to_be_learnt_is_the_label(tmp_path: Path, column: str) -> None:
    assert open_dataset(table(tmp_path, f"image_id,{column}\n{rows(*TWO)}")).train.classes == ("x", "y")


def test_columns_that_are_not_used_are_said(tmp_path: Path) -> None:
    lines = [f"a{n}.png,{label},{n // 3},{n}" for n, label in enumerate(TWO)]
    dataset = open_dataset(table(tmp_path, "path,label,scanner,age\n" + "\n".join(lines) + "\n"))
    assert "not used: 'scanner', 'age'" in dataset.remarks[0].what


def test_a_fold_that_all_are_in_is_none(tmp_path: Path) -> None:
    lines = [f"a{n}.png,{label},3" for n, label in enumerate(TWO)]
    path = table(tmp_path, "path,label,fold\n" + "\n".join(lines) + "\n")
    assert len(open_dataset(path, val_share=None).train) == len(open_judged(path).source) == 8


def test_parts_by_several_columns_of_yes_and_no(tmp_path: Path) -> None:
    marks = ["1,0,0", "1,0,0", "0,1,0", "0,0,1"] * 2
    labels = "xxxxyyyy"
    for names in ("is_train,is_val,is_test", "train,validation,test"):
        lines = [f"a{n}.png,{labels[n]},{mark}" for n, mark in enumerate(marks)]
        dataset = open_dataset(table(tmp_path, f"path,label,{names}\n" + "\n".join(lines) + "\n"))
        assert dataset.val is not None and dataset.test is not None
        assert [len(part) for part in (dataset.train, dataset.val, dataset.test)] == [4, 2, 2]
        assert dataset.test.name(0) == "a3.png"
    two = table(tmp_path, "path,label,is_train,is_val\n" + "".join(f"a{n}.png,{labels[n]},1,1\n" for n in range(8)))
    with pytest.raises(InputError, match="is_val, is_train name 2 parts: train, val"):
        open_dataset(two)


def test_one_hot_classes_may_be_called_as_parts_are(tmp_path: Path) -> None:
    lines = [f"a{n}.png,{n % 2},{1 - n % 2}" for n in range(8)]
    dataset = open_dataset(table(tmp_path, "path,train,bus\n" + "\n".join(lines) + "\n"))
    assert dataset.train.classes == ("bus", "train")


def test_a_class_of_one_group_only_is_never_taken_away(tmp_path: Path) -> None:
    images(tmp_path, [f"{n}.png" for n in range(9)])
    lines = [f"{n}.png,{'x' if n < 6 else 'y'},{n // 3}" for n in range(9)]
    (tmp_path / "t.csv").write_text("image,label,group\n" + "\n".join(lines) + "\n")
    dataset = open_dataset(tmp_path / "t.csv")
    assert np.bincount(dataset.train.labels).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("column", "values", "val", "test"),
    [
        ("is_valid", ["True", "False"], [0, 2, 4, 6], []),
        ("is_valid", ["0", "1"], [1, 3, 5, 7], []),
        ("is_test", ["yes", "no", "no", "no"], None, [0, 4]),
        ("is_train", ["1", "1", "1", "0"], [3, 7], []),
        ("fold", ["0", "1", "2", "1"], [0, 4], []),
        ("kfold", ["2", "1", "2", "-1"], [1, 5], []),
        ("split", ["train", "dev", "holdout", "training"], [1, 5], [2, 6]),
        ("subset", ["train", "eval"], [1, 3, 5, 7], []),
        ("phase", ["train", "valid", "evaluation", "train"], [1, 5], [2, 6]),
        ("Usage", ["Training", "PublicTest", "PrivateTest", "Training"], [1, 5], [2, 6]),
        ("mode", ["train", "val", "test", "train"], [1, 5], [2, 6]),
        ("train", ["1", "1", "1", "0"], [3, 7], []),
    ],
)
def test_parts_are_those_that_the_table_has(
    tmp_path: Path, column: str, values: list[str], val: list[int] | None, test: list[int]
) -> None:
    labels = ["x", "x", "x", "x", "y", "y", "y", "y"]
    lines = [f"a{n}.png,{labels[n]},{values[n % len(values)]}" for n in range(8)]
    path = table(tmp_path, f"image,label,{column}\n" + "\n".join(lines) + "\n")
    dataset = open_dataset(path)

    def names(source: object) -> list[int]:
        if source is None:
            return []
        return [int(source.name(n)[1]) for n in range(len(source))]  # type: ignore[attr-defined, arg-type]

    assert names(dataset.test) == test
    if val is not None:
        assert names(dataset.val) == val
    if column in ("is_valid", "fold"):
        assert any(column in remark.what for remark in dataset.remarks)


def test_another_fold_may_be_judged(tmp_path: Path) -> None:
    text = "image,label,fold\n" + "".join(f"a{n}.png,{TWO[n]},{n // 2}\n" for n in range(8))
    dataset = open_dataset(f"{table(tmp_path, text)}:fold=2")
    assert dataset.val is not None
    assert [dataset.val.name(n) for n in range(2)] == ["a4.png", "a5.png"]


def test_unlabelled_rows_of_a_test_part_are_said(tmp_path: Path) -> None:
    text = "image,label,split\n" + "".join(
        f"a{n}.png,{TWO[n] if n < 6 else ''},{'train' if n < 6 else 'test'}\n" for n in range(8)
    )
    dataset = open_dataset(table(tmp_path, text), val_share=None)
    assert dataset.test is None and len(dataset.train) == 6
    assert any(remark.kind == "unlabelled" and "2 rows of test" in remark.what for remark in dataset.remarks)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("parts", [("train", "validation"), ("",)])
def test_imagefolder_with_metadata(tmp_path: Path, kind: str, parts: tuple[str, ...]) -> None:
    for part in parts:
        folder = tmp_path / "d" / part
        images(folder, [f"{n}.png" for n in range(4)])
        entries = [{"file_name": f"{n}.png", "label": "xy"[n % 2]} for n in range(4)]
        if kind == "csv":
            lines = "".join(f"{entry['file_name']},{entry['label']}\n" for entry in entries)
            (folder / "metadata.csv").write_text("file_name,label\n" + lines)
        else:
            (folder / "metadata.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    dataset = open_dataset(tmp_path / "d")
    assert dataset.train.classes == ("x", "y")
    assert len(dataset.train) == (4 if len(parts) == 2 else 2)
    assert dataset.val is not None and decode(dataset.val.read(0)).size == (8, 6)


def test_metadata_without_labels_leaves_the_class_folders(tmp_path: Path) -> None:
    images(tmp_path / "d", ["x/1.png", "x/2.png", "y/1.png", "y/2.png"])
    (tmp_path / "d" / "metadata.csv").write_text("file_name,caption,time\nx/1.png,one,1\ny/1.png,two,2\n")
    dataset = open_dataset(tmp_path / "d")
    assert dataset.train.classes == ("x", "y")
    assert any(remark.kind == "table_unused" for remark in dataset.remarks)


def features(column: str, names: list[str]) -> dict[bytes, bytes]:
    info = {"info": {"features": {"img": {"_type": "Image"}, column: {"_type": "ClassLabel", "names": names}}}}
    return {b"huggingface": json.dumps(info).encode()}


def arrow(column: str = "fine_label", labels: tuple[int, ...] = (0, 1, 0, 1)) -> object:
    pyarrow = pytest.importorskip("pyarrow")
    values = [{"bytes": picture(n), "path": None} for n in range(len(labels))]
    made = pyarrow.table({"img": values, column: list(labels)})
    return made.replace_schema_metadata(features(column, ["apple", "bear"]))


@pytest.mark.parametrize("folder", ["", "data"])
def test_a_folder_of_parquet_files(tmp_path: Path, folder: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "d" / folder).mkdir(parents=True)
    for name in ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"):
        parquet.write_table(arrow(), tmp_path / "d" / folder / f"{name}.parquet")
    parquet.write_table(arrow(labels=(-1, -1)), tmp_path / "d" / folder / "test-00000-of-00001.parquet")
    dataset = open_dataset(tmp_path / "d")
    assert dataset.train.classes == ("apple", "bear")
    assert (len(dataset.train), len(dataset.val or ()), dataset.test) == (8, 4, None)
    assert any("2 rows of test without labels" in remark.what for remark in dataset.remarks)
    assert decode(dataset.train.read(5)).getpixel((0, 0))[0] == 1


def test_a_folder_that_save_to_disk_wrote(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    for part in ("train", "test"):
        folder = tmp_path / "d" / part
        folder.mkdir(parents=True)
        made = arrow()
        with pyarrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", made.schema) as writer:
            writer.write_table(made)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (tmp_path / "d" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    dataset = open_dataset(tmp_path / "d", val_share=None)
    assert (len(dataset.train), len(dataset.test or ())) == (4, 4)
    assert dataset.train.classes == ("apple", "bear")


def test_lists_of_labels_in_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    made = pyarrow.table({"image": [picture(n) for n in range(4)], "label": [["a"], ["b"], ["a", "b"], ["b"]]})
    parquet.write_table(made, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="several labels in a cell: a, b"):
        open_dataset(tmp_path / "t.parquet")


def test_a_folder_of_images_and_a_table_names_the_table(tmp_path: Path) -> None:
    table(tmp_path, f"image_id,label\n{rows(*TWO)}", "train_images")
    images(tmp_path, ["test_images/b0.png"])
    with pytest.raises(EffnetError, match=r"give a table .*train\.csv"):
        open_dataset(tmp_path)


def test_folders_that_a_table_does_not_call_classes_are_doubted(tmp_path: Path) -> None:
    images(tmp_path / "d", [f"part_{n % 2}/a{n}.png" for n in range(8)])
    (tmp_path / "d" / "meta.csv").write_text(f"image_id,dx\n{rows(*TWO)}")
    (remark,) = open_dataset(tmp_path / "d", val_share=None).remarks
    assert remark.severity == "warning" and "meta.csv" in remark.what
    dataset = open_dataset(tmp_path / "d" / "meta.csv", val_share=None)  # in two folders
    assert found(dataset) == {f"a{n}": TWO[n] for n in range(8)}
    (tmp_path / "d" / "meta.csv").write_text(f"image_id,dx\n{rows(*(f'part_{n % 2}' for n in range(8)))}")
    assert not open_dataset(tmp_path / "d", val_share=None).remarks


def test_other_tables_are_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="write a line of names above it"):
        open_dataset(table(tmp_path, f"b0,x\n{rows(*TWO)}"))
    with pytest.raises(InputError, match="different numbers"):
        open_dataset(table(tmp_path, "image_id,age\n" + rows(*(str(20.5 + n) for n in range(8)))))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_a_dry_run_opens_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path, f"image_id,label\n{rows(*TWO, *TWO)}".replace("\na8,", "\nb8,"))
    assert run("train", str(path), "--dry-run", "--model", "lite0", "--weights", "none") == ImageError.exit_code
    assert "not there" in capsys.readouterr().err


def test_what_was_guessed_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path, f"id_code,diagnosis\n{rows(*TWO)}", "train_images")
    assert run("train", str(path), "--dry-run", "--model", "lite0", "--weights", "none") == 0
    said = capsys.readouterr().out
    assert "'id_code'" in said and "'diagnosis'" in said and "train_images/" in said

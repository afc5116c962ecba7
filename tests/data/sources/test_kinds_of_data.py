from __future__ import annotations

import csv
import http.server
import io
import json
import os
import pickle
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from effnet.data.decode import decode
from effnet.data.source import Dataset, Source
from effnet.data.sources import SubSource, open_dataset, with_validation
from effnet.data.sources.layout import natural
from effnet.errors import EffnetError, InputError, MissingDependencyError, UnknownNameError
from tests.tiny_data import Colours


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("EFFNET_HOME", str(folder))
    return folder


def picture(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (value, 2 * value % 256, 7)).save(file, "PNG")
    return file.getvalue()


def files(*, parts: tuple[str, ...] = ("train", "val"), per_class: int = 3) -> dict[str, bytes]:
    """Name -> content of a small data set."""
    result, value = {}, 0
    for part in parts:
        for label in ("class10", "class2", "class1"):
            for number in range(per_class):
                result["/".join(filter(None, (part, label, f"{number}.png")))] = picture(value)
                value += 1
    return result


def write(root: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def tar(path: Path, content: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def contents(source: Source | None) -> dict[str, tuple[str, bytes]]:
    """Name -> (class, pixels), of a copy such as a loader process gets."""
    assert source is not None
    source = pickle.loads(pickle.dumps(source))
    names = [source.name(index) for index in range(len(source))]
    pixels = [decode(source.read(index)).tobytes() for index in range(len(source))]
    labels = [source.classes[label] for label in source.labels]
    return dict(zip(names, zip(labels, pixels, strict=True), strict=True))


def test_every_kind_of_data_gives_the_same_images(tmp_path: Path) -> None:
    content = files()
    rows = tmp_path / "rows"
    write(rows, content)
    with (rows / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Path", "label", "split"])
        writer.writerows([name, name.split("/")[1], name.split("/")[0]] for name in content)
    wrapped = {f"download-1.0/{name}": data for name, data in content.items()}
    opened = [
        open_dataset(write(tmp_path / "folder", content)),
        open_dataset(zipped(tmp_path / "a.zip", content)),
        open_dataset(tar(tmp_path / "a.tar", content)),
        open_dataset(tar(tmp_path / "a.tar.gz", content, "w:gz")),
        open_dataset(rows / "table.csv"),
        open_dataset(zipped(tmp_path / "wrapped.zip", wrapped)),
    ]
    expected = {name: (name.split("/")[1], decode(data).tobytes()) for name, data in content.items()}
    for dataset in opened:
        assert dataset.train.classes == ("class1", "class2", "class10")  # numbers by their value
        found = contents(dataset.train) | contents(dataset.val)
        assert {name.removeprefix("download-1.0/"): value for name, value in found.items()} == expected
        assert len(dataset.train) == len(dataset.val or ()) == 9


def test_without_parts_a_share_of_every_class_is_kept_for_judging(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path / "d", files(parts=("",), per_class=10)), val_share=0.2)
    assert dataset.val is not None
    assert np.bincount(dataset.val.labels).tolist() == [2, 2, 2]
    assert np.bincount(dataset.train.labels).tolist() == [8, 8, 8]
    assert not contents(dataset.train).keys() & contents(dataset.val).keys()


@given(st.integers(2, 60), st.integers(0, 5), st.floats(0.05, 0.5))
def test_the_split_covers_every_image_once_and_keeps_something_of_each_class(
    count: int, seed: int, share: float
) -> None:
    source = Colours(3 * count)
    split = with_validation(Dataset("d", source), seed=seed, share=share)
    assert split.val is not None
    names = [part.name(index) for part in (split.train, split.val) for index in range(len(part))]
    assert sorted(names) == sorted(source.name(index) for index in range(len(source)))
    assert np.bincount(split.val.labels).min() >= 1 and np.bincount(split.train.labels).min() >= 1


def test_images_added_later_hardly_move_the_split() -> None:
    before = with_validation(Dataset("d", Colours(300)), seed=1, share=0.1).val
    after = with_validation(Dataset("d", Colours(330)), seed=1, share=0.1).val
    assert before is not None and after is not None
    then, now = ({part.name(index) for index in range(len(part))} for part in (before, after))
    assert len(then & now) > 0.8 * len(then)


def test_a_part_of_a_source() -> None:
    source = Colours(9)
    some = SubSource(source, np.array([7, 2]))
    assert [some.name(0), some.name(1)] == [source.name(7), source.name(2)]
    assert some.labels.tolist() == [source.labels[7], source.labels[2]] and some.read(1) == source.read(2)


def test_digits_are_always_split_alike() -> None:
    dataset = open_dataset("digits")
    assert dataset.val is not None
    assert (len(dataset.train), len(dataset.val)) == (1433, 364)
    assert dataset.train.classes == tuple("0123456789")
    assert decode(dataset.val.read(0)).size == (8, 8)


@pytest.mark.parametrize(
    "content, message",
    [
        ({}, "no images"),
        ({"a.png": b"", "b/1.png": b""}, "no class folder"),
        ({"a/1.png": b"", "a/2.png": b""}, "only one class"),
        ({"train/a/1.png": b"", "train/b/1.png": b"", "val/c/1.png": b""}, "classes that train has not: c"),
        ({"Ant/1.png": b"", "ant/1.png": b""}, "differ only in case"),
        ({"a/1.png": b"", "b/1.png": b"", "c/notes.txt": b""}, "without images: c"),
        ({"val/a/1.png": b"", "val/b/1.png": b""}, "no images to train on"),
    ],
)
def test_folders_that_no_layout_fits_are_explained(tmp_path: Path, content: dict[str, bytes], message: str) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(InputError, match=message):
        open_dataset(write(tmp_path / "d", content))


def test_links_in_circles_hidden_files_and_strange_names(tmp_path: Path) -> None:
    root = write(tmp_path / "d", files(parts=("",)))
    (root / "class1" / "loop").symlink_to(root)
    write(root, {"class1/.hidden.png": b"", "class1/imageNotFound.gif": b"GIF", "class2/notes.txt": b""})
    strange = os.fsencode(root) + b"/class2/\xff.png"
    with open(strange, "wb") as file:  # noqa: PTH123 - not a text
        file.write(picture(99))
    dataset = open_dataset(root)
    assert dataset.val is not None
    assert len(dataset.train) + len(dataset.val) == 10
    assert all(name.isprintable() for part in (dataset.train, dataset.val) for name in contents(part))


@pytest.mark.parametrize(
    "text, message",
    [
        ("file,kind\na.png,x\n", "no column of labels"),
        ("path,label\na.png,\n", "row 1.*'label' is empty"),
        ("path,label\n,x\n", "row 1.*'path' is empty"),
        ("path,label,split\na.png,x,later\n", "row 1.*split 'later'"),
        ('path,label\n"a.png,x\n', "not a readable table"),
    ],
)
def test_tables_that_do_not_do_are_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path / "t.csv")


def test_parquet_with_bytes_in_it(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    images = [{"bytes": picture(n), "path": None} for n in range(8)]
    table = pyarrow.table({"image": images, "label": [0, 1] * 4})
    meta = {"info": {"features": {"label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}}}
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(meta)}), tmp_path / "t.parquet")
    dataset = open_dataset(tmp_path / "t.parquet")
    assert dataset.train.classes == ("ant", "bee")
    found = contents(dataset.train) | contents(dataset.val)
    assert found["row 4"] == ("bee", decode(picture(3)).tobytes())
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match="not a readable table"):
        open_dataset(tmp_path / "bad.parquet")


def test_hostile_archives_give_nothing_away(tmp_path: Path) -> None:
    content = files(parts=("",)) | {"../escape/1.png": picture(1), "/etc/1.png": picture(2), "__MACOSX/a/1.png": b"x"}
    for path in (tar(tmp_path / "a.tar", content), tar(tmp_path / "b.tar.gz", content, "w:gz")):
        dataset = open_dataset(path)
        assert dataset.train.classes == ("class1", "class2", "class10")
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        info = tarfile.TarInfo("a/link.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(InputError, match="no images"):
        open_dataset(tmp_path / "link.tar")
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"a/{number}.png", bytes(60 << 20))
    with pytest.raises(InputError, match="unpack"):
        open_dataset(bomb)


def test_damaged_archives_are_explained(tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tar.gz", files(), "w:gz").read_bytes()
    for name, data in (("cut.tar.gz", whole[:400]), ("noise.tar", b"noise" * 300), ("noise.zip", b"PK noise")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError):
            open_dataset(tmp_path / name)
    zipped(tmp_path / "flip.zip", files())
    damaged = bytearray((tmp_path / "flip.zip").read_bytes())
    damaged[60] ^= 0xFF
    (tmp_path / "flip.zip").write_bytes(damaged)
    source = open_dataset(tmp_path / "flip.zip")
    with pytest.raises(EffnetError):
        for part in (source.train, source.val):
            contents(part)


def shard(path: Path, start: int, count: int = 4) -> Path:
    content: dict[str, bytes] = {}
    for number in range(start, start + count):
        content[f"{number:05}.png"] = picture(number)
        content[f"{number:05}.cls"] = str(number % 2).encode()
    return tar(path, content)


def test_shards_are_read_at_their_places_and_looked_through_once(tmp_path: Path, home: Path) -> None:
    for number in range(3):
        shard(tmp_path / f"train-{number:03}.tar", 4 * number)
    shard(tmp_path / "val-000.tar", 50)
    dataset = open_dataset(str(tmp_path / "train-{000..002}.tar"))
    whole = open_dataset(_folder_of_tars(tmp_path))
    assert whole.train.shards.tolist() == [0, 4, 8]  # type: ignore[attr-defined]
    assert contents(whole.train)["00006"] == ("0", decode(picture(6)).tobytes())
    assert len(contents(whole.val)) == 4
    assert dataset.val is not None  # a share of train, as the pattern names no other shards
    indexes = {path: path.stat().st_mtime_ns for path in (home / "datasets").glob("shard-*.json")}
    assert len(indexes) == 7
    open_dataset(str(tmp_path / "train-{000..002}.tar"))
    assert {path: path.stat().st_mtime_ns for path in (home / "datasets").glob("shard-*.json")} == indexes
    with pytest.raises(InputError, match="no such shard"):
        open_dataset(str(tmp_path / "train-{000..005}.tar"))


def _folder_of_tars(folder: Path) -> Path:
    target = folder / "shards"
    target.mkdir()
    for path in folder.glob("*.tar"):
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_shard_with_an_image_without_a_label_is_refused(tmp_path: Path) -> None:
    tar(tmp_path / "s-0.tar", {"1.png": picture(1), "1.cls": b"0", "2.png": picture(2)})
    with pytest.raises(InputError, match="1 images without a label, such as 2"):
        open_dataset(str(tmp_path / "s-{0..0}.tar"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_shards_from_elsewhere_are_fetched_and_let_go(
    served: tuple[Path, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    for number in range(4):
        shard(folder / f"train-{number}.tar", 4 * number)
    size = (folder / "train-0.tar").stat().st_size
    monkeypatch.setenv("EFFNET_SHARD_CACHE", str(2 * size))
    source = open_dataset(f"{address}/train-{{0..3}}.tar").train
    for _ in range(2):
        pixels = {source.name(n): decode(source.read(n)).getpixel((0, 0)) for n in range(len(source))}
        assert pixels["00009"] == (9, 18, 7) if "00009" in pixels else True
        kept = list((home / "datasets" / "shards").glob("*.tar"))
        assert len(kept) <= 3  # room was made before the newest came


def test_data_that_is_not_there_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EFFNET_DATA", raising=False)
    with pytest.raises(InputError, match="no such file"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(UnknownNameError, match="digits"):
        open_dataset("digit")
    with pytest.raises(InputError, match="cifar10:PATH"):
        open_dataset("cifar10")
    (tmp_path / "x.bin").write_bytes(b"x")
    with pytest.raises(InputError, match="not a kind"):
        open_dataset(tmp_path / "x.bin")
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"x")
    with pytest.raises(InputError, match="never run"):
        open_dataset(f"cifar10:{tmp_path / 'cifar-10-python.tar.gz'}")


def test_the_binary_version_of_cifar10(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def batch(count: int) -> bytes:
        return b"".join(bytes([n % 10]) + rng.integers(0, 256, 3072, np.uint8).tobytes() for n in range(count))

    content = {f"cifar-10-batches-bin/data_batch_{n}.bin": batch(20) for n in range(1, 6)}
    content |= {"cifar-10-batches-bin/test_batch.bin": batch(30)}
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    content["cifar-10-batches-bin/batches.meta.txt"] = "\n".join(names.split()).encode()
    dataset = open_dataset(f"cifar10:{tar(tmp_path / 'c.tar.gz', content, 'w:gz')}")
    assert dataset.train.classes == tuple(names.split())
    assert (len(dataset.train), len(dataset.test or ())) == (100, 30)
    first = np.frombuffer(content["cifar-10-batches-bin/data_batch_1.bin"], np.uint8)[1:3073].reshape(3, 32, 32)
    assert np.array_equal(np.asarray(decode(dataset.train.read(0))), first.transpose(1, 2, 0))


def test_hub_data_sets_need_their_package_or_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError):
        open_dataset("hf:owner/name")

    class Image_:  # named as the package's
        pass

    Image_.__name__ = "Image"

    class ClassLabel:
        names = ("ant", "bee")

    class Rows(list):
        def __init__(self, rows) -> None:
            super().__init__(rows)
            self.features = {"image": Image_(), "label": ClassLabel()}

        def __getitem__(self, key):
            return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)

    rows = Rows({"image": {"bytes": picture(n)}, "label": n % 2} for n in range(10))
    fake = types.ModuleType("datasets")
    fake.load_dataset = lambda path, config: {"train": rows, "test": rows}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", fake)
    dataset = open_dataset("hf:owner/name")
    assert dataset.train.classes == ("ant", "bee") and dataset.test is not None
    assert decode(dataset.test.read(3)).getpixel((0, 0)) == (3, 6, 7)
    unlabelled = Rows({"image": {"bytes": picture(n)}, "label": -1} for n in range(10))  # as the hub marks them
    fake.load_dataset = lambda path, config: {"train": rows, "test": unlabelled}  # type: ignore[attr-defined]
    dataset = open_dataset("hf:owner/name")
    assert dataset.test is None and any("10 rows of test without labels" in r.what for r in dataset.remarks)
    some = Rows([*rows, *unlabelled])
    fake.load_dataset = lambda path, config: {"train": some}  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="10 rows of train without a label"):
        open_dataset("hf:owner/name")


@given(st.lists(st.text(alphabet="ab19 ", max_size=6), max_size=8))
def test_natural_order_is_an_order(names: list[str]) -> None:
    assert sorted(names, key=natural) == sorted(sorted(names), key=natural) or len(set(names)) < len(names)
    assert sorted(["x10", "x9", "x1"], key=natural) == ["x1", "x9", "x10"]

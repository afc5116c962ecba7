"""What looks like an image by name or content is read, or said."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from effnet.data.decode import decode
from effnet.data.doctor import check
from effnet.data.recognition import listed, recognised
from effnet.data.sources import open_dataset
from effnet.errors import InputError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))


def encoded(value: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), (value, 255 - value, 7)).save(file, kind)
    return file.getvalue()


def folder(root: Path, more: dict[str, bytes]) -> Path:
    content = {f"{label}/{n}.png": encoded(60 * n + shift) for shift, label in ((0, "a"), (5, "b")) for n in range(4)}
    for name, data in (content | more).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def kinds(path: Path) -> dict[str, tuple[str, str]]:
    return {r.kind: (r.severity, r.what) for r in open_dataset(path, val_share=None).remarks}


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "PPM", "WEBP"])
@pytest.mark.parametrize("suffix", ["", ".dat", ".heic", ".txt"])
def test_content_decides_where_the_name_does_not(tmp_path: Path, kind: str, suffix: str) -> None:
    root = folder(tmp_path / "d", {f"a/more{suffix}": encoded(200, kind)})
    dataset = open_dataset(root, val_share=None)
    assert len(dataset.train) == 9
    assert [remark.kind for remark in dataset.remarks] == ["unnamed"]
    place = [dataset.train.name(index) for index in range(9)].index(f"a/more{suffix}")
    assert decode(dataset.train.read(place)).size == (32, 24)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("1.avif", "AVIF"), ("1.jp2", "JPEG2000"), ("1.j2k", "JPEG2000"), ("1.ppm", "PPM"), ("1.pgm", "PPM")],
)
def test_formats_that_pillow_reads_are_read_by_their_names(tmp_path: Path, name: str, kind: str) -> None:
    dataset = open_dataset(folder(tmp_path / "d", {f"a/{name}": encoded(200, kind)}), val_share=None)
    assert len(dataset.train) == 9 and not dataset.remarks


FOREIGN = {
    "a/1.heic": (HEIC, ".heic"),
    "a/2.HEIF": (HEIC, ".heif"),
    "a/3.jxl": (JXL, ".jxl"),
    "a/4": (HEIC, "HEIC"),
    "a/5.bin": (JXL, "JPEG XL"),
    "a/6.cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), ".cr2"),
    "a/7.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", ".svg"),
    "a/8.npy": (b"\x93NUMPY\1\0", ".npy"),
}


@pytest.mark.parametrize("stored", ["folder", "zip", "tar", "tar.gz"])
def test_other_formats_are_counted_and_named(tmp_path: Path, stored: str) -> None:
    root = folder(tmp_path / "d", {name: data for name, (data, _) in FOREIGN.items()})
    path = root
    if stored != "folder":
        path = Path(shutil.make_archive(str(tmp_path / "d"), {"tar.gz": "gztar"}.get(stored, stored), root))
    for _ in range(2):  # the second time from what is kept of a compressed archive
        dataset = open_dataset(path, val_share=None)
        assert len(dataset.train) == 8
        (remark,) = dataset.remarks
        assert remark.severity == "error"
        assert remark.what.startswith("8 files are no images this reads: ")
        for _data, said in FOREIGN.values():
            assert f"{said} (1)" in remark.what
        assert "heif-convert" in remark.fix
    assert check(dataset).worst == "error"


def test_what_is_no_image_is_not_mentioned(tmp_path: Path) -> None:
    texts = {"notes.txt": b"BMW and GIFs\n", "a/1.json": b"{}", "labels.csv": b"P1 2 3\n", "b/p": b"P5 is a road\n"}
    texts |= {"a/.DS_Store": b"\0\0\0\1Bud1", "a/Thumbs.db": b"\xd0\xcf\x11\xe0", "a/x.mp4": b"\0\0\0\x18ftypmp42"}
    texts |= {"a/._1.png": b"\0\5\x16\7", "page.html": b"<html><svg></svg></html>", "a/empty": b""}
    assert kinds(folder(tmp_path / "d", texts)) == {}


@pytest.mark.parametrize(
    "made", ["@eaDir", ".thumbnails", "_thumbs", ".picasaoriginals", ".ipynb_checkpoints", "__MACOSX", "#recycle"]
)
@pytest.mark.parametrize("zipped", [False, True])
def test_copies_that_programs_keep_are_left_out_and_said(tmp_path: Path, made: str, zipped: bool) -> None:
    more = {f"a/{made}/1.png": encoded(1), f"{made}/2.png": encoded(2), f"{made}/a/3.png": encoded(3)}
    path = folder(tmp_path / "d", more)
    if zipped:
        path = Path(shutil.make_archive(str(tmp_path / "d"), "zip", path))
    dataset = open_dataset(path, val_share=None)
    assert len(dataset.train) == 8 and dataset.train.classes == ("a", "b")
    (remark,) = dataset.remarks
    assert remark.severity == "note" and f"{made} (3)" in remark.what


def test_placeholders_and_hidden_images_are_said(tmp_path: Path) -> None:
    found = kinds(folder(tmp_path / "d", {"a/imageNotFound.gif": encoded(1, "GIF"), "b/.x.jpg": encoded(3, "JPEG")}))
    assert "imageNotFound.gif" in found["placeholder"][1] and ".x.jpg" in found["hidden"][1]


def test_a_class_of_unread_images_is_no_empty_class(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", {"c/1.heic": HEIC, "c/2.heic": HEIC})
    with pytest.raises(InputError, match=r"c: \.heic \(2\)") as raised:
        open_dataset(root)
    assert "heif-convert" in (raised.value.fix or "")
    for entry in ("a", "b"):
        shutil.rmtree(root / entry)
    with pytest.raises(InputError, match=r"2 files are no images this reads"):
        open_dataset(root)


def test_links_in_circles_and_pipes_end(tmp_path: Path) -> None:
    import os

    root = folder(tmp_path / "d", {})
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "itself").symlink_to(root / "a" / "itself")
    os.mkfifo(root / "a" / "pipe")
    assert len(listed(root).images) == 8


def test_names_that_end_like_images_are_not_opened() -> None:
    def opened() -> bytes:
        raise AssertionError

    assert recognised("x/1.JPG", opened).kind == "image"


def test_a_damaged_zip_member_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for label in "ab":
            archive.writestr(f"{label}/1.png", encoded(3))
        archive.writestr("a/odd", b"\x89PNG\r\n\x1a\n" * 40)
    data = bytearray(path.read_bytes())
    place = data.index(b"a/odd") + 5
    data[place : place + 4] = b"\xff" * 4
    path.write_bytes(data)
    assert len(open_dataset(path, val_share=None).train) == 2


def test_tars_of_images_without_names(tmp_path: Path) -> None:
    path = tmp_path / "d.tar"
    with tarfile.open(path, "w") as archive:
        for label in "ab":
            info = tarfile.TarInfo(f"{label}/image")
            data = encoded(9, "AVIF")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    dataset = open_dataset(path, val_share=None)
    assert [decode(dataset.train.read(index)).size for index in range(2)] == [(32, 24)] * 2

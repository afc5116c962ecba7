"""What files, folders, globs and lists mean."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from effnet.errors import InputError
from effnet.inference.sources import expand, read_list


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as people have them: nested, with other files among the images."""
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "trip/c.webp", "trip/deep/d.jpeg", ".cache/e.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("photographs")
def test_a_folder_gives_every_image_below_it_in_order() -> None:
    assert expand(["."]) == ("./a.PNG", "./b.jpg", "./trip/c.webp", "./trip/deep/d.jpeg")


@pytest.mark.usefixtures("photographs")
def test_a_file_named_outright_may_have_any_ending_and_come_twice() -> None:
    assert expand(["notes.txt", "b.jpg", Path("notes.txt")]) == ("notes.txt", "b.jpg", "notes.txt")


@pytest.mark.usefixtures("photographs")
@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", ("b.jpg",)),
        ("./[ab].*", ("./a.PNG", "./b.jpg")),
        ("**/*.jpeg", ("trip/deep/d.jpeg",)),
        ("t*/*", ("trip/c.webp",)),
    ],
)
def test_a_pattern_gives_the_files_it_matches(pattern: str, found: tuple[str, ...]) -> None:
    assert expand([pattern]) == found


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(photographs: Path) -> None:
    (photographs / "b[1].jpg").write_bytes(b"x")
    assert expand(["b[1].jpg"]) == ("b[1].jpg",)


def test_links_that_form_loops_give_each_folder_once(photographs: Path) -> None:
    (photographs / "trip" / "up").symlink_to(photographs)
    (photographs / "round.jpg").symlink_to("round.jpg")
    (photographs / "self").symlink_to("self")
    found = expand([photographs])
    assert [Path(path).name for path in found] == ["a.PNG", "b.jpg", "round.jpg", "c.webp", "d.jpeg"]


def test_pipes_in_a_folder_are_not_opened_and_broken_links_are_not_lost(photographs: Path) -> None:
    os.mkfifo(photographs / "pipe.jpg")
    (photographs / "gone.jpg").symlink_to("nowhere")
    names = [Path(path).name for path in expand([photographs])]
    assert "pipe.jpg" not in names
    assert "gone.jpg" in names


def test_names_that_are_not_utf8_come_back_as_they_are(photographs: Path) -> None:
    name = b"caf\xe9.jpg"
    (photographs / os.fsdecode(name)).write_bytes(b"x")
    assert name in [os.fsencode(Path(path).name) for path in expand([photographs])]


def test_nothing_there_is_a_wrong_request(photographs: Path) -> None:
    (photographs / "empty").mkdir()
    for argument, complaint in [
        ("missing.jpg", "no such file"),
        ("*.tiff", "nothing matches"),
        ("empty", "no images found"),
    ]:
        with pytest.raises(InputError, match=complaint):
            expand([argument])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_an_error_not_a_silence(photographs: Path) -> None:
    (photographs / "trip").chmod(0)
    try:
        with pytest.raises(InputError, match="cannot read the folder"):
            expand([photographs])
    finally:
        (photographs / "trip").chmod(0o755)


def test_a_folder_that_vanishes_while_it_is_read_is_an_error(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", fails)
    with pytest.raises(InputError, match="cannot read the folder: Permission denied"):
        expand([photographs])


@pytest.mark.parametrize("content", [b"a.jpg\nb c.jpg\n", b"a.jpg\r\n\r\nb c.jpg", b"a.jpg\0b c.jpg\0"])
def test_a_list_has_one_path_a_line_or_nul_between_them(content: bytes) -> None:
    assert read_list(content) == ("a.jpg", "b c.jpg")


def test_a_list_keeps_names_that_are_not_utf8_and_line_ends_inside_nul_lists() -> None:
    assert [os.fsencode(path) for path in read_list(b"caf\xe9.jpg\n")] == [b"caf\xe9.jpg"]
    assert read_list(b"a\nb.jpg\0c.jpg\0") == ("a\nb.jpg", "c.jpg")


def test_an_empty_list_is_a_wrong_request() -> None:
    with pytest.raises(InputError, match="empty"):
        read_list(b"\n\n")


def _image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, kind)
    return file.getvalue()


def test_images_are_known_by_content_where_the_name_says_nothing(photographs: Path) -> None:
    (photographs / "img-0001").write_bytes(_image("JPEG"))
    (photographs / "trip" / "scan.dat").write_bytes(_image("PNG"))
    (photographs / "trip" / "page.ppm").write_bytes(_image("PPM"))
    names = [Path(path).name for path in expand([photographs])]
    assert names == ["a.PNG", "b.jpg", "img-0001", "c.webp", "page.ppm", "scan.dat", "d.jpeg"]


def test_images_that_are_not_read_are_given_to_whoever_names_them(photographs: Path) -> None:
    (photographs / "IMG_1.HEIC").write_bytes(b"x")
    (photographs / "unnamed").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    plain, named = expand([photographs]), expand([photographs], foreign=True)
    assert sorted(Path(path).name for path in set(named) - set(plain)) == ["IMG_1.HEIC", "unnamed"]


def test_a_folder_of_nothing_else_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no images found.*\.heic \(1\)"):
        expand([tmp_path])


def test_programs_own_copies_are_left_out_and_said(photographs: Path) -> None:
    (photographs / "@eaDir").mkdir()
    (photographs / "@eaDir" / "small.jpg").write_bytes(b"x")
    said: list[str] = []
    found = expand([photographs], remark=lambda folder, remark: said.append(remark.what))
    assert "small.jpg" not in [Path(path).name for path in found]
    assert len(said) == 1 and "@eaDir (1)" in said[0]

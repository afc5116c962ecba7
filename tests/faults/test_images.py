"""Whatever is wrong with an image file, one typed error says so."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from effnet.data.decode import DecodeLimits, decode, to_rgb
from effnet.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")


def photo(kind: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def refused(source: bytes | Path, limits: DecodeLimits | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(source) if limits is None else decode(source, limits=limits)
    text = str(caught.value)
    assert "\n" not in text and "Fix:" in text
    return caught.value


def test_missing_empty_and_other_things(tmp_path: Path) -> None:
    assert "No such file" in str(refused(tmp_path / "none.jpg"))
    empty = tmp_path / "empty.jpg"
    empty.touch()
    assert "empty" in str(refused(empty))
    assert "not a file" in str(refused(tmp_path))
    (tmp_path / "link.jpg").symlink_to(tmp_path)
    refused(tmp_path / "link.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    refused(tmp_path / "loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "not a file" in str(refused(tmp_path / "pipe.jpg"))
    refused(Path("nul\0byte.jpg"))
    text = tmp_path / "text.jpg"
    text.write_text("this is no image")
    assert "not an image" in str(refused(text))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(photo("PNG"))
    path.chmod(0)
    assert "Permission denied" in str(refused(path))


@pytest.mark.parametrize("kind", ["PDF", "EPS", "ICO", "TGA", "SGI", "PCX"])
def test_formats_that_pillow_reads_and_we_do_not(kind: str) -> None:
    image = Image.new("RGB", (32, 32))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    assert "not an image" in str(refused(buffer.getvalue()))


def test_bombs_are_refused_before_they_are_decoded() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    assert "60000 x 60000 pixels" in str(refused(bomb))
    limited = DecodeLimits(max_pixels=1000, max_bytes=1 << 20)
    assert "pixels" in str(refused(photo("PNG"), limited))
    assert "bytes" in str(refused(photo("PNG"), DecodeLimits(max_bytes=100)))


def with_scans(count: int) -> bytes:
    """A progressive JPEG of about `count` scans: its last one, again and again."""
    data = photo("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + b"\xff\xd9"


def test_scans_that_cost_time_and_no_bytes_are_refused() -> None:
    """A scan of a hundred bytes passes over all pixels: half a megabyte of them on 88 megapixels take an hour."""
    assert decode(with_scans(20)).size == (64, 48)
    assert "scans" in str(refused(with_scans(120)))
    assert decode(with_scans(120), limits=DecodeLimits(max_scans=200)).size == (64, 48)


def test_what_follows_an_image_is_not_taken_for_scans() -> None:
    thumbnails = b"\xff\xfe" + struct.pack(">H", 2 + 4 * 200) + b"\xff\xda\0\2" * 200
    data = photo("JPEG")
    assert decode(data[:2] + thumbnails + data[2:] + b"\xff\xda\0\2" * 500).size == (64, 48)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits"])
def test_a_tiff_that_declares_more_rows_than_it_has(compression: str | None) -> None:
    """Pillow fills the missing rows with black: megapixels out of nothing, and a truncated image taken for a whole."""
    data = photo("TIFF", **({"compression": compression} if compression else {}))
    # The tag of the height, of 16 or of 32 bits.
    entries = [struct.pack("<HHIHH", 257, 3, 1, 48, 0), struct.pack("<HHII", 257, 4, 1, 48)]
    assert sum(data.count(entry) for entry in entries) == 1
    for entry in entries:
        data = data.replace(entry, struct.pack("<HHII", 257, 4, 1, 1_000_000))
    refused(data)


def test_pillows_own_limit_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = photo("WEBP")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "Pillow" in str(refused(data))


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing
    assert "limit" in str(refused(path))


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_files(kind: str) -> None:
    """Cut anywhere: a typed error, except where the format's decoder has all pixels already."""
    data = photo(kind)
    failures = 0
    for length in range(0, len(data) - 1, max(1, len(data) // 60)):
        try:
            image = decode(data[:length])
        except ImageError:
            failures += 1
        else:
            assert image.size == (64, 48)
    assert failures >= 50


@pytest.mark.parametrize("kind", FORMATS)
def test_mutated_files_raise_nothing_else(kind: str) -> None:
    chance = random.Random(kind)
    originals = [photo(kind)]
    if kind in ("GIF", "PNG", "WEBP", "TIFF"):
        originals.append(photo(kind, save_all=True, append_images=[Image.new("RGB", (64, 48), "red")]))
    refusals = 0
    for _ in range(400):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.choice((1, 2, 8, 40))):
            place = chance.randrange(min(len(data), chance.choice((64, len(data)))))
            data[place] = chance.randrange(256)
        try:
            assert decode(bytes(data)).mode == "RGB"
        except ImageError:
            refusals += 1
    assert refusals > 0


SIGNATURES = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\1\0\0WEBPVP8 ", b"BM", b"GIF89a", b"II*\0", b"MM\0*"]


@settings(max_examples=400)
@given(start=st.sampled_from([b"", *SIGNATURES]), rest=st.binary(max_size=400))
def test_arbitrary_bytes(start: bytes, rest: bytes) -> None:
    try:
        assert decode(start + rest).mode == "RGB"
    except ImageError as error:
        assert "Fix:" in str(error)


@settings(max_examples=300)
@given(data=st.data(), kind=st.sampled_from(FORMATS))
def test_spliced_files(data: st.DataObject, kind: str) -> None:
    """Parts removed, repeated or exchanged with another file's: lengths and offsets that disagree."""
    original, other = photo(kind), photo(data.draw(st.sampled_from(FORMATS)))
    cut = sorted(data.draw(st.tuples(*[st.integers(0, len(original))] * 2)))
    taken = sorted(data.draw(st.tuples(*[st.integers(0, len(other))] * 2)))
    try:
        assert decode(original[: cut[0]] + other[taken[0] : taken[1]] + original[cut[1] :]).mode == "RGB"
    except ImageError as error:
        assert "Fix:" in str(error)


def test_a_kept_error_does_not_keep_the_file(tmp_path: Path) -> None:
    """Predictions carry their errors: the bytes of every bad file would stay in memory."""
    path = tmp_path / "cut.png"
    path.write_bytes(photo("PNG")[:-200])
    error = refused(path)
    assert error.__context__ is None and error.__cause__ is None


def test_an_opened_image_whose_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(photo("PNG")[:-200])
    with Image.open(path) as image, pytest.raises(ImageError, match="damaged"):
        to_rgb(image)


def test_names_that_command_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2Jb\n.jpg"
    path.write_bytes(b"no image")
    text = str(refused(path))
    assert text.isprintable() and "a\\x1b[2Jb\\n.jpg" in text


def test_names_that_are_not_text(tmp_path: Path) -> None:
    raw = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")  # noqa: PTH118
    path = Path(os.fsdecode(raw))
    path.write_bytes(b"no image")
    str(refused(path)).encode("utf-8")

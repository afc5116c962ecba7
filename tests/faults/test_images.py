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
from PIL import Image

from effnet.data.decode import DecodeLimits, decode
from effnet.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


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


@pytest.mark.parametrize("kind", ["PDF", "EPS", "PPM", "ICO", "TGA", "SGI", "PCX"])
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
    refused(bomb)
    limited = DecodeLimits(max_pixels=1000, max_bytes=1 << 20)
    assert "pixels" in str(refused(photo("PNG"), limited))
    assert "bytes" in str(refused(photo("PNG"), DecodeLimits(max_bytes=100)))


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


def test_names_that_are_not_text(tmp_path: Path) -> None:
    raw = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")  # noqa: PTH118
    path = Path(os.fsdecode(raw))
    path.write_bytes(b"no image")
    str(refused(path)).encode("utf-8")

"""Every format and mode ends as upright 8-bit RGB; files are made here."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effnet.data.decode import decode

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 40, height: int = 24) -> Image.Image:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) * 2], -1).astype(np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_rgb(kind: str, tmp_path: Path) -> None:
    data = encoded(gradient(), kind)
    image = decode(data)
    assert (image.mode, image.size) == ("RGB", (40, 24))
    difference = np.abs(np.asarray(image).astype(int) - np.asarray(gradient()).astype(int))
    assert difference.mean() < (12 if kind in ("JPEG", "WEBP", "GIF") else 0.01)
    # The name says nothing: content is sniffed.
    path = tmp_path / "image.txt"
    path.write_bytes(data)
    assert np.array_equal(np.asarray(decode(path)), np.asarray(image))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_plain_images_are_what_pillow_reads(kind: str) -> None:
    data = encoded(gradient(), kind)
    assert np.array_equal(np.asarray(decode(data)), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    """A white corner must end top left whatever the camera wrote."""
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 255
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(np.asarray(decode(encoded(stored, "PNG", exif=exif))), upright)


def test_damaged_exif_costs_only_the_orientation() -> None:
    data = encoded(gradient(), "JPEG", exif=b"Exif\0\0" + b"\xff" * 40)
    assert decode(data).size == (40, 24)


def test_grey_one_bit_and_palette() -> None:
    grey = gradient().convert("L")
    assert np.array_equal(np.asarray(decode(encoded(grey, "PNG"))), np.asarray(grey.convert("RGB")))
    bits = gradient().convert("1")
    assert np.array_equal(np.asarray(decode(encoded(bits, "PNG"))), np.asarray(bits.convert("RGB")))
    palette = gradient().quantize(16)
    assert np.array_equal(np.asarray(decode(encoded(palette, "PNG"))), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(mode: str) -> None:
    rgba = gradient().convert("RGBA")
    alpha = np.full((24, 40), 255, np.uint8)
    alpha[:12] = 0
    rgba.putalpha(Image.fromarray(alpha))
    image = rgba.convert("LA") if mode == "LA" else rgba.quantize(32) if mode == "P" else rgba
    pixels = np.asarray(decode(encoded(image, "PNG")))
    assert (pixels[:12] == 255).all()
    assert (pixels[12:] != 255).any()


def test_half_transparent_pixels_blend() -> None:
    image = Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    assert abs(int(np.asarray(decode(encoded(image, "PNG")))[0, 0, 0]) - 127) <= 1


def test_cmyk_photographs_are_not_inverted() -> None:
    """White paper is C=M=Y=K=0; a decoder that forgets Adobe's inversion shows it black."""
    for colour, expected in (((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0))):
        data = encoded(Image.new("CMYK", (16, 16), colour), "JPEG", quality=95)
        assert np.abs(np.asarray(decode(data))[8, 8].astype(int) - expected).max() < 12


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = np.asarray(decode(encoded(Image.fromarray(values), kind)))
    assert np.array_equal(pixels[..., 0], np.round(values / 257).astype(np.uint8))


def test_float_and_32_bit_tiff() -> None:
    unit = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    pixels = np.asarray(decode(encoded(Image.fromarray(unit), "TIFF")))
    assert np.array_equal(pixels[..., 0], np.round(unit * 255).astype(np.uint8))
    wide = (np.arange(64, dtype=np.int32) * 1000).reshape(8, 8)
    pixels = np.asarray(decode(encoded(Image.fromarray(wide), "TIFF")))
    assert np.array_equal(pixels[..., 0], np.round(wide / 257).astype(np.uint8))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_give_their_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    red, green, blue = np.asarray(decode(data))[8, 8].astype(int)
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("RGB", size), "PNG")).size == size


def test_smaller_decoding_keeps_enough_pixels() -> None:
    data = encoded(gradient(1600, 1200), "JPEG", quality=90)
    assert decode(data).size == (1600, 1200)
    small = decode(data, min_size=128)
    assert small.size == (400, 300), "a quarter: the largest reduction that leaves twice 128 px"
    full = decode(data).resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small).astype(int) - np.asarray(full).astype(int)).mean() < 3
    assert decode(encoded(gradient(1600, 1200), "PNG"), min_size=128).size == (1600, 1200)


@pytest.mark.shared
def test_real_photographs(shared: Path) -> None:
    photos = sorted((shared / "data" / "imagenet-sample").glob("*.JPEG"))
    assert len(photos) == 500
    assert {decode(photo).mode for photo in photos} == {"RGB"}

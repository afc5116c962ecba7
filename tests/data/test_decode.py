"""Every format and mode ends as upright 8-bit RGB; files are made here."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from effnet.data.decode import WEB_FORMATS, DecodeLimits, decode, decode_array, to_rgb
from effnet.errors import ImageError, InputError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 40, height: int = 24) -> Image.Image:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) * 2], -1).astype(np.uint8)
    return Image.fromarray(pixels)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, transparent: bytes = b"") -> bytes:
    """A PNG as the standard says, for what Pillow does not write; `rows` without filter bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    step = len(rows) // height
    filtered = b"".join(b"\0" + rows[i : i + step] for i in range(0, len(rows), step))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
        + (chunk(b"tRNS", transparent) if transparent else b"")
        + chunk(b"IDAT", zlib.compress(filtered))
        + chunk(b"IEND", b"")
    )


def tiff(width: int, height: int, bits: int, data: bytes, *, zero_is_white: bool = False, kind: int = 1) -> bytes:
    """A grey TIFF as the standard says; `kind`: 1 unsigned, 2 signed, 3 floats."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 0 if zero_is_white else 1}
    tags |= {273: 8, 277: 1, 278: height, 279: len(data), 339: kind}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = 8 + len(data) + len(data) % 2
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return (b"II*\0" + struct.pack("<I", start) + data).ljust(start, b"\0") + directory


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_rgb(kind: str, tmp_path: Path) -> None:
    data = encoded(gradient(), kind)
    image = decode(data)
    assert (image.mode, image.size) == ("RGB", (40, 24))
    difference = np.abs(np.asarray(image).astype(int) - np.asarray(gradient()).astype(int))
    assert difference.mean() < (12 if kind in ("JPEG", "WEBP", "GIF", "AVIF", "JPEG2000") else 0.01)
    # The name says nothing: content is sniffed.
    path = tmp_path / "image.txt"
    path.write_bytes(data)
    assert np.array_equal(np.asarray(decode(path)), np.asarray(image))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_plain_images_are_what_pillow_reads(kind: str) -> None:
    data = encoded(gradient(), kind)
    assert np.array_equal(np.asarray(decode(data)), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


UNDO = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
"""How a camera that writes the orientation stores an upright picture."""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
def test_exif_orientation_is_applied(kind: str, options: dict[str, object], orientation: int) -> None:
    """A white corner must end top left whatever the camera wrote."""
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 255
    stored = Image.fromarray(np.ascontiguousarray(UNDO[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.asarray(decode(encoded(stored, kind, exif=exif, **options)))
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).max() <= (8 if kind == "JPEG" else 0)


def test_orientation_turns_every_mode() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        image = decode(encoded(Image.new(mode, (6, 4)), "PNG", exif=exif))
        assert (image.mode, image.size) == ("RGB", (4, 6)), mode


def test_orientation_survives_damage_behind_it() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x013B] = "a name that is cut off"
    data = encoded(Image.new("RGB", (24, 16)), "JPEG", exif=exif.tobytes()[:-12])
    assert decode(data).size == (16, 24)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("damaged", [b"\xff" * 40, b"II*\0", b"MM\0*\xff\xff\xff\xff"])
def test_damaged_exif_costs_only_the_orientation(kind: str, damaged: bytes) -> None:
    data = encoded(gradient(), kind, exif=b"Exif\0\0" + damaged)
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


def test_ycck_photographs() -> None:
    """Adobe's other layout: inverted C, M and Y as luminance and chrominance of R = 1 - C and so on; and K."""
    colour = np.array([200, 60, 30])
    luma = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    y, cb, cr = luma @ (255 - colour) + [0, 128, 128]
    # Pillow inverts what it writes; no black ink is stored as 255.
    stored = (*(255 - round(v) for v in (y, cb, cr)), 0)
    data = encoded(Image.new("CMYK", (16, 16), stored), "JPEG", quality=100)
    place = data.index(b"Adobe") + 11
    assert data[place] == 0
    ycck = data[:place] + b"\x02" + data[place + 1 :]
    assert np.abs(np.asarray(decode(ycck))[8, 8].astype(int) - colour).max() <= 4


def test_cmyk_and_lab_tiff() -> None:
    assert decode(encoded(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF")).getpixel((0, 0)) == (255, 0, 0)
    assert decode(encoded(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF")).mode == "RGB"


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


def test_sixteen_bit_colour_keeps_its_high_byte() -> None:
    values = np.linspace(0, 65535, 48).astype(">u2")
    pixels = np.asarray(decode(png(4, 4, 16, 2, values.tobytes())))
    assert np.array_equal(pixels.ravel(), values >> 8)


def test_infinite_and_missing_floats() -> None:
    values = np.array([[np.nan, np.inf], [-np.inf, 0.2]], np.float32)
    pixels = np.asarray(decode(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert pixels.tolist() == [[0, 255], [0, 51]]
    nothing = np.full((2, 2), np.nan, np.float32)
    assert not np.asarray(decode(encoded(Image.fromarray(nothing), "TIFF"))).any()


@pytest.mark.parametrize(("largest", "scale"), [(0.5, 1), (200, 255), (3000, 65535), (1e9, 1e9)])
def test_floats_have_the_narrowest_range_that_holds_them(largest: float, scale: float) -> None:
    values = np.array([[0, largest]], np.float32)
    assert decode(encoded(Image.fromarray(values), "TIFF")).getpixel((1, 0))[0] == round(largest / scale * 255)


def test_grey_tiff_of_every_depth() -> None:
    def first(data: bytes) -> int:
        return decode(data).getpixel((0, 0))[0]

    assert first(tiff(2, 1, 12, b"\xff\xff\xff")) == 255, "12 bits are 0..4095"
    assert first(tiff(1, 1, 16, struct.pack("<H", 0x8080))) == 128
    assert first(tiff(1, 1, 16, struct.pack("<H", 0), zero_is_white=True)) == 255
    assert first(tiff(1, 1, 32, struct.pack("<I", 0xFFFFFFFF))) == 255, "unsigned, which Pillow reads as -1"
    assert first(tiff(2, 1, 16, struct.pack("<hh", -255, 0), kind=2)) == 0
    assert first(tiff(1, 1, 32, struct.pack("<f", 0.0), zero_is_white=True, kind=3)) == 255


def test_transparent_colours_of_every_depth() -> None:
    """A colour named transparent, not an alpha channel."""
    grey8 = png(2, 1, 8, 0, bytes([7, 9]), struct.pack(">H", 7))
    grey16 = png(2, 1, 16, 0, struct.pack(">HH", 1000, 0), struct.pack(">H", 1000))
    rgb8 = png(2, 1, 8, 2, bytes([1, 2, 3, 4, 5, 6]), struct.pack(">HHH", 1, 2, 3))
    rgb16 = png(2, 1, 16, 2, struct.pack(">6H", 1000, 2000, 3000, 0, 0, 0), struct.pack(">HHH", 1000, 2000, 3000))
    bit = png(2, 1, 1, 0, bytes([0b01000000]), struct.pack(">H", 0))
    for data, other in ((grey8, (9, 9, 9)), (grey16, (0, 0, 0)), (rgb8, (4, 5, 6)), (rgb16, (0, 0, 0))):
        assert [decode(data).getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), other]
    assert decode(bit).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_give_their_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    red, green, blue = np.asarray(decode(data))[8, 8].astype(int)
    assert red > 200 and green < 60 and blue < 60


def test_a_stereo_photograph_gives_its_first_picture() -> None:
    frames = [Image.new("RGB", (1600, 1200), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(data))[8, 8, 0] > 200
    assert decode(data, min_size=128).size == (400, 300)


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


@settings(max_examples=60)
@given(width=st.integers(1, 700), height=st.integers(1, 700), min_size=st.integers(1, 400))
def test_smaller_decoding_never_falls_below_what_is_needed(width: int, height: int, min_size: int) -> None:
    small = decode(encoded(Image.new("RGB", (width, height)), "JPEG"), min_size=min_size)
    assert min(small.size) >= min(min(width, height), 2 * min_size)
    scale = round(width / small.width)
    assert small.size == (-(-width // scale), -(-height // scale)) and scale in (1, 2, 4, 8)


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_impossible_requests(value: object) -> None:
    with pytest.raises(InputError):
        decode(encoded(gradient(), "PNG"), min_size=value)  # type: ignore[arg-type]
    for name in ("max_bytes", "max_pixels", "max_scans"):
        with pytest.raises(InputError, match=name):
            DecodeLimits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_result_is_plain(kind: str) -> None:
    """No metadata, and not the opened file, whose bytes it would keep."""
    exif = Image.Exif()
    exif[0x0112] = 1
    options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    image = decode(encoded(gradient(), kind, **options))
    assert type(image) is Image.Image
    assert image.info == {} and not image.getexif()


def test_images_opened_by_others_are_left_as_they_are() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("RGB", "RGBA", "P", "I;16", "La", "RGBa"):
        image = Image.new("LA", (6, 4), (9, 128)).convert(mode) if mode == "La" else Image.new(mode, (6, 4))
        image.info["exif"] = exif.tobytes()
        before = (image.mode, image.size, dict(image.info), image.tobytes())
        result = to_rgb(image)
        assert result is not image and (result.mode, result.size) == ("RGB", (4, 6)), mode
        assert (image.mode, image.size, dict(image.info), image.tobytes()) == before
    keyed = Image.open(io.BytesIO(png(1, 1, 16, 2, bytes(6), struct.pack(">HHH", 256, 0, 0))))
    before = dict(keyed.info)
    to_rgb(keyed)
    assert keyed.info == before
    assert np.array_equal(to_rgb(gradient()), gradient())


def test_half_grey_premultiplied() -> None:
    image = Image.new("LA", (2, 2), (0, 128)).convert("La")
    assert abs(to_rgb(image).getpixel((0, 0))[0] - 127) <= 1


def test_settings_of_the_program_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("JPEG", "PNG", "BMP"):
            assert decode(encoded(gradient(), kind)).size == (40, 24), kind
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == (10, False)


def test_threads_decode_the_same() -> None:
    files = [encoded(gradient(300 + n, 200), kind) for n in range(10) for kind in FORMATS]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(decode, files))
    assert all(np.array_equal(decode(data), result) for data, result in zip(files, results, strict=True))


@pytest.mark.shared
def test_real_photographs(shared: Path) -> None:
    photos = sorted((shared / "data" / "imagenet-sample").glob("*.JPEG"))
    assert len(photos) == 500
    assert {decode(photo).mode for photo in photos} == {"RGB"}


@pytest.mark.parametrize("min_size", [None, 15, 60, 120])
@pytest.mark.parametrize("kind", ["plain", "grey", "turned", "cmyk", "progressive", "tiny"])
def test_an_array_has_the_pixels_of_the_image(kind: str, min_size: int | None) -> None:
    size = (9, 5) if kind == "tiny" else (481, 363)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size).convert({"grey": "L", "cmyk": "CMYK"}.get(kind, "RGB"))
    exif = Image.Exif()
    if kind == "turned":
        exif[0x0112] = 6
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=exif, progressive=kind == "progressive")
    array = decode_array(stream.getvalue(), min_size=min_size)
    assert np.array_equal(array, np.asarray(decode(stream.getvalue(), min_size=min_size)))
    # And those of Pillow alone, which reads where simplejpeg is not installed.
    alone = Image.open(stream)
    if min_size is not None:
        alone.draft(None, (2 * min_size, 2 * min_size))
    assert np.array_equal(array, np.asarray(ImageOps.exif_transpose(alone).convert("RGB")))
    array[:] = 0  # it is the caller's own


def test_a_damaged_jpeg_is_refused_as_an_array_too() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(stream, "JPEG")
    with pytest.raises(ImageError, match="damaged"):
        decode_array(stream.getvalue()[:-400])


def layered(bands: int, extra: tuple[int, ...], *, photometric: int, bits: int = 8) -> bytes:
    """A TIFF of interleaved bands as the standard says; `extra`: what the bands beyond the colours are."""
    data = bytes(range(256)) * (bands * 16 * bits // 8 // 256 + 1)
    data = data[: bands * 16 * bits // 8]
    values = {256: (4,), 257: (4,), 258: (bits,) * bands, 259: (1,), 262: (photometric,), 273: (8,), 277: (bands,)}
    values |= {278: (4,), 279: (len(data),), 338: extra} if extra else {278: (4,), 279: (len(data),)}
    place = 8 + len(data) + len(data) % 2
    entries, far = b"", b""
    beyond = place + 2 + 12 * len(values) + 4
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"<{len(numbers)}H", *numbers)
        if len(packed) > 4:
            entries += struct.pack("<HHII", tag, 3, len(numbers), beyond + len(far))
            far += packed
        else:
            entries += struct.pack("<HHI", tag, 3, len(numbers)) + packed.ljust(4, b"\0")
    body = (b"II*\0" + struct.pack("<I", place) + data).ljust(place, b"\0")
    return body + struct.pack("<H", len(values)) + entries + bytes(4) + far


@pytest.mark.parametrize(
    ("bands", "extra", "photometric"),
    [
        (4, (0,), 2),
        (5, (0, 0), 2),
        (5, (2, 0), 2),
        (13, (0,) * 12, 1),
        (13, (0,) * 10, 2),
        (2, (0,), 1),
        (4, (0,) * 3, 1),
    ],
)
def test_bands_that_would_be_dropped_are_refused(bands: int, extra: tuple[int, ...], photometric: int) -> None:
    with pytest.raises(ImageError, match=rf"unsupported TIFF \({bands} bands") as raised:
        decode(layered(bands, extra, photometric=photometric))
    assert "damaged" not in str(raised.value)


@pytest.mark.parametrize(("bands", "extra", "photometric"), [(3, (), 2), (4, (2,), 2), (4, (1,), 2), (1, (), 1)])
def test_grey_colour_and_transparency_are_all_bands(bands: int, extra: tuple[int, ...], photometric: int) -> None:
    assert decode(layered(bands, extra, photometric=photometric)).size == (4, 4)


def test_unsupported_damaged_and_too_large_are_three_words() -> None:
    twelve = bytearray(encoded(gradient(), "JPEG"))
    twelve[twelve.index(b"\xff\xc0") + 4] = 12
    doubles = tiff(4, 4, 64, bytes(128), kind=3)
    webp = bytearray(tiff(4, 4, 8, bytes(16)))
    place = webp.index(struct.pack("<HHI", 259, 4, 1)) + 8
    for data in (bytes(twelve), doubles):
        with pytest.raises(ImageError, match="unsupported") as raised:
            decode(data)
        assert "damaged" not in str(raised.value) and "limit" not in str(raised.value)
    for compression, name in ((34712, "JPEG 2000"), (34887, "LERC"), (50001, "WEBP")):
        webp[place : place + 4] = struct.pack("<I", compression)
        with pytest.raises(ImageError, match=rf"unsupported TIFF \(compressed with {name}\)"):
            decode(bytes(webp))
    with pytest.raises(ImageError, match="the limit is"):
        decode(encoded(gradient(), "PNG"), limits=DecodeLimits(max_pixels=100))
    with pytest.raises(ImageError, match="damaged"):
        decode(encoded(gradient(), "PNG")[:80])


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "PPM"])
def test_formats_may_be_left_out(kind: str) -> None:
    with pytest.raises(ImageError, match=rf"not an image this reads \({kind}\)"):
        decode(encoded(gradient(), kind), limits=DecodeLimits(formats=WEB_FORMATS))
    with pytest.raises(InputError, match="formats"):
        DecodeLimits(formats=("JPG",))


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "PPM"])
def test_limits_hold_before_pixels_are_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(gradient(300, 200), kind)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="300 x 200 pixels, the limit is 10000"):
        decode(data, limits=DecodeLimits(max_pixels=10_000))


@pytest.mark.parametrize(
    ("head", "name"), [(b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"), (b"\xff\x0a", "JPEG XL"), (b"8BPS\0\1", "Photoshop")]
)
def test_other_formats_are_named_whatever_the_file_is_called(head: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=rf"not an image this reads \({name}\).*Fix: convert"):
        decode(head + bytes(60))

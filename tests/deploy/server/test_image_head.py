"""How large an image says it is, as Pillow reads it, and what is learnt from how long decoding took."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from effnet.deploy.server.image_head import NOTHING, ORDINARY, DecodingCost, ImageHead, image_head


def encoded(kind: str, size: tuple[int, int] = (523, 311), mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": b"Exif\0\0" + bytes(60_000)}),
        ("PNG", {}),
        ("PNG", {"mode": "1"}),
        ("GIF", {"mode": "L"}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"big_tiff": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"mode": "RGBA", "exif": b"Exif\0\0xx"}),
    ],
)
def test_every_format_says_its_size(kind: str, options: dict[str, object]) -> None:
    body = encoded(kind, **options)  # type: ignore[arg-type]
    assert image_head(body) == ImageHead(kind, 523 * 311)
    form = b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n' + body + b"\r\n--b--\r\n"
    assert image_head(form, form=True) == ImageHead(kind, 523 * 311)


def test_scans_of_a_progressive_jpeg_are_work() -> None:
    body = encoded("JPEG", progressive=True)
    assert image_head(body + b"\xff\xda" * 100).pixels >= 10 * 523 * 311


def test_of_several_files_the_largest_counts() -> None:
    def part(body: bytes) -> bytes:
        return b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n' + body + b"\r\n"

    form = part(encoded("PNG", (10, 10))) + part(encoded("GIF", (30, 30), "L")) + part(b"no image") + b"--b--\r\n"
    assert image_head(form, form=True) == ImageHead("GIF", 900)


@given(
    start=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", ""]), cut=st.integers(0, 400), tail=st.binary()
)
def test_whatever_comes_is_survived(start: str, cut: int, tail: bytes) -> None:
    body = (encoded(start, (9, 9)) if start else b"")[:cut] + tail
    for form in (False, True):
        assert image_head(body, form=form).pixels >= 0


def test_what_is_none_says_nothing() -> None:
    assert image_head(b"") == image_head(b"hello") == NOTHING
    assert image_head(b"\xff\xd8\xff" + b"\xff" * 100_000) == ImageHead("JPEG", 0)


def test_the_cost_of_a_pixel_is_learnt_by_format_and_within_bounds() -> None:
    cost, large = DecodingCost(), ImageHead("PNG", 10 * ORDINARY)
    before = cost.work(large)
    for _ in range(100):
        cost.learn(large, 2 * before)
    assert cost.work(large) == pytest.approx(2 * before * 9 / 10, rel=0.05)
    assert cost.work(ImageHead("JPEG", 10 * ORDINARY)) == before
    for _ in range(1000):
        cost.learn(large, 1e6)
    assert cost.work(large) <= 5 * before
    assert cost.work(ImageHead("PNG", ORDINARY)) == 0
    cost.learn(ImageHead("PNG", 100), 1e6)
    assert cost.work(large) <= 5 * before

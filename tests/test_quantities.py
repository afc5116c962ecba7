"""Numbers as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.errors import EffnetError, InputError
from effnet.quantities import billions, count_text, millions, parse_bytes, parse_count, size_text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("5288548", 5_288_548),
        ("5_288_548", 5_288_548),
        ("5.3M", 5_300_000),
        (" 10 m ", 10**7),
        ("0.39G", 390_000_000),
        ("0.39B", 390_000_000),
        ("400k", 400_000),
        ("1e9", 10**9),
        ("2T", 2 * 10**12),
    ],
)
def test_counts(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("64MB", 64_000_000),
        ("64MiB", 64 * 2**20),
        ("1.5gb", 1_500_000_000),
        ("512", 512),
        ("512 B", 512),
        ("1KiB", 1024),
    ],
)
def test_bytes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "-1", "M", "1MM", "1.M", "ten", "1,000", "nan", "inf", "1e999", "64MB", "0x10"])
def test_what_is_not_a_count(text: str) -> None:
    with pytest.raises(InputError, match=r"5\.3M"):
        parse_count(text)


@pytest.mark.parametrize("text", ["", "64M", "64 mega", "-64MB", "1.MB", "MB", "64 MiBi"])
def test_what_is_not_a_size(text: str) -> None:
    with pytest.raises(InputError, match="64MB or 64MiB"):
        parse_bytes(text)


@given(text=st.text(max_size=20))
def test_any_text_is_a_number_or_a_typed_error(text: str) -> None:
    for parse in (parse_count, parse_bytes):
        try:
            assert parse(text) >= 0
        except EffnetError as error:
            assert "\n" not in str(error)


def test_written_as_the_papers_do() -> None:
    assert (millions(5_288_548), billions(385_814_752)) == ("5.29M", "0.386G")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (640, "640"), (100_000, "100k"), (999_600, "1M"), (5_288_548, "5.29M"), (10**15, "1e+03T")],
)
def test_counts_in_the_unit_that_suits_them(count: int, text: str) -> None:
    assert count_text(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (64_000_000, "64.0 MB"), (999_960, "1.0 MB"), (10**16, "10000.0 TB")],
)
def test_sizes_in_the_unit_that_suits_them(count: int, text: str) -> None:
    assert size_text(count) == text


@given(count=st.integers(1, 10**14))
def test_what_is_written_reads_back(count: int) -> None:
    assert parse_count(count_text(count)) == pytest.approx(count, rel=0.006)
    assert parse_bytes(size_text(count).replace("bytes", "B")) == pytest.approx(count, rel=0.06)

"""Tables as plain text."""

from effnet.report.tables import text_table


def test_text_left_numbers_right_and_no_trailing_blanks() -> None:
    table = text_table(("name", "params"), [("b0", "5.29M"), ("resnet152", "60.19M")])
    assert table.splitlines() == [
        "name       params",
        "---------  ------",
        "b0          5.29M",
        "resnet152  60.19M",
    ]


def test_a_total_is_ruled_off() -> None:
    lines = text_table(("layer", "params"), [("a", "1"), ("total", "1")], footer=True).splitlines()
    assert lines[1] == lines[3] == "-----  ------"
    assert lines[4].startswith("total")


def test_wide_letters_take_two_columns() -> None:
    lines = text_table(("이름", "n"), [("망", "1"), ("abcdef", "2")]).splitlines()
    assert lines[0] == "이름    n"
    assert lines[2] == "망      1"


def test_what_is_spare_goes_first_where_it_is_narrow() -> None:
    headers, rows = ("name", "long header", "n", "m"), [("b0", "x", "1", "2")]
    assert text_table(headers, rows, width=40, spare=("long header",)).splitlines()[0] == "name  long header  n  m"
    lines = text_table(headers, rows, left=2, width=12, spare=("long header", "m")).splitlines()
    assert lines[0] == "name  n  m"
    assert lines[-1] == "(a wider terminal or --json also shows: long header)"

"""Pages are self-contained and safe with any text."""

import base64
import re
from html.parser import HTMLParser

from effnet.report import html


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def whole_page() -> str:
    hostile = "<script>alert('&\"')</script>"
    return html.page(
        hostile,
        [
            html.section(hostile, html.note(hostile), html.table([hostile, "b"], [[hostile, "1"]])),
            html.bars([(hostile, 2.0, "2"), ("half", 1.0, "1")]),
            html.cards([(b"\xff\xd8picture", hostile, html.note("ok"))]),
            html.picture(b"<svg/>", "image/svg+xml", hostile),
        ],
        subtitle=hostile,
    )


def test_pages_are_well_formed_and_need_nothing_else() -> None:
    parser = Tags()
    parser.feed(whole_page())
    assert parser.open == []
    assert parser.addresses and all(address.startswith("data:") for address in parser.addresses)


def test_texts_cannot_become_markup() -> None:
    page = whole_page()
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") >= 6


def test_pictures_survive_embedding() -> None:
    encoded = re.search(r"base64,([^']+)'", html.picture(b"\x00\xffdata", "image/png", "x"))
    assert encoded and base64.b64decode(encoded[1]) == b"\x00\xffdata"


def test_bars_are_relative_to_the_longest() -> None:
    widths = re.findall(r"width:([\d.]+)%", html.bars([("a", 4.0, "4"), ("b", 1.0, "1"), ("c", 0.0, "0")]))
    assert [float(w) for w in widths] == [100.0, 25.0, 0.0]
    assert html.bars([]) == ""


def test_bars_of_shares_are_relative_to_the_whole() -> None:
    widths = re.findall(r"width:([\d.]+)%", html.bars([("a", 0.3, "30 %"), ("b", 0.1, "10 %")], whole=1))
    assert [float(w) for w in widths] == [30.0, 10.0]


def test_code_in_a_note_is_not_broken_and_not_markup() -> None:
    assert html.note("give `a --b <c>`") == "<p class='note'>give <code>a --b &lt;c&gt;</code></p>"

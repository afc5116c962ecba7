"""The page, used in a real browser as a person would use it."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.server.running import Running, jpeg, running
from tests.deploy.server.webdriver import CHROMEDRIVER, CHROMIUM, Browser, browsing

pytestmark = pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium with its driver here")

READY = "document.documentElement.dataset.ready"
ANSWERED = "document.getElementById('answer').checkVisibility()"
FAILED = "document.getElementById('problem').checkVisibility()"
TOKEN = "a-token-of-24-characters"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--set", "decoders=1") as one:
        yield one


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def page(server: Running, browser: Browser) -> Browser:
    return opened(browser, server.url)


def opened(browser: Browser, url: str) -> Browser:
    browser.open(f"{url}/")
    browser.script("localStorage.clear(); sessionStorage.clear()")
    browser.open(f"{url}/")
    browser.wait_for(READY)
    browser.complaints()
    return browser


def picture(tmp_path: Path, colour: str = "green") -> str:
    path = tmp_path / f"{colour}.jpg"
    path.write_bytes(jpeg(colour))
    return str(path)


def hand_over(page: Browser, event: str, data: bytes, kind: str = "image/jpeg") -> None:
    """Drop or paste bytes as a file."""
    page.script(
        """
        const bytes = Uint8Array.from(atob(arguments[1]), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "a.jpg", { type: arguments[2] }));
        const event = arguments[0] === "paste"
          ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
          : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
        document.getElementById("drop").dispatchEvent(event);
        """,
        event,
        base64.b64encode(data).decode(),
        kind,
    )


def test_a_chosen_picture_is_answered(page: Browser, tmp_path: Path) -> None:
    page.type("#file", picture(tmp_path))
    page.wait_for(ANSWERED)
    assert page.text("#best") == "green"
    assert page.text("#share").endswith("%")
    assert page.script("return document.querySelectorAll('#bars li').length") == 3
    widths = page.script(
        "return [...document.querySelectorAll('.fill')].map((fill) => fill.getBoundingClientRect().width)"
    )
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 10 * widths[1]
    assert page.script("return document.getElementById('picture').naturalWidth") == 300
    assert not page.shows("#where"), "there is no model file to draw maps with"
    assert page.complaints() == []


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_dropped_and_pasted_pictures_are_answered(page: Browser, event: str) -> None:
    hand_over(page, event, jpeg("blue"))
    page.wait_for(ANSWERED)
    assert page.text("#best") == "blue"


def test_the_next_picture_replaces_the_first(page: Browser, tmp_path: Path) -> None:
    page.type("#file", picture(tmp_path, "red"))
    page.wait_for("document.getElementById('best').textContent === 'red'")
    page.type("#file", picture(tmp_path, "blue"))
    page.wait_for("document.getElementById('best').textContent === 'blue'")


def test_what_is_no_picture_is_explained(page: Browser, tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_bytes(b"this is no picture")
    page.type("#file", str(tmp_path / "no.jpg"))
    page.wait_for(FAILED)
    assert page.text("#what") == "This picture cannot be read."
    assert not page.shows("#again")
    page.type("#file", picture(tmp_path))
    page.wait_for(ANSWERED)
    assert not page.shows("#problem")


def test_the_languages_can_be_switched_at_any_moment(page: Browser, tmp_path: Path) -> None:
    assert page.text(".drop .large") == "Drop a picture here"
    page.type("#file", picture(tmp_path))
    page.wait_for(ANSWERED)
    page.click("[data-language=ko]")
    assert page.text("#timing").startswith("해독")
    assert page.script("return document.documentElement.lang") == "ko"
    page.script("location.reload()")
    page.wait_for(f"{READY} && document.documentElement.lang === 'ko'")
    assert page.text(".drop .large") == "여기에 사진을 놓으세요"
    page.click("[data-language=en]")
    assert page.text(".drop .large") == "Drop a picture here"


def test_every_word_exists_in_both_languages(page: Browser) -> None:
    keys = "[Object.keys(words), Object.keys(words.problems)].flat().sort()"
    english, korean = page.script(f"return Object.values(WORDS).map((words) => {keys})")
    assert english == korean
    used = page.script("return [...document.querySelectorAll('[data-words]')].map((place) => place.dataset.words)")
    assert set(used) <= set(english)


def test_a_korean_browser_gets_korean(server: Running, tmp_path: Path) -> None:
    with browsing(tmp_path / "profile", "ko-KR") as browser:
        page = opened(browser, server.url)
        assert page.text(".drop .large") == "여기에 사진을 놓으세요"


def test_nothing_is_cut_off_on_a_phone(page: Browser, tmp_path: Path) -> None:
    page.resize(360, 740)
    try:
        page.type("#file", picture(tmp_path))
        page.wait_for(ANSWERED)
        for language in ("en", "ko"):
            page.click(f"[data-language={language}]")
            assert page.script("return document.documentElement.scrollWidth") <= 360
    finally:
        page.resize(1200, 900)


def test_the_token_is_asked_for_and_used(browser: Browser, tmp_path: Path) -> None:
    with running("--set", f"token='{TOKEN}'", "--set", "decoders=1") as server:
        page = opened(browser, server.url)
        assert page.shows("#token")
        page.type("#file", picture(tmp_path))
        page.wait_for(FAILED)
        assert "token" in page.text("#what")
        page.type("#secret", TOKEN)
        page.click("#token button")
        page.wait_for(ANSWERED)
        assert page.text("#best") == "green"
        assert TOKEN not in page.script("return document.documentElement.outerHTML")
        assert "Authorization" in page.script("return document.getElementById('curl').textContent")


def test_a_server_that_is_gone_is_explained(browser: Browser, tmp_path: Path) -> None:
    with running("--set", "decoders=1") as server:
        page = opened(browser, server.url)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        page.type("#file", picture(tmp_path))
        page.wait_for(FAILED)
        assert page.text("#what") == "The server does not answer."
        assert page.shows("#again")

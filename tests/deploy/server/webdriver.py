"""A browser, driven over the WebDriver protocol that chromedriver speaks: enough of it to use a page."""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client = client
        self._session = session

    def _do(self, command: str, **values: Any) -> Any:
        answer = self._client.post(f"/session/{self._session}/{command}", json=values)
        content = answer.json()["value"]
        if answer.status_code != 200:
            raise AssertionError(f"{command}: {content['error']}: {content['message'][:300]}")
        return content

    def open(self, url: str) -> None:
        self._do("url", url=url)

    def script(self, code: str, *arguments: Any) -> Any:
        return self._do("execute/sync", script=code, args=list(arguments))

    def element(self, css: str) -> str:
        return str(self._do("element", using="css selector", value=css)[_ELEMENT])

    def click(self, css: str) -> None:
        self._do(f"element/{self.element(css)}/click")

    def type(self, css: str, text: str) -> None:
        self._do(f"element/{self.element(css)}/value", text=text)

    def text(self, css: str) -> str:
        """Return the text that a person sees; nothing where the element is hidden."""
        return str(self.script("return document.querySelector(arguments[0]).innerText", css))

    def shows(self, css: str) -> bool:
        return bool(self.script("return document.querySelector(arguments[0]).checkVisibility()", css))

    def wait_for(self, code: str, seconds: float = 20) -> Any:
        """Wait until the JavaScript expression is true."""
        until = time.monotonic() + seconds
        while not (value := self.script(f"return {code}")):
            assert time.monotonic() < until, f"{code} did not become true"
            time.sleep(0.05)
        return value

    def resize(self, width: int, height: int) -> None:
        self._do(
            "goog/cdp/execute",
            cmd="Emulation.setDeviceMetricsOverride",
            params={
                "width": width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": width < 600,
            },
        )

    def complaints(self) -> list[str]:
        """Return what the browser's console says: blocked resources and errors."""
        return [entry["message"] for entry in self._do("se/log", type="browser")]

    def screenshot(self, path: Path) -> None:
        answer = self._client.get(f"/session/{self._session}/screenshot")
        path.write_bytes(base64.b64decode(answer.json()["value"]))


@contextlib.contextmanager
def browsing(profile: Path, language: str = "en-US", *, dark: bool = False) -> Iterator[Browser]:
    """Start a browser that prefers a language."""
    assert CHROMIUM is not None
    assert CHROMEDRIVER is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen(
        [CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            _wait_until_ready(client)
            flags = (
                "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
                "--disable-component-update --disable-sync --hide-scrollbars"
            )
            options = {
                "binary": CHROMIUM,
                "args": [
                    *flags.split(),
                    f"--user-data-dir={profile}",
                    f"--lang={language}",
                    "--window-size=1200,900",
                    *(["--force-dark-mode"] if dark else []),
                ],
                "prefs": {"intl.accept_languages": language},
            }
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            started = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
            assert "sessionId" in started, started
            try:
                yield Browser(client, started["sessionId"])
            finally:
                client.delete(f"/session/{started['sessionId']}")
    finally:
        driver.terminate()
        driver.wait(10)


def _wait_until_ready(client: httpx.Client) -> None:
    for _ in range(200):
        with contextlib.suppress(httpx.TransportError):
            if client.get("/status").json()["value"]["ready"]:
                return
        time.sleep(0.05)
    raise AssertionError("chromedriver does not start")

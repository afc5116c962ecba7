"""Bring one file over HTTPS so that a whole, proved file arrives or nothing does.

What has arrived is kept in `FILE.part`, so a cut connection, Ctrl-C or a kill costs only what is missing: the next
attempt asks for the rest, on the condition (If-Range) that the file has not changed meanwhile. The caller holds a
lock on `path`; nothing the server says decides where anything is written.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from effnet.errors import DownloadError
from effnet.quantities import size_text
from effnet.weights.atomic import StorageError, replace, require_room, typed_os_errors
from effnet.weights.digest import Expected, WrongFileError, measure, mismatch

Progress = Callable[[int, int | None], None]
"""Called with the bytes that have arrived and, when known, the bytes in all."""

TIMEOUT = 30.0
"""Seconds of silence after which a connection counts as dead."""

RETRIES = 4
"""Failures in a row, without a byte of progress, after which we give up."""

PAUSE = 0.5
"""Seconds before the first retry; doubles each time."""

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers that may pass."""

_CHUNK = 1 << 18
_LONGEST_PAUSE = 30.0
_LARGEST = 16 << 30  # bytes; the largest published file (a TensorFlow checkpoint of L2) is a few GB


class _TryAgainError(Exception):
    """A failure that may pass; `after` is what the server asks us to wait, in seconds."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


def download(
    url: str,
    path: Path,
    *,
    expected: Expected,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    pause: float = PAUSE,
) -> str:
    """Bring `url` to `path` and return the sha256 of what arrived.

    Args:
        url: https; plain http only to this machine.
        path: where to put it; its folder exists.
        expected: what it must be.
        progress: told how far it is.
        timeout: seconds of silence before a connection counts as dead.
        retries: failures in a row to bear.
        pause: seconds before the first retry, doubling.

    Raises:
        DownloadError: unreachable or refused; what has arrived is kept for the next attempt.
        WrongFileError: what came back is not what was `expected`; it is removed.
        StorageError: no room or no permission.
    """
    check_url(url)
    part = path.with_name(f"{path.name}.part")
    report = progress or (lambda done, total: None)
    with typed_os_errors(path):
        while True:
            resumed = _fetch_all(url, part, expected, report, timeout, retries, pause)
            measured = measure(part, md5=expected.md5 is not None)
            problem = mismatch(measured, expected)
            if problem is None:
                break
            _discard(part)
            if not resumed:
                fix = "try again; if it stays wrong, the publisher changed the file: do not use it"
                raise WrongFileError(f"what came back is not what was published: {problem}", where=shown(url), fix=fix)
            # Remains of an earlier attempt (a power loss can leave holes in them) deserve one clean try.
        replace(part, path)
    _notes(part).unlink(missing_ok=True)
    return measured.sha256


def check_url(url: str) -> None:
    """Refuse what is not https, unless it is http to this machine.

    Raises:
        DownloadError: another scheme, no host, or a password in the address.
    """
    try:
        parts = urlsplit(url)
        host, _port, secret = parts.hostname or "", parts.port, parts.username or parts.password
    except ValueError:
        raise DownloadError("not an address", where=shown(url), fix="use an https:// address") from None
    if secret is not None:
        raise DownloadError("the address has a password in it", where=shown(url), fix="use an address without one")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
        raise DownloadError("not a secure address", where=shown(url), fix="use an https:// address")


def shown(url: str) -> str:
    """The address without what may be secret (user, password, query) or may upset a terminal."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        text = f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
    except ValueError:
        return "the address"
    return printable(text)


def printable(text: str) -> str:
    """What strangers send us, without control characters and not too long, on one line."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:300]


def _fetch_all(
    url: str, part: Path, expected: Expected, report: Progress, timeout: float, retries: int, pause: float
) -> bool:
    """Attempt until the part is whole; return whether it contains bytes from before this call."""
    before = _kept(part)[0]
    best, failures = before, 0
    while True:
        try:
            _attempt(url, part, expected, report, timeout)
        except _TryAgainError as error:
            done = _kept(part)[0]
            failures = 0 if done > best else failures + 1
            best = max(best, done)
            if failures > retries:
                fix = "check the network and run it again: what has arrived is kept"
                raise DownloadError(f"the download failed: {error}", where=shown(url), fix=fix) from None
            wait = error.after if error.after is not None else pause * 2**failures
            time.sleep(min(wait, _LONGEST_PAUSE))
        except StorageError:
            _discard(part)  # it fills a disk that is already full
            raise
        else:
            return before > 0


def _attempt(url: str, part: Path, expected: Expected, report: Progress, timeout: float) -> None:
    have, validator, total = _kept(part)
    if have and have == total:
        return  # killed between the last byte and the rename
    headers = {"User-Agent": "effnet", "Accept-Encoding": "identity"}
    if have and validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    with _open(url, headers, timeout, part) as response:
        start, total = _placement(response, have, part)
        _check_total(total, expected, url)
        with typed_os_errors(part):
            _notes(part).write_text(json.dumps({"validator": _validator(response), "total": total}), encoding="utf-8")
        if total is not None:
            require_room(part.parent, total - start, where=str(part))
        done = _receive(response, part, start, total, report, url)
    if total is not None and done < total:
        raise _TryAgainError(f"the connection closed after {size_text(done)} of {size_text(total)}")


def _open(url: str, headers: dict[str, str], timeout: float, part: Path) -> Any:
    with _network_errors(url):
        try:
            return _opener(url).open(urllib.request.Request(url, headers=headers), timeout=timeout)
        except urllib.error.HTTPError as error:
            if error.code != 416 or "Range" not in headers:
                raise
            error.close()
            _discard(part)
            raise _TryAgainError("the file there is now shorter than what had arrived") from None


def _receive(response: Any, part: Path, start: int, total: int | None, report: Progress, url: str) -> int:
    done = start
    report(done, total)
    with typed_os_errors(part), part.open("r+b" if start else "wb") as file:
        file.seek(start)
        while True:
            with _network_errors(url):
                chunk = response.read1(_CHUNK)
            if not chunk:
                return done
            done += len(chunk)
            if done > (_LARGEST if total is None else total):
                _discard(part)
                raise DownloadError("more bytes than announced", where=shown(url), fix="try another mirror")
            file.write(chunk)
            report(done, total)


def _placement(response: Any, have: int, part: Path) -> tuple[int, int | None]:
    """Return where the body belongs in the file, and the size of the whole file when it is told."""
    if response.status == 200:  # no ranges here, or the file has changed: from the start
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    place, _, size = span.partition("/")
    if response.status == 206 and unit == "bytes" and place.partition("-")[0] == str(have):
        return have, int(size) if size.isdigit() else None
    _discard(part)
    raise _TryAgainError(f"the server answered {response.status} with another range than asked for")


def _check_total(total: int | None, expected: Expected, url: str) -> None:
    if total is None:
        return
    if expected.size is not None and total != expected.size:
        what = f"what is there is not what was published: it has {total} bytes, expected {expected.size}"
        raise WrongFileError(what, where=shown(url), fix="try another mirror")
    if total > _LARGEST:
        raise DownloadError(f"{size_text(total)} is too large", where=shown(url), fix="check the address")


@contextlib.contextmanager
def _network_errors(url: str) -> Iterator[None]:
    """Sort what the network can do wrong into what may pass and what will not."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            _raise_status(error, url)
    except urllib.error.URLError as error:
        _raise_reason(error.reason, url)
    except (OSError, http.client.HTTPException) as error:
        _raise_reason(error, url)
    except ValueError:  # a redirect to something that is not an address
        raise DownloadError("redirects to nowhere", where=shown(url), fix="try another mirror") from None


def _raise_status(error: urllib.error.HTTPError, url: str) -> None:
    if error.code in TRANSIENT:
        after = error.headers.get("Retry-After", "")
        raise _TryAgainError(f"the server answered {error.code}", float(after) if after.isdigit() else None)
    fix = "the publisher moved or closed it: set EFFNET_MIRROR, or get the file elsewhere"
    meaning = http.client.responses.get(error.code, "")  # the server's own words may hold anything
    raise DownloadError(f"the server answered {error.code} {meaning}".rstrip(), where=shown(url), fix=fix)


def _raise_reason(reason: object, url: str) -> None:
    if isinstance(reason, ssl.SSLCertVerificationError):
        fix = "install your system's CA certificates, or set SSL_CERT_FILE"
        raise DownloadError(f"its certificate is not trusted: {reason.verify_message}", where=shown(url), fix=fix)
    if isinstance(reason, socket.gaierror):
        fix = "check the network connection"
        raise DownloadError("its host was not found", where=shown(url), fix=fix)
    if isinstance(reason, TimeoutError):
        raise _TryAgainError("the server fell silent")
    if isinstance(reason, http.client.HTTPException):
        raise _TryAgainError(f"the answer is broken ({type(reason).__name__})")
    raise _TryAgainError(printable(str(reason)) or type(reason).__name__)


class _HonestRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects as long as none gives up encryption."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        check_url(newurl)
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadError("redirects to an insecure address", where=shown(req.full_url), fix="try another mirror")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    # Built by hand: the default opener also follows file: and ftp: addresses.
    opener = urllib.request.OpenerDirector()
    proxies: dict[str, str] | None = None  # as the environment says
    if _is_loopback(urlsplit(url).hostname or ""):
        proxies = {}
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _HonestRedirects(),
    ):
        opener.add_handler(handler)
    return opener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _kept(part: Path) -> tuple[int, str | None, int | None]:
    """Return the bytes that can be resumed, what identifies their version, and the size of the whole file."""
    try:
        notes = json.loads(_notes(part).read_text(encoding="utf-8"))
        validator, total = notes["validator"], notes["total"]
        size = part.stat().st_size
    except (OSError, ValueError, LookupError, TypeError):
        return 0, None, None
    return (size, str(validator), total) if validator else (0, None, None)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _validator(response: Any) -> str | None:
    # RFC 9110 13.1.5: only a strong ETag, or a date, may condition a range.
    etag: str = response.headers.get("ETag", "")
    date: str | None = response.headers.get("Last-Modified")
    return etag if etag.startswith('"') else date

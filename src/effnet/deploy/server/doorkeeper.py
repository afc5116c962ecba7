"""Whether a request is meant for this server: its Host, and, where a browser sends it, the page that it comes from.

A page from anywhere can have its visitor's browser ask a server on the visitor's own machine. It cannot read answers of
another origin, but it can spend the processor; and one whose name was turned to this machine's address is of the same
origin and can read, which only its Host tells.
"""

from __future__ import annotations

import functools
import re
from urllib.parse import urlsplit

from starlette.types import Scope

from effnet.deploy.server.request_error import RequestError
from effnet.deploy.server.settings import ServerSettings, is_loopback

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::\d*)?", re.ASCII)

_PROBES = frozenset(("/healthz", "/readyz"))
"""What tells nothing and is asked under any name, by machines that look after this one."""

_OWN_PAGES = (b"same-origin", b"none")
"""What a browser says in Sec-Fetch-Site of this server's page, and of what a person typed; a page cannot change it."""


class Doorkeeper:
    """Knows the names of the server."""

    def __init__(self, settings: ServerSettings) -> None:
        names = (*settings.names, settings.host, f"[{settings.host.strip('[]')}]")
        self._names = frozenset(name.lower() for name in names)
        self._guarded = settings.token is not None
        self._checks_host = bool(settings.names) or is_loopback(settings.host)

    def check(self, scope: Scope) -> None:
        """Let a request pass.

        Raises:
            RequestError: 400 without exactly one Host, 403 from the page of another site, 421 under another name.
        """
        host = origin = site = None
        for name, value in scope["headers"]:
            if name == b"host":
                if host is not None:
                    raise RequestError(400, "the request has two Hosts", fix="send one")
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if host is None and scope["http_version"] not in ("1.0", "0.9"):
            raise RequestError(400, "the request has no Host", fix="send the header Host")
        if self._checks_host and host is not None and not self._is_ours(host, scope["path"]):
            fix = "use the address that the server shows; if it has another name, start it with --name"
            raise RequestError(421, "the Host is not this server", fix=fix)
        if scope["method"] not in ("GET", "HEAD") and not _is_own_page(origin, site, host):
            raise RequestError(403, "the request comes from the page of another site", fix="use the server's own page")

    def _is_ours(self, host: bytes, path: str) -> bool:
        name = _name(host)
        return (name is not None and (name in self._names or is_loopback(name))) or (self._guarded and path in _PROBES)


def _is_own_page(origin: bytes | None, site: bytes | None, host: bytes | None) -> bool:
    if site is not None:
        return site.strip().lower() in _OWN_PAGES
    return origin is None or (host is not None and _is_origin_of(origin, host))


@functools.lru_cache(maxsize=64)
def _is_origin_of(origin: bytes, host: bytes) -> bool:
    try:
        parts = urlsplit(origin.decode("latin-1").strip().lower())
        port = parts.port
    except ValueError:
        return False
    default = {"http": 80, "https": 443}.get(parts.scheme)
    if default is None or parts.hostname is None:
        return False
    name, _, given = host.decode("latin-1").strip().lower().rpartition(":")
    if not given.isdigit():
        name, given = host.decode("latin-1").strip().lower().rstrip(":"), ""
    return name.strip("[]") == parts.hostname and (int(given) if given else default) == (port or default)


@functools.lru_cache(maxsize=64)
def _name(host: bytes) -> str | None:
    found = _HOST.fullmatch(host.decode("latin-1").strip())
    return None if found is None else found[1].lower()

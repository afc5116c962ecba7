"""What a server may be told, as one value."""

from __future__ import annotations

import functools
import ipaddress
import math
import os
import re
from dataclasses import dataclass
from typing import Literal, get_args

from effnet.deploy.server.clients import Network, proxy_network
from effnet.errors import InputError

AccessLog = Literal["text", "json", "none"]

_NAME = re.compile(r"[\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\]", re.ASCII)

MIN_TOKEN = 16
"""Characters of a token: fewer could be guessed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where a server listens and what it grants.

    Attributes:
        host: address to listen on; anything but loopback needs a token.
        port: 0 takes a free one.
        names: under which clients may know the server, beside `host` and the addresses of this machine (the Host of a
            request). With none of them, and a `host` that other machines reach, any name will do.
        token: what clients must send as `Authorization: Bearer TOKEN`; None: no question asked.
        max_batch: images that the engine may see at once.
        deadline: seconds from a request's last byte to its answer; None: ten times what one image takes, at least 1.
        queue: requests inside at once, whatever the deadline would allow.
        client_rate: predictions and heat maps a second that one client may ask for in the long run; None: no limit.
        client_burst: how many of them at once after a pause.
        client_inside: requests of one client at once, those with a body still coming included; None: no limit.
        proxies: addresses and networks whose X-Forwarded-For names the client; of others it is not read.
        decoders: child processes that decode images; None: one a core, at most 4.
        connections: open at once; more are refused, unless a client that is waited for makes room.
        max_bytes: of a request's body.
        max_pixels: of an image, width times height.
        decoder_memory: bytes that decoding one image may take.
        header_seconds: for the head of a request, and for an idle connection.
        body_seconds: for a whole body.
        body_rate: bytes a second that a body must come with, after the first `body_grace` seconds.
        body_grace: seconds.
        answer_seconds: in which a client must have taken as much of what it was sent as `body_rate` asks for; else it
            is closed.
        buffered: bytes of all bodies being received together.
        drain_seconds: what requests inside get to finish after SIGTERM.
        opening_seconds: that a model may take to be opened and run for the first time.
        access_log: a line a request on standard error, or none.

    Raises:
        InputError: a value is impossible, or the server would be open to other machines without a token.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    names: tuple[str, ...] = ()
    token: str | None = None
    max_batch: int = 8
    deadline: float | None = None
    queue: int = 64
    client_rate: float | None = None
    client_burst: int = 10
    client_inside: int | None = None
    proxies: tuple[str, ...] = ()
    decoders: int | None = None
    connections: int = 1024
    max_bytes: int = 32 << 20
    max_pixels: int = 1 << 26
    decoder_memory: int = 1 << 30
    header_seconds: float = 5.0
    body_seconds: float = 60.0
    body_rate: float = 8192.0
    body_grace: float = 4.0
    answer_seconds: float = 4.0
    buffered: int = 256 << 20
    drain_seconds: float = 25.0
    opening_seconds: float = 120.0
    access_log: AccessLog = "text"

    def __post_init__(self) -> None:
        """Refuse what cannot work, and what would be unsafe."""
        _within("port", self.port, 0, 65535)
        for name, most in (
            ("max_batch", 1024),
            ("queue", 1 << 16),
            ("client_burst", 1 << 16),
            ("connections", 1 << 16),
        ):
            _within(name, getattr(self, name), 1, most)
        for name, most in (("decoders", 256), ("client_inside", 1 << 16)):
            if getattr(self, name) is not None:
                _within(name, getattr(self, name), 1, most)
        for name in ("max_bytes", "max_pixels", "buffered"):
            _within(name, getattr(self, name), 1, 1 << 40)
        _within("decoder_memory", self.decoder_memory, 1 << 26, 1 << 40)
        for name in ("deadline", "client_rate"):
            if getattr(self, name) is not None:
                _above_zero(name, getattr(self, name))
        for name in ("header_seconds", "body_seconds", "body_rate", "body_grace", "answer_seconds", "drain_seconds"):
            _above_zero(name, getattr(self, name))
        _above_zero("opening_seconds", self.opening_seconds)
        for text in self.proxies:
            _network(text)
        for name in self.names:
            if not _NAME.fullmatch(name):
                raise InputError(f"{name!r} is no name of a host", where="names", fix="give one such as photos.example")
        if self.access_log not in get_args(AccessLog):
            choices = ", ".join(get_args(AccessLog))
            raise InputError(f"access log {self.access_log!r}", where="access_log", fix=f"use one of {choices}")
        _require_safe(self.host, self.token)

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """The trusted proxies, as networks."""
        return tuple(_network(text) for text in self.proxies)

    @property
    def decoder_count(self) -> int:
        """How many children decode."""
        return self.decoders if self.decoders is not None else min(4, _cores())


@functools.lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _require_safe(host: str, token: str | None) -> None:
    if token is None:
        if not is_loopback(host):
            raise InputError(
                "would be open to other machines without a token",
                where=f"host {host}",
                fix=f"give --token or EFFNET_TOKEN ({MIN_TOKEN} characters or more), or listen on 127.0.0.1",
            )
        return
    if len(token) < MIN_TOKEN or not all("!" <= character <= "~" for character in token):
        fix = "use `python -c 'import secrets; print(secrets.token_urlsafe())'`"
        raise InputError(f"shorter than {MIN_TOKEN} printable ASCII characters", where="token", fix=fix)


def _network(text: str) -> Network:
    try:
        return proxy_network(text)
    except ValueError:
        fix = "give an address or a network, such as 10.0.0.5 or 10.0.0.0/8"
        raise InputError(f"{text!r} is no network", where="proxies", fix=fix) from None


def _within(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} is {value!r}", where=name, fix=f"give a whole number from {low} to {high}")


def _above_zero(name: str, value: object) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    if not good:
        raise InputError(f"{name} is {value!r}", where=name, fix="give a number above 0")


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

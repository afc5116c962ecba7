"""One client's share: how often it may ask, and how much it may have inside, so that it cannot take all of a server.

`admission` sees requests, not who sends them: whoever sends most gets most of what there is, and whoever uploads slowly
enough holds the memory of all. What is refused there is the server's business (503); what is refused here is the
client's own (429). Both limits are off until an operator sets them: behind a proxy that is not configured, and on
loopback, all clients have one address.
"""

from __future__ import annotations

import functools
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_KNOWN = 10_000
"""Clients whose last requests are remembered; whoever has so many addresses is not held by a limit for each."""

_HOME_BITS = 64
"""Of an IPv6 address: what a provider gives to one customer, who may choose the rest freely."""

_RETRY = 1.0
"""Seconds to wait where it is not known how long: until one of the client's own requests is answered."""


class Clients:
    """Counts what each client asks.

    Time is in seconds of any clock that never goes back; the caller passes it in.
    """

    def __init__(self, *, rate: float | None, burst: int, inside: int | None) -> None:
        """Set the limits.

        Args:
            rate: requests a second that a client may make in the long run; None: any number.
            burst: requests that it may make at once after a pause.
            inside: requests of one client at once, those with a body still coming included; None: any number.
        """
        self._spacing = None if rate is None else 1 / rate
        self._slack = 0.0 if rate is None else (burst - 1) / rate
        self._most_inside = inside
        self._inside: Counter[str] = Counter()
        # When a client would be even with its rate if it asked nothing more; the longest silent ones come first.
        self._even_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._even_at.keys() | self._inside.keys())

    def enter(self, client: str, now: float) -> float | None:
        """Admit a request, or return the seconds after which this client may try again; a refusal costs it nothing."""
        if self._most_inside is not None and self._inside[client] >= self._most_inside:
            return _RETRY
        if self._spacing is not None:
            even_at = max(now, self._even_at.get(client, now))
            excess = even_at - now - self._slack
            if excess > 1e-9 * self._spacing:
                return excess
            self._even_at[client] = even_at + self._spacing
            self._even_at.move_to_end(client)
            if len(self._even_at) > MOST_KNOWN:
                self._even_at.popitem(last=False)
        self._inside[client] += 1
        return None

    def leave(self, client: str) -> None:
        """Count a request out."""
        self._inside[client] -= 1
        if self._inside[client] <= 0:
            del self._inside[client]


def client_address(peer: str | None, forwarded: Sequence[str], proxies: Sequence[Network]) -> str:
    """Return the address that a request comes from, or "unknown".

    Args:
        peer: address at the other end of the connection; None where there is none.
        forwarded: values of X-Forwarded-For in the order of the request; read only if the peer is one of `proxies`,
            from the end, where the proxies that are ours have written. What a client itself wrote there is never
            believed.
        proxies: networks of the proxies that are ours.
    """
    address = _address(peer or "")
    if address is None or not forwarded:
        return _shown(peer)
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    while _is_in(address, proxies) and hops:
        before = _address(hops.pop())
        if before is None:
            break  # our proxy passes on what it does not understand: then it answers for it
        address = before
    return str(address)


@functools.lru_cache(maxsize=256)
def _shown(peer: str | None) -> str:
    address = _address(peer or "")
    return (peer or "unknown") if address is None else str(address)


@functools.lru_cache(maxsize=256)
def client_name(address: str) -> str:
    """Return what tells one client from another: its address, of IPv6 the network of 64 bits."""
    parsed = _address(address)
    if parsed is None or parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, _HOME_BITS), strict=False))


def proxy_network(text: str) -> Network:
    """Return the network that an address, or a network such as 10.0.0.0/8, means; raises ValueError for others."""
    return ipaddress.ip_network(text, strict=False)


@functools.lru_cache(maxsize=256)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)

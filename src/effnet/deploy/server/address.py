"""The socket that a server listens on: bound before anything else, so that a taken port is known at once."""

from __future__ import annotations

import socket

from effnet.deploy.server.settings import ServerSettings
from effnet.errors import InputError

_SEND_BUFFER = 1 << 18
"""Bytes of answers that the system keeps for a client; of what it does not keep, one answer is here and no more."""


def bound(settings: ServerSettings) -> socket.socket:
    """Return a socket bound to the settings' address.

    Raises:
        InputError: it cannot be used.
    """
    # The name is the only one that is not an address; the system's calls take IPv6 without its brackets.
    host = "127.0.0.1" if settings.host == "localhost" else settings.host.strip("[]")
    # The protocol is named so that asyncio knows it, and sends each part of an answer at once: else the second one
    # waits for the client's delayed acknowledgement of the first, 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # connections inherit it
        bound.bind((host, settings.port))
    except OSError as error:
        bound.close()
        raise cannot_listen(settings, error) from None
    return bound


def cannot_listen(settings: ServerSettings, error: OSError) -> InputError:
    """Return what to raise for an address that the system refuses."""
    where = f"{settings.host}:{settings.port}"
    reason = error.strerror or str(error)
    return InputError(f"cannot listen: {reason}", where=where, fix="choose another --port or --host")

"""What a server asks of the process that it runs in, before it listens."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

from effnet.deploy.server.settings import ServerSettings
from effnet.errors import InputError

ACCEPTED_AT_ONCE = 64
"""Connections taken before any of them is counted: so many descriptors may be open beyond those granted."""

_OWN, _OF_A_DECODER = 40, 4
"""Descriptors of the process itself, its model and its reloads, and of each child."""

_TURNS = 3
"""Of the event loop from taking a connection to closing it."""


def open_standard_streams() -> None:
    """Give a process that was started without standard streams others, which lead nowhere.

    Else the next file or connection becomes the standard error stream, and libraries write into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


def with_descriptors(settings: ServerSettings) -> ServerSettings:
    """Raise this process's limit of descriptors as far as needed and allowed; return settings that fit into it.

    A connection that cannot be taken for want of a descriptor is neither served nor refused, and asyncio would try
    again without end.

    Raises:
        InputError: there is no room for a single connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = _OWN + _OF_A_DECODER * settings.decoder_count
    needed = others + _TURNS * ACCEPTED_AT_ONCE + settings.connections
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return settings
    room = soft - others - _TURNS * accepted_at_once(soft)
    if room < 1:
        fix = f"raise `ulimit -n` to {needed}"
        raise InputError(f"{soft} descriptors are too few for a connection", where="limit of open files", fix=fix)
    return replace(settings, connections=min(room, settings.connections))


def accepted_at_once(descriptors: int) -> int:
    """Return how many connections to take before any is counted, in a process that may have so many descriptors."""
    if descriptors == resource.RLIM_INFINITY:
        return ACCEPTED_AT_ONCE
    return max(1, min(ACCEPTED_AT_ONCE, (descriptors - _OWN) // 16))

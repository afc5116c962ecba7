"""One line a request, and one for what happens to the server, as text for people or JSON for machines."""

from __future__ import annotations

import datetime
import json
import math
import queue
import sys
import threading
import time
from typing import IO, Any

from effnet.deploy.server.settings import AccessLog

_ROOM = 10_000
"""Lines that may wait for a slow reader; more are dropped and counted, because a log must not stop the server."""


_QUIET = 10.0
"""Seconds between two lines about the same trouble."""


_KINDS = 100
"""Kinds of trouble that are told apart."""


class Log:
    """Writes lines in a thread of its own.

    Attributes:
        dropped: lines for which there was no room.
    """

    def __init__(self, kind: AccessLog, out: IO[str] | None = None) -> None:
        """Write to `out`, or standard error."""
        self.dropped = 0
        self._kind = kind
        self._out = sys.stderr if out is None else out
        self._troubles: dict[str, tuple[float, int]] = {}
        self._lines: queue.Queue[str | None] = queue.Queue(_ROOM)
        self._thread = threading.Thread(target=self._write, name="effnet-log", daemon=True)
        self._thread.start()

    @property
    def of_requests(self) -> bool:
        """Whether requests have lines; where they have none, nothing need be prepared for them."""
        return self._kind != "none"

    def request(self, **fields: Any) -> None:
        """Log a request: method, path, status, ms, bytes, client and, for a prediction, where its time went."""
        if self.of_requests:
            self._put("request", fields)

    def event(self, name: str, **fields: Any) -> None:
        """Log what happened to the server: started, reloaded, stopping."""
        self._put(name, fields)

    def trouble(self, name: str, kind: str, **fields: Any) -> None:
        """Log what may happen again and again: a line in ten seconds for each kind, with how many there were."""
        now = time.monotonic()
        last, count = self._troubles.get(kind, (-math.inf, 0))
        if now - last < _QUIET or len(self._troubles) > _KINDS:
            self._troubles[kind] = (last, count + 1)
            return
        self._troubles[kind] = (now, 0)
        self._put(name, {"kind": kind, **fields, "more": count or None})

    def close(self) -> None:
        """Write what waits, for at most two seconds."""
        try:
            self._lines.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(1)

    def _put(self, event: str, fields: dict[str, Any]) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._kind == "json":
            line = json.dumps({"time": now, "event": event, **fields}, ensure_ascii=True)
        else:
            shown = " ".join(f"{name}={_plain(value)}" for name, value in fields.items() if value is not None)
            line = f"{now} {event} {shown}"
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._out.write(line + "\n")
                self._out.flush()
            except (OSError, ValueError):
                self.dropped += 1


def _plain(value: object) -> str:
    text = str(value)
    if text and text.isascii() and text.isprintable() and " " not in text and '"' not in text:
        return text
    return json.dumps(text)

"""Ctrl-C during work with threads: obeyed between two results, not in the middle of a lock."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """Inside the `with`, a first Ctrl-C is noted until `obey`; a second one is obeyed at once.

    Python raises KeyboardInterrupt between any two steps of the main thread, also inside the locks of a pool of
    threads, which are written in Python: three of about 3,400 interrupts left one in a wrong state. Then the program
    ends with a traceback, or may wait for ever. Elsewhere than in the main thread this notes nothing.
    """

    def __init__(self) -> None:
        self._noted = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        """Start to listen."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        """Put back who listened before."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def obey(self) -> None:
        """Stop here if that was asked.

        Raises:
            KeyboardInterrupt: it was.
        """
        if self._noted:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted:
            raise KeyboardInterrupt
        self._noted = True
        if sys.stderr.isatty():  # a batch of a large network may take a while
            os.write(2, b"\neffnet: stopping after this batch; Ctrl-C again stops at once\n")

"""Being asked to stop: the run ends at the next step, with a checkpoint, instead of wherever it happens to be."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from effnet.errors import EffnetError

_ASKING = (signal.SIGTERM, signal.SIGINT)


class InterruptedRunError(EffnetError):
    """The run was asked to stop, and did so after saving a checkpoint.

    Attributes:
        signal: the number of the signal; the command exits with 128 + it, as shells expect.
    """

    def __init__(self, number: int, *, where: str, fix: str) -> None:
        """Say which signal, in which run, and how to go on."""
        super().__init__(f"stopped by {signal.Signals(number).name}; a checkpoint is saved", where=where, fix=fix)
        self.signal = number
        self.exit_code = 128 + number

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way between processes."""
        return _again, (self.signal, self.where, self.fix)


def _again(number: int, where: str, fix: str) -> InterruptedRunError:
    return InterruptedRunError(number, where=where, fix=fix)


class StopRequests:
    """Inside the `with`, SIGTERM and Ctrl-C are noted instead of obeyed; a second Ctrl-C is obeyed at once.

    Python delivers signals to the main thread only; elsewhere this notes nothing.

    Attributes:
        received: number of the first signal; 0 while there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequests:
        """Start to listen."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _ASKING}
        return self

    def __exit__(self, *error: object) -> None:
        """Put back who listened before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or number

"""Calls that may not come back: a bundle's graph is a program, and no runtime says beforehand whether it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Generic, TypeVar

from effnet.errors import WeightsError

Result = TypeVar("Result")


class Limited(Generic[Result]):
    """A call in a thread of its own, which is left alone when it takes too long: nothing can end a thread from outside.

    Attributes:
        seconds: that it may take.
    """

    def __init__(self, call: Callable[[], Result], seconds: float) -> None:
        """Begin the call; the thread keeps no process alive."""
        self.seconds = seconds
        self._done: Future[Result] = Future()
        self._thread = Thread(target=self._run, args=(call,), name="effnet-limited", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it has not come back yet."""
        return self._thread.is_alive()

    def wait(self) -> Result:
        """Return what the call returns, or raise what it raises.

        Raises:
            WeightsError: it takes too long.
        """
        try:
            return self._done.result(self.seconds)
        except TimeoutError:
            if self._done.done():
                raise  # the call's own
            raise took_too_long(self.seconds) from None

    async def wait_in_loop(self) -> Result:
        """Do the same while the event loop goes on."""
        future = asyncio.wrap_future(self._done)
        done, _ = await asyncio.wait({future}, timeout=self.seconds)
        if not done:
            raise took_too_long(self.seconds)
        return future.result()

    def _run(self, call: Callable[[], Result]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop that waited is closed
            try:
                result = call()
            except BaseException as error:
                self._done.set_exception(error)
            else:
                self._done.set_result(result)


def took_too_long(seconds: float) -> WeightsError:
    """Return the refusal of a model that does not come back."""
    fix = "look whether its graph has loops; if it is only slow, allow more with --opening-seconds"
    return WeightsError(f"is not opened and run once within {seconds:g} s", where="the bundle", fix=fix)

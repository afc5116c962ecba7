"""Ctrl-C: noted until a safe moment, obeyed at once when repeated."""

from __future__ import annotations

import signal
import threading

import pytest

from effnet.cli.interrupts import Interrupts


def test_the_first_interrupt_waits_for_a_safe_moment() -> None:
    with Interrupts() as interrupts:
        interrupts.obey()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.obey()


def test_a_second_interrupt_is_obeyed_at_once() -> None:
    with Interrupts():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_who_listened_before_listens_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="any"), Interrupts():
        assert signal.getsignal(signal.SIGINT) != before
        raise ValueError("any")
    assert signal.getsignal(signal.SIGINT) == before


def test_other_threads_note_nothing() -> None:
    done = []

    def work() -> None:
        with Interrupts() as interrupts:
            interrupts.obey()
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done

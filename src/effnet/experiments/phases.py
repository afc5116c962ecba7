"""Doing a study's units one after the other, alone or beside other workers, and telling a display of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from effnet.errors import EffnetError
from effnet.search.storage import database, journal
from effnet.search.study import Attempt, LostAttemptError, Proposer, Record, Study
from effnet.training.interruption import InterruptedRunError, StopRequests
from effnet.training.trainer import DivergedError, OutOfMemoryError

LEASE = 60.0
"""Seconds without a sign of life after which a worker on another machine counts as dead."""


class StoppedSearchError(InterruptedRunError):
    """A worker was asked to stop; what it was at is given back."""

    def __init__(self, number: int, *, where: str, fix: str) -> None:
        """Say which signal, and how to go on."""
        super().__init__(number, where=where, fix=fix)
        self.what = "stopped; everything that was finished is kept"
        self.args = (self.what,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a unit's work gave; see `Study.finish`."""

    values: tuple[float, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    state: Literal["complete", "pruned", "failed"] = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A phase as it stands.

    Attributes:
        phase: its name.
        units: how many it has.
        records: those begun.
    """

    phase: str
    units: int
    records: Sequence[Record]


Watcher = Callable[[Progress], None]


class Bench:
    """Where a study's phases are kept and worked on.

    Attributes:
        folder: of the run; the journal is there unless a database was named.
    """

    def __init__(
        self, folder: Path, name: str, *, storage: str | None = None, watch: Watcher = lambda progress: None
    ) -> None:
        """Open the storage.

        Args:
            name: of the study; each phase has it as its prefix.
            storage: address of a database; None: a journal in the folder.
            watch: told after every unit.

        Raises:
            EffnetError: the storage does not answer.
        """
        self.folder = folder
        self._name = name
        self._watch = watch
        self._url = storage
        self.storage = journal(folder / "study.journal") if storage is None else database(storage)

    def carry_out(
        self,
        phase: str,
        units: int,
        work: Callable[[Attempt], Outcome],
        *,
        plan: Mapping[str, Any],
        propose: Proposer | None = None,
        seed: int = 0,
        **options: Any,
    ) -> list[Record]:
        """Work until every unit of the phase is done, by this worker or another; return them all.

        Args:
            work: from a claimed unit to its outcome. A network that diverges or does not fit gives its unit up.
            options: directions, sampler, dimensions and pruner, as `Study.open` takes them.

        Raises:
            StoppedSearchError: SIGTERM or Ctrl-C came; the unit is given back.
            EffnetError: what the work raises otherwise, and the storage's errors.
        """
        study = Study.open(
            self.storage, f"{self._name}/{phase}", plan=plan, units=units, seed=seed, lease=LEASE, **options
        )
        fix = f"start the same command again, or effnet search --resume {self.folder}"
        with StopRequests() as requests:

            def leave_if_asked() -> None:
                if requests.received:
                    raise StoppedSearchError(requests.received, where=phase, fix=fix)

            self._tell(study, phase)
            while attempt := study.claim(propose, waiting=leave_if_asked):
                try:
                    leave_if_asked()
                    outcome = self._timed(work, attempt)
                except LostAttemptError:
                    continue
                except InterruptedRunError as error:
                    study.release(attempt)
                    raise StoppedSearchError(error.signal, where=phase, fix=fix) from None
                except (DivergedError, OutOfMemoryError) as error:
                    outcome = Outcome(state="failed", result={"reason": str(error)})
                except (EffnetError, KeyboardInterrupt):
                    study.release(attempt)
                    raise
                study.finish(attempt, values=outcome.values, result=outcome.result, state=outcome.state)
                self._tell(study, phase)
        return study.records()

    def _timed(self, work: Callable[[Attempt], Outcome], attempt: Attempt) -> Outcome:
        began = time.monotonic()
        outcome = work(attempt)
        seconds = round(time.monotonic() - began, 3)
        return Outcome(values=outcome.values, result={**outcome.result, "seconds": seconds}, state=outcome.state)

    def _tell(self, study: Study, phase: str) -> None:
        self._watch(Progress(phase=phase, units=study.units, records=study.records()))

"""A study: units of work that any number of workers share, each of which counts exactly once.

    study = Study.open(storage, "search", plan=plan, units=100, seed=0)
    while attempt := study.claim(propose):
        accuracy = ...                    # attempt.report(accuracy, epoch) says when to give up
        study.finish(attempt, values=[accuracy], result={...})

Optuna keeps it, in a journal file or a database; every trial of it is one *attempt* at one unit. What makes the count
exact is that a trial can be finished only once, whoever tries:

- A worker that dies leaves its attempt running. The others see its process gone (on the same machine) or its heartbeat
  stand still (elsewhere), put the unit's next attempt in the queue, and only then fail the lost one. Dying between the
  two leaves the lost one running, so the next worker does it again.
- A worker that was only slow finds its attempt failed and its result refused.
- Of attempts that two workers queued for one unit at the same time, the one with the lower number counts; whoever
  claims the other gives it back. No attempt starts before the ones before it are failed for good.

The trial's number is thus the token that entitles to one result.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from effnet.errors import EffnetError, InputError
from effnet.search.process import started_at

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

State = Literal["running", "complete", "pruned", "failed"]

MOST_ATTEMPTS = 3
"""After so many lost workers a unit is given up: it probably kills them."""

_POLL = 0.5
_LEASE = 60.0


class StudyError(EffnetError):
    """A study's storage cannot be reached or holds another study."""


class LostAttemptError(EffnetError):
    """Others took this worker for dead and gave its unit to another; the result no longer counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One unit as it stands.

    Attributes:
        index: from 0, in the order in which units were begun.
        state: of its counting attempt; `failed` when it was given up, with the reason in `result`.
        attempts: how many were made.
        payload: what is tried, as the proposer gave it.
        values: what the study maximises or minimises; empty until the unit is done.
        result: everything else that was found out.
        reports: (epoch, value) on the way.
    """

    index: int
    state: State
    attempts: int
    payload: Mapping[str, Any]
    values: tuple[float, ...]
    result: Mapping[str, Any]
    reports: tuple[tuple[int, float], ...] = ()

    @property
    def done(self) -> bool:
        """Whether the unit needs no more work."""
        return self.state != "running"


Proposer = Callable[[int, Sequence[Record], random.Random], Mapping[str, Any]]
"""From a unit's index, the units begun before, and a source of chance of its own, to what the unit tries."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A claimed unit. `lost` is set when others have taken the worker for dead."""

    index: int
    number: int
    payload: Mapping[str, Any]
    lost: threading.Event = field(default_factory=threading.Event)
    _trial: Any = None
    _prunes: bool = True

    def report(self, value: float, epoch: int) -> bool:
        """Say how good the candidate is after `epoch`; return whether to give it up (successive halving).

        Raises:
            LostAttemptError: the unit was given to another worker.
        """
        if self.lost.is_set():
            raise _lost(self.index)
        if not self._prunes:
            return False
        with _refused_as_lost(self.index):
            self._trial.report(value, epoch)
            return bool(self._trial.should_prune())


class Study:
    """One worker's view of a study."""

    def __init__(
        self, study: optuna.Study, storage: BaseStorage, *, units: int, seed: int, lease: float, worker: str | None
    ) -> None:
        self._study, self._storage = study, storage
        self._id = storage.get_study_id_from_name(study.study_name)
        self.units, self.seed, self._lease = units, seed, lease
        self._seen: dict[int, tuple[int, float]] = {}
        self._me = worker or f"{socket.gethostname()}:{os.getpid()}:{started_at(os.getpid())}"
        self._beats: dict[int, threading.Event] = {}
        self._distributions: dict[str, optuna.distributions.BaseDistribution] = {}

    @classmethod
    def open(
        cls,
        storage: BaseStorage,
        name: str,
        *,
        plan: Mapping[str, Any],
        units: int,
        seed: int = 0,
        directions: Sequence[Literal["maximize", "minimize"]] = ("maximize",),
        sampler: optuna.samplers.BaseSampler | None = None,
        dimensions: Mapping[str, Sequence[Any]] | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
        lease: float = _LEASE,
        worker: str | None = None,
    ) -> Study:
        """Join the study of that name, or begin it.

        Args:
            storage: what `effnet.search.storage` opens.
            plan: everything that decides the outcome; workers with another plan are refused.
            units: how many there are to do.
            seed: of the proposals.
            directions: of the values.
            sampler, dimensions: let this sampler propose a value for each dimension.
            pruner: gives candidates up early; for one direction only.
            lease: seconds after which a worker on another machine that shows no life counts as dead.
            worker: what to call this one; None: by machine and process, which lets others on the machine see it die.

        Raises:
            StudyError: the storage does not answer, or holds a study of that name with another plan.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with storage_errors():
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=list(directions),
                load_if_exists=True,
                sampler=sampler or optuna.samplers.RandomSampler(seed=seed),
                pruner=pruner or optuna.pruners.NopPruner(),
            )
            written = study.user_attrs.get("plan")
            if written is None:
                study.set_user_attr("plan", dict(plan))
            elif written != dict(plan):
                different = sorted(key for key in {*written, *plan} if written.get(key) != plan.get(key))
                raise StudyError(
                    f"another plan under this name: {', '.join(different)} differ",
                    where=f"study {name}",
                    fix="give the same options as the first worker, or another --name",
                )
        joined = cls(study, storage, units=require_units(units), seed=seed, lease=lease, worker=worker)
        joined._prunes = pruner is not None and len(directions) == 1
        if dimensions is not None:
            categorical = optuna.distributions.CategoricalDistribution
            joined._distributions = {key: categorical(tuple(values)) for key, values in dimensions.items()}
        return joined

    _prunes: bool = False

    def records(self) -> list[Record]:
        """Return every unit that was begun, in order.

        Raises:
            StudyError: the storage does not answer.
        """
        with storage_errors():
            trials = self._study.get_trials(deepcopy=False)
        return [_record(index, family) for index, family in enumerate(_families(trials)[: self.units])]

    def claim(self, propose: Proposer | None = None, *, waiting: Callable[[], object] = lambda: None) -> Attempt | None:
        """Return a unit to work on; None when all units are done.

        Waits while other workers hold the last ones, because one of them may die.

        Args:
            propose: what a fresh unit tries; None: the study's sampler decides.
            waiting: called about every half second while there is nothing to do; may raise to leave.

        Raises:
            StudyError: the storage does not answer.
        """
        while True:
            attempt = None
            with storage_errors(), contextlib.suppress(LostAttemptError):
                attempt = self._claimed(propose)
            if attempt is not None:
                return attempt
            if sum(record.done for record in self.records()) >= self.units:
                return None
            waiting()
            time.sleep(min(_POLL, self._lease / 4))

    def finish(
        self,
        attempt: Attempt,
        *,
        values: Sequence[float],
        result: Mapping[str, Any],
        state: Literal["complete", "pruned", "failed"] = "complete",
    ) -> bool:
        """Write down what came out; return False when the attempt was lost and its result is refused.

        Args:
            values: one for each direction; ignored unless complete.
            result: plain JSON data.
            state: `failed` gives the unit up: the candidate cannot be trained, whoever tries.

        Raises:
            StudyError: the storage does not answer.
        """
        from optuna.trial import TrialState

        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        self._quiet(attempt.number)
        with storage_errors():
            try:
                with _refused_as_lost(attempt.index):
                    self._mark(attempt.number, result=dict(result), final=state == "failed")
                    self._end(attempt.number, states[state], list(values) if state == "complete" else None)
            except LostAttemptError:
                return False
        return True

    def release(self, attempt: Attempt) -> None:
        """Give the unit back, for another worker to do from its beginning."""
        self._quiet(attempt.number)
        with storage_errors():
            trials = self._study.get_trials(deepcopy=False)
            self._retry(next(trial for trial in trials if trial.number == attempt.number), trials)

    def _claimed(self, propose: Proposer | None) -> Attempt | None:
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state == TrialState.RUNNING and self._is_lost(trial):
                self._retry(trial, trials)
        trials = self._study.get_trials(deepcopy=False)
        queued = any(trial.state == TrialState.WAITING for trial in trials)
        if not queued and len(_families(trials)) >= self.units:
            return None
        # `ask` takes a queued attempt if there is one, else it begins a trial: the first attempt at a new unit.
        asked = self._study.ask(fixed_distributions=self._distributions)
        number = asked.number
        with _refused_as_lost(number):
            self._mark(number, worker=self._me, beat=0)
            trials = self._study.get_trials(deepcopy=False)
            family = next(f for f in _families(trials) if any(t.number == number for t in f))
            index = _families(trials).index(family)
            if index >= self.units or not self._is_next(number, family):
                self._end(number, TrialState.FAIL)
                return None
            trial = next(t for t in family if t.number == number)
            payload = trial.user_attrs.get("payload")
            if payload is None:
                payload = dict(trial.params) if propose is None else self._proposal(propose, index, trials)
                self._mark(number, payload=dict(payload))
        attempt = Attempt(index=index, number=number, payload=payload, _trial=asked, _prunes=self._prunes)
        self._live(attempt)
        return attempt

    def _proposal(self, propose: Proposer, index: int, trials: Sequence[FrozenTrial]) -> Mapping[str, Any]:
        earlier = [_record(place, family) for place, family in enumerate(_families(trials)[:index])]
        phase = self._study.study_name.rpartition("/")[2]  # so that no two phases draw alike
        return propose(index, earlier, random.Random(f"{self.seed} {phase} {index}"))

    def _is_next(self, number: int, family: Sequence[FrozenTrial]) -> bool:
        """Whether this attempt is the one entitled to its unit: nobody else's is as far, all before it are failed."""
        mine = next(trial for trial in family if trial.number == number)
        for other in family:
            if other.number == number:
                continue
            if _turn(other) == _turn(mine) and other.number < number:
                return False
            if _turn(other) < _turn(mine) and not self._is_failed(other):
                return False
        return True

    def _is_failed(self, trial: FrozenTrial) -> bool:
        from optuna.trial import TrialState

        if not trial.state.is_finished():
            with contextlib.suppress(LostAttemptError), _refused_as_lost(trial.number):
                self._end(trial.number, TrialState.FAIL)
                return True
            trial = self._storage.get_trial(self._trial_id(trial.number))
        return trial.state == TrialState.FAIL and not trial.user_attrs.get("final", False)

    def _is_lost(self, trial: FrozenTrial) -> bool:
        if trial.number in self._beats:
            return False
        worker = str(trial.user_attrs.get("worker", ""))
        host, _, process = worker.rpartition(":")[0].rpartition(":")
        if worker and host == socket.gethostname():
            return started_at(int(process)) != worker.rpartition(":")[2]
        # Clocks of two machines may differ, so only how long the count stands still by this one's matters.
        beat, now = int(trial.user_attrs.get("beat", -1)), time.monotonic()
        seen, since = self._seen.setdefault(trial.number, (beat, now))
        if seen != beat:
            self._seen[trial.number] = (beat, now)
            return False
        return now - since > self._lease

    def _retry(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> None:
        """Queue the next attempt at a lost attempt's unit, if nobody has, and then fail the lost one."""
        from optuna.trial import TrialState, create_trial

        family = next(f for f in _families(trials) if any(t.number == trial.number for t in f))
        turn = _turn(trial) + 1
        if turn >= MOST_ATTEMPTS:
            with contextlib.suppress(LostAttemptError), _refused_as_lost(trial.number):
                what = f"{MOST_ATTEMPTS} workers were lost at it"
                self._mark(trial.number, result={"reason": what}, final=True)
                self._end(trial.number, TrialState.FAIL)
            return
        if not any(_turn(other) == turn for other in family):
            attributes = {"unit": family[0].number, "attempt": turn}
            complete = set(trial.params) == set(self._distributions)
            if complete and "payload" in trial.user_attrs:
                attributes["payload"] = trial.user_attrs["payload"]
            queued = create_trial(
                state=TrialState.WAITING,
                params=trial.params if complete else {},
                distributions=trial.distributions if complete else {},
                user_attrs=attributes,
            )
            self._storage.create_new_trial(self._id, template_trial=queued)
        with contextlib.suppress(LostAttemptError), _refused_as_lost(trial.number):
            self._end(trial.number, TrialState.FAIL)

    def _live(self, attempt: Attempt) -> None:
        """Count the attempt's heartbeat up until it ends."""
        stop = threading.Event()
        self._beats[attempt.number] = stop

        def beat() -> None:
            count = 0
            while not stop.wait(min(10.0, self._lease / 4)):
                count += 1
                try:
                    with _refused_as_lost(attempt.index):
                        self._mark(attempt.number, beat=count)
                except LostAttemptError:
                    attempt.lost.set()
                    return
                except Exception:
                    # A storage that is away for a moment: the next beat may come through, and a result that comes too
                    # late is refused.
                    continue

        threading.Thread(target=beat, name=f"heartbeat {attempt.number}", daemon=True).start()

    def _quiet(self, number: int) -> None:
        stop = self._beats.pop(number, None)
        if stop:
            stop.set()

    def _mark(self, number: int, **attributes: Any) -> None:
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(self._trial_id(number), name, value)

    def _end(self, number: int, state: Any, values: Sequence[float] | None = None) -> None:
        self._storage.set_trial_state_values(self._trial_id(number), state, values)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


def _families(trials: Sequence[FrozenTrial]) -> list[list[FrozenTrial]]:
    """Return the attempts at each unit, units in the order in which they were begun."""
    units: dict[int, list[FrozenTrial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        units.setdefault(int(trial.user_attrs.get("unit", trial.number)), []).append(trial)
    return [units[number] for number in sorted(units)]


def _turn(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get("attempt", 0))


def _record(index: int, family: Sequence[FrozenTrial]) -> Record:
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    counting = next((trial for trial in family if trial.state in ended or trial.user_attrs.get("final")), family[-1])
    states: dict[TrialState, State] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    given_up: State = "failed" if counting.user_attrs.get("final") else "running"
    state = states.get(counting.state, given_up if counting.state == TrialState.FAIL else "running")
    return Record(
        index=index,
        state=state,
        attempts=len({_turn(trial) for trial in family}),
        payload=dict(counting.user_attrs.get("payload", {})),
        values=tuple(counting.values or ()),
        result=dict(counting.user_attrs.get("result", {})),
        reports=tuple(sorted(counting.intermediate_values.items())),
    )


def _lost(index: int) -> LostAttemptError:
    return LostAttemptError("this worker was taken for dead", where=f"unit {index}", fix="nothing: another does it")


@contextlib.contextmanager
def _refused_as_lost(index: int) -> Iterator[None]:
    from optuna.exceptions import UpdateFinishedTrialError

    try:
        yield
    except UpdateFinishedTrialError:
        raise _lost(index) from None


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Inside the `with`, what a storage raises becomes a StudyError."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError, OSError) as error:
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:200]
        raise StudyError(
            f"the study's storage failed: {reason}",
            where="--storage",
            fix="see that it is reachable, then start the same command again: nothing that was finished is lost",
        ) from None


def require_units(units: int) -> int:
    """Return `units` if there can be so many.

    Raises:
        InputError: not a positive whole number.
    """
    if isinstance(units, bool) or not isinstance(units, int) or not 1 <= units <= 1_000_000:
        raise InputError(f"{units!r} units", fix="give a whole number from 1")
    return units

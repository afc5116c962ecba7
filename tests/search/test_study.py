"""A study's promise: every unit counts exactly once, whoever dies when."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

from effnet.errors import InputError, MissingDependencyError
from effnet.search.storage import database, journal
from effnet.search.study import LostAttemptError, Record, Study, StudyError

PLAN = {"question": "which"}


def propose(index: int, earlier: Sequence[Record], chance: random.Random) -> dict[str, Any]:
    return {"item": index, "drawn": chance.random(), "seen": len(earlier)}


def opened(storage: BaseStorage, units: int = 4, **options: Any) -> Study:
    return Study.open(storage, "study", plan=PLAN, units=units, **options)


def work_through(study: Study, *, most: int = 1000) -> int:
    """Do what there is to do; return how many results counted."""
    counted = 0
    for _ in range(most):
        attempt = study.claim(propose)
        if attempt is None:
            break
        counted += study.finish(attempt, values=[attempt.payload["item"] * 1.0], result={"by": attempt.number})
    return counted


def require_exact(storage: BaseStorage, units: int) -> None:
    records = opened(storage, units).records()
    assert [record.index for record in records] == list(range(units))
    assert all(record.state == "complete" for record in records)
    assert [record.payload["item"] for record in records] == list(range(units))
    trials = optuna.load_study(study_name="study", storage=storage).get_trials(deepcopy=False)
    finished = Counter(t.user_attrs.get("unit", t.number) for t in trials if t.state == TrialState.COMPLETE)
    assert sorted(finished.values()) == [1] * units, "a unit was counted twice or not at all"
    assert not any(trial.state == TrialState.RUNNING for trial in trials)


def test_units_are_done_in_order_and_kept() -> None:
    storage = InMemoryStorage()
    study = opened(storage)
    assert work_through(study) == 4
    assert study.claim(propose) is None
    records = study.records()
    assert [record.values for record in records] == [(0.0,), (1.0,), (2.0,), (3.0,)]
    assert [record.payload["seen"] for record in records] == [0, 1, 2, 3]
    assert all(record.attempts == 1 and record.done for record in records)


def test_proposals_depend_on_seed_and_index_only() -> None:
    first, second, other = InMemoryStorage(), InMemoryStorage(), InMemoryStorage()
    work_through(opened(first, seed=1))
    work_through(opened(second, seed=1))
    work_through(opened(other, seed=2))
    drawn = [[r.payload["drawn"] for r in opened(storage).records()] for storage in (first, second, other)]
    assert drawn[0] == drawn[1] != drawn[2]


class KilledError(BaseException):
    """A worker is gone, between two operations of the storage."""


class Mortal:
    """A storage whose user dies before its n-th operation, and does nothing ever after."""

    def __init__(self, storage: BaseStorage, lives: int) -> None:
        self._storage, self.lives, self._worker = storage, lives, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._storage, name)
        if not callable(operation):
            return operation

        def mortal(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() == self._worker:
                self.lives -= 1
            if self.lives < 0:
                raise KilledError
            return operation(*arguments, **named)

        return mortal


def killed_after(storage: BaseStorage, operations: int, **options: Any) -> bool:
    """Work until `operations` of the storage are used up; return whether that came before the end."""
    mortal = Mortal(storage, 10**9)
    study = Study.open(storage, "study", plan=PLAN, units=3, lease=0.02, worker="first", **options)
    study._storage = mortal  # type: ignore[assignment]
    study._study._storage = mortal  # type: ignore[assignment]
    mortal.lives = operations
    try:
        work_through(study)
    except KilledError:
        return True
    return False


def test_a_kill_before_any_operation_loses_and_doubles_nothing() -> None:
    operations = 0
    while True:
        storage = InMemoryStorage()
        killed = killed_after(storage, operations)
        work_through(opened(storage, 3, lease=0.02, worker="second"))
        require_exact(storage, 3)
        if not killed:
            break
        operations += 1
    assert operations > 20  # it was killed in many places


def test_a_second_kill_at_any_operation_of_the_repair_loses_nothing() -> None:
    for operations in range(0, 60, 3):
        storage = InMemoryStorage()
        killed_after(storage, 14)
        killed_after(storage, operations)
        work_through(opened(storage, 3, lease=0.02, worker="third"))
        states = [record.state for record in opened(storage, 3).records()]
        assert states == ["complete"] * 3, operations
        require_exact(storage, 3)


def test_what_kills_every_worker_is_given_up() -> None:
    storage = InMemoryStorage()
    for worker in range(3):
        study = opened(storage, 1, lease=0.02, worker=f"victim {worker}")
        attempt = study.claim(propose)
        assert attempt is not None and attempt.index == 0
        study._quiet(attempt.number)  # gone
    survivor = opened(storage, 1, lease=0.02, worker="survivor")
    assert survivor.claim(propose) is None
    (record,) = survivor.records()
    assert record.state == "failed" and "3 workers" in record.result["reason"] and record.attempts == 3


def test_a_worker_taken_for_dead_is_refused() -> None:
    storage = InMemoryStorage()
    slow = opened(storage, 1, lease=0.2, worker="slow")
    attempt = slow.claim(propose)
    assert attempt is not None
    slow._quiet(attempt.number)  # its heartbeat stands still
    fast = opened(storage, 1, lease=0.05, worker="fast")
    assert work_through(fast) == 1
    assert slow.finish(attempt, values=[99.0], result={}) is False
    assert fast.records()[0].values == (0.0,)


def test_a_worker_taken_for_dead_is_told_at_its_next_report() -> None:
    storage = InMemoryStorage()
    slow = opened(storage, 1, lease=0.1, worker="slow")
    attempt = slow.claim(propose)
    assert attempt is not None
    opened(storage, 1, worker="other").release(attempt)
    assert attempt.lost.wait(5)  # its heartbeat is refused
    with pytest.raises(LostAttemptError, match="another"):
        attempt.report(1.0, 1)


def test_a_living_worker_keeps_its_unit() -> None:
    storage = InMemoryStorage()
    patient = opened(storage, 1, lease=0.4, worker="patient")
    attempt = patient.claim(propose)
    assert attempt is not None
    ended = threading.Event()
    other = opened(storage, 1, lease=0.4, worker="other")
    thread = threading.Thread(target=lambda: (work_through(other), ended.set()), daemon=True)
    thread.start()
    time.sleep(1.2)  # three leases: its heart beats
    assert not ended.is_set()
    assert patient.finish(attempt, values=[7.0], result={})
    thread.join(10)
    assert ended.is_set() and other.records()[0].values == (7.0,)


def test_released_units_are_done_by_others_at_once() -> None:
    storage = InMemoryStorage()
    leaving, staying = opened(storage, 2, worker="leaving"), opened(storage, 2, worker="staying")
    attempt = leaving.claim(propose)
    assert attempt is not None
    leaving.release(attempt)
    assert work_through(staying) == 2
    require_exact(storage, 2)
    assert staying.records()[0].attempts == 2


def test_successive_halving_prunes_the_worse_half() -> None:
    storage = InMemoryStorage()
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    study = opened(storage, 8, pruner=pruner)
    while attempt := study.claim(propose):
        quality = float((attempt.index * 5) % 8)
        pruned = attempt.report(quality, 1)
        study.finish(attempt, values=[quality], result={"quality": quality}, state="pruned" if pruned else "complete")
    states = [(record.result["quality"], record.state) for record in study.records()]
    assert {"complete", "pruned"} == {state for _, state in states}
    assert max(states)[1] == "complete"
    assert all(record.reports == ((1, record.result["quality"]),) for record in study.records())


@pytest.mark.parametrize(
    "sampler", [optuna.samplers.TPESampler(seed=0), optuna.samplers.NSGAIISampler(seed=0, population_size=4)]
)
def test_optunas_samplers_propose_from_the_dimensions(sampler: optuna.samplers.BaseSampler) -> None:
    two = isinstance(sampler, optuna.samplers.NSGAIISampler)
    directions: Any = ("maximize", "minimize") if two else ("maximize",)
    storage = InMemoryStorage()
    study = opened(
        storage, 12, sampler=sampler, dimensions={"kernel": (3, 5), "kind": ("a", "b")}, directions=directions
    )
    while attempt := study.claim():
        assert attempt.payload["kernel"] in (3, 5) and attempt.payload["kind"] in ("a", "b")
        study.finish(attempt, values=[1.0, 2.0][: len(directions)], result={})
    assert len(study.records()) == 12 and all(record.done for record in study.records())


def test_a_lost_unit_of_a_sampler_is_tried_again_as_it_was() -> None:
    storage = InMemoryStorage()
    sampler = optuna.samplers.TPESampler(seed=0)
    options: Any = {"sampler": sampler, "dimensions": {"kernel": (3, 5), "width": (1, 2, 3)}}
    leaving = opened(storage, 1, worker="leaving", **options)
    attempt = leaving.claim()
    assert attempt is not None
    leaving.release(attempt)
    again = opened(storage, 1, worker="again", **options).claim()
    assert again is not None and again.payload == attempt.payload and again.number != attempt.number


def test_another_plan_under_the_same_name_is_refused() -> None:
    storage = InMemoryStorage()
    opened(storage)
    with pytest.raises(StudyError, match="question differ"):
        Study.open(storage, "study", plan={"question": "why"}, units=4)


@pytest.mark.parametrize("units", [0, -1, True, 1.5])
def test_impossible_numbers_of_units_are_refused(units: Any) -> None:
    with pytest.raises(InputError):
        opened(InMemoryStorage(), units)


def test_an_unfinished_line_of_a_journal_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    work_through(opened(journal(path), 3), most=2)
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "worker_id": "x", "tri')
    work_through(opened(journal(path), 3))
    require_exact(journal(path), 3)


def test_a_journal_in_a_file_that_is_no_folder_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="storage failed"):
        journal(tmp_path / "file" / "study.journal")


@pytest.mark.parametrize("url", ["mysql://somewhere/x", "nonsense", "sqlite:///x.db"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="PostgreSQL"):
        database(url)


def test_a_database_that_does_not_answer_is_a_typed_error() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StudyError, match="storage failed"):
        database("postgresql://nobody@127.0.0.1:1/none")


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"effnet\[search\]"):
        journal(tmp_path / "study.journal")


WORKER = """
import random, sys, time
from pathlib import Path
from effnet.search.storage import database, journal
from effnet.search.study import Study

where, units, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
storage = database(where) if "://" in where else journal(Path(where))
study = Study.open(storage, "study", plan={"question": "which"}, units=units)
propose = lambda index, earlier, chance: {"item": index, "drawn": chance.random()}
while attempt := study.claim(propose):
    time.sleep(seconds)
    study.finish(attempt, values=[float(attempt.payload["item"])], result={})
"""


def workers(where: str, count: int, units: int, seconds: float) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", WORKER, where, str(units), str(seconds)]
    return [subprocess.Popen(command, start_new_session=True) for _ in range(count)]


def share_with_kills(where: str, storage: BaseStorage, units: int, kills: int) -> None:
    running = workers(where, 3, units, 0.25)
    killed = 0
    deadline = time.monotonic() + 120
    try:
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(0.2)
            done = sum(record.done for record in opened(storage, units).records())
            if killed < kills and done >= (killed + 1) * units // (kills + 2):
                os.killpg(running[killed % 3].pid, signal.SIGKILL)
                running[killed % 3].wait()
                running[killed % 3] = workers(where, 1, units, 0.25)[0]
                killed += 1
        assert [process.returncode for process in running] == [0, 0, 0]
    finally:
        for process in running:
            process.kill()
    assert killed == kills
    require_exact(storage, units)


def test_three_processes_share_a_journal_and_kills_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    share_with_kills(str(path), journal(path), units=30, kills=3)
    assert json.loads(path.read_text().splitlines()[0])  # plain lines that can be looked at


@pytest.mark.slow
def test_three_processes_share_a_postgresql_and_kills_lose_nothing(postgresql: str) -> None:
    share_with_kills(postgresql, database(postgresql), units=30, kills=3)

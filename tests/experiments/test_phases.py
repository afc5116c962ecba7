"""Phases of an experiment: work that fails, is interrupted, or is kept in a database."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effnet.errors import InputError
from effnet.experiments.experiment_folder import ExperimentFolder
from effnet.experiments.phases import Bench, Outcome, Progress, StoppedSearchError
from effnet.experiments.search_display import display_for, told_of
from effnet.search.study import Attempt, Record
from effnet.training.trainer import DivergedError

PLAN = {"question": "which"}


def carried_out(bench: Bench, work: Callable[[Attempt], Outcome], units: int = 3) -> list[Record]:
    return bench.carry_out("phase", units, work, plan=PLAN, propose=lambda index, earlier, chance: {"item": index})


def good(attempt: Attempt) -> Outcome:
    return Outcome(values=(1.0,), result={"accuracy": 10.0 * attempt.index})


def test_a_network_that_cannot_be_trained_is_given_up_with_its_reason(tmp_path: Path) -> None:
    def work(attempt: Attempt) -> Outcome:
        if attempt.index == 1:
            raise DivergedError("10 steps in a row had no finite gradient", fix="lower the rate")
        return good(attempt)

    records = carried_out(Bench(tmp_path, "x"), work)
    assert [record.state for record in records] == ["complete", "failed", "complete"]
    assert "no finite gradient" in records[1].result["reason"]
    assert "given up: 10 steps" in told_of(records[1], None)


def test_other_errors_stop_the_worker_and_give_the_unit_back(tmp_path: Path) -> None:
    def broken(attempt: Attempt) -> Outcome:
        raise InputError("an image is missing", fix="look for it")

    with pytest.raises(InputError, match="missing"):
        carried_out(Bench(tmp_path, "x"), broken)
    records = carried_out(Bench(tmp_path, "x"), good)
    assert [record.state for record in records] == ["complete"] * 3
    assert records[0].attempts == 2


def test_a_signal_between_units_leaves_in_order_and_resumes(tmp_path: Path) -> None:
    def work(attempt: Attempt) -> Outcome:
        if attempt.index == 1:
            signal.raise_signal(signal.SIGTERM)  # noted, obeyed when the unit is done
        return good(attempt)

    with pytest.raises(StoppedSearchError) as caught:
        carried_out(Bench(tmp_path, "x"), work)
    assert caught.value.exit_code == 143 and "--resume" in str(caught.value)
    done: list[int] = []
    records = carried_out(Bench(tmp_path, "x"), lambda attempt: (done.append(attempt.index), good(attempt))[1])
    assert done == [2] and all(record.state == "complete" for record in records)


def test_watchers_see_every_unit(tmp_path: Path) -> None:
    seen: list[Progress] = []
    carried_out(Bench(tmp_path, "x", watch=seen.append), good)
    assert [sum(record.done for record in progress.records) for progress in seen] == [0, 1, 2, 3]
    assert {progress.units for progress in seen} == {3}


class Terminal:
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_pareto_front(tmp_path: Path) -> None:
    def work(attempt: Attempt) -> Outcome:
        accuracy = (50.0, 40.0, 60.0)[attempt.index]
        result = {"accuracy": accuracy, "costs": {"macs": (2e6, 3e6, 4e6)[attempt.index]}, "reward": accuracy / 100}
        return Outcome(values=(accuracy,), result=result)

    terminal: Any = Terminal()
    carried_out(Bench(tmp_path, "x", watch=display_for(terminal, "macs")), work)
    last = terminal.text.rpartition("Pareto front")[2]
    assert "50.00" in last and "60.00" in last and "40.00" not in last  # beaten by the cheaper first one
    assert "3 of 3 done" in terminal.text


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="other things"):
        ExperimentFolder.join(tmp_path, "search", {}, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_workers_join_a_folder_with_the_same_plan_only(tmp_path: Path) -> None:
    first = ExperimentFolder.join(tmp_path / "run", "search", {"a": (1, 2)}, device="cpu")
    assert ExperimentFolder.join(tmp_path / "run", "search", {"a": [1, 2]}, device="cpu") == first
    for kind, plan in (("search", {"a": [1]}), ("axes", {"a": [1, 2]})):
        with pytest.raises(InputError, match="another experiment"):
            ExperimentFolder.join(tmp_path / "run", kind, plan, device="cpu")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 9, "plan": {}}', '{"format": 1, "plan": 3}'])
def test_damaged_plans_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(InputError):
        ExperimentFolder(tmp_path).open_plan()


def test_a_folder_without_an_experiment_names_every_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="effnet search, effnet study or effnet recommend --try"):
        ExperimentFolder(tmp_path).open_plan()

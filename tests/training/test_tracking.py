"""Observers: files always, other people's services through fakes of their modules, and the two displays."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import effnet
from effnet.training.display import Live, display_for
from effnet.training.events import Event, Stepped
from tests.tiny import tiny_network
from tests.tiny_data import colours
from tests.training.runs import RECIPE

SPEC = tiny_network(classes=3).spec


def train(tmp_path: Path, **options: Any) -> effnet.Run:
    return effnet.fit(colours(), RECIPE, spec=SPEC, run=tmp_path / "run", device="cpu", epochs=2, **options)


def test_weights_and_biases_gets_the_recipe_and_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[dict[str, Any]] = []
    begun: list[dict[str, Any]] = []
    run = SimpleNamespace(log=lambda values, **_: logged.append(values), finish=lambda **_: logged.append({}))

    def init(**settings: Any) -> SimpleNamespace:
        begun.append(settings)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    train(tmp_path, trackers=["wandb"])
    assert len(begun) == 1
    assert any("top1" in name for values in logged for name in values)


def test_a_tracker_that_fails_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def log(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    run = SimpleNamespace(log=log, finish=log)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **_: run))
    said: list[Event] = []
    assert train(tmp_path, trackers=["wandb"], observers=[said.append]).ending == "completed"
    assert sum("no network" in str(event) for event in said) == 1


def test_a_missing_tracker_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    steps: list[Event] = []
    with pytest.raises(effnet.EffnetError, match="wandb"):
        train(tmp_path, trackers=["wandb"], observers=[steps.append])
    assert not any(isinstance(event, Stepped) for event in steps)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_live_display(tmp_path: Path) -> None:
    terminal = Terminal()
    display = display_for(terminal)
    assert isinstance(display, Live)
    train(tmp_path, observers=[display])
    display.close()
    text = terminal.getvalue()
    assert "stage 1" in text and "top-1" in text

"""What a run says as it goes: nothing that few images cannot know, and the time left at any width."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from effnet.inference.metrics import Evaluation
from effnet.training.display import Clock, Lines, Live, clock_text
from effnet.training.events import Evaluated, Event, Finished, StageStarted, Started, Stepped
from effnet.training.progressive import StageSettings
from effnet.training.score import Score

SETTINGS = StageSettings(
    stage=0, image_size=64, magnitude=5, mixup=0, cutmix=0, dropout=0.2, drop_path=0, batch_scale=1
)


def score(right: int, images: int) -> Score:
    """Return the score of a network that always answers the first of three classes."""
    logits = np.zeros((images, 3), np.float32)
    logits[:, 0] = 1
    labels = np.array([0] * right + [1 + i % 2 for i in range(images - right)])
    return Score.of(Evaluation.of(logits, labels, ("ant", "cat", "frog")))


def events(judged: Score) -> list[Event]:
    return [
        Started(folder=Path("runs/x"), epochs=12, steps=240, step=0),
        StageStarted(step=0, stages=1, settings=SETTINGS, batch=32),
        *(stepped(step) for step in range(1, 21)),
        Evaluated(step=20, epoch=1.0, score=judged, best=True, seconds=3.0),
        *(stepped(step) for step in range(21, 51)),
    ]


def stepped(step: int) -> Stepped:
    return Stepped(
        step=step, epoch=step / 20, stage=0, loss=0.69314, rate=0.00026, gradient_norm=1.0, samples=32, seconds=2.0,
        waited=0.0,
    )  # fmt: skip


def lines(*told: Event) -> str:
    said: list[str] = []
    display = Lines(said.append)
    for event in told:
        display(event)
    return "\n".join(said)


def test_six_of_six_is_not_a_hundred_percent_for_sure() -> None:
    said = lines(
        Evaluated(step=1, epoch=1.0, score=score(6, 6), best=True, seconds=0.1),
        Finished(step=1, ending="completed", seconds=9.0, score=score(6, 6)),
    )
    assert said.count("6 of 6, 95 %: 61 to 100") == 2
    assert "100.00" not in said and "only 6 images" in said and "1 step in" in said


def test_a_network_that_answers_the_majority_is_told_on() -> None:
    judged = score(30, 36)
    said = lines(
        Evaluated(step=1, epoch=1.0, score=judged, best=True, seconds=0.1, chooser="mean_of_classes"),
        Finished(step=1, ending="completed", seconds=9.0, score=judged, chooser="mean_of_classes"),
    )
    epoch, *end = said.splitlines()
    assert "mean of classes 33 %" in epoch and "2 of the classes never answered" in epoch
    assert any("never answered: cat, frog" in line for line in end)
    assert any("chosen by" in line and "mean of the classes" in line for line in end)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [50, 80, 160])
def test_the_time_left_is_seen_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    display = Live(terminal)
    for event in events(score(30, 36)):
        display(event)
    display.refresh()
    display.close()
    shown = [line for line in terminal.getvalue().replace("\r", "\n").splitlines() if "left" in line]
    assert "6:48 left" in shown[-1] and "…" not in shown[-1]
    assert ("images/s" in shown[-1]) == (width >= 80)


def test_time_left_counts_the_judgements_to_come() -> None:
    clock = Clock()
    for event in events(score(3, 9)):
        if isinstance(event, Started):
            clock.start(event)
        elif isinstance(event, Stepped):
            clock.pass_step(event)
        elif isinstance(event, Evaluated):
            clock.pass_judging(event)
    assert clock.left == "6:48 left"  # 190 steps of 2 s, 9.5 judgements of 3 s
    assert [clock_text(s) for s in (9, 760, 11100)] == ["0:09", "12:40", "3:05:00"]

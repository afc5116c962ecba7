"""A trial decides by measurement, goes on where it was interrupted, and says where the rules were wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from effnet.comparison import Measured
from effnet.errors import InputError
from effnet.experiments import network_choice
from effnet.experiments.experiment_folder import ExperimentFolder
from effnet.experiments.halving import Rung
from effnet.experiments.network_choice import Trial, Tried, TryPlan, try_candidates
from effnet.experiments.trial_files import trial_text, write_trial
from effnet.experiments.verdict import judge
from effnet.guide import Situation
from effnet.guide.recommend import LeftOut
from effnet.training.events import Event, Stepped
from effnet.training.interruption import InterruptedRunError
from effnet.weights.published import default

NAMES = ("efficientnet_b0", "efficientnet_lite0", "efficientnet_lite1")


def tried(
    correct: dict[str, list[int]],
    *,
    goal: str = "balanced",
    names: tuple[str, ...] = NAMES,
    spread: float = 1.0,
) -> Tried:
    """Return a trial as if these had been the answers, with latencies of 10 ms more for each."""
    rungs = (Rung(number=1, names=tuple(correct), epochs=3, per_class=None),)
    trials = [
        Trial(name=n, rung=1, epochs=3, top1=50.0, seconds=9.0, problem=None, model=Path(f"{n}.safetensors"))
        for n in correct
    ]
    blank = {"images_per_s": 9.0, "batch": 8, "peak_bytes": None, "runs": 3}
    times = {name: 10.0 * place for place, name in enumerate(correct, 1)}
    return Tried(
        plan=TryPlan(data="photos", situation=Situation(goal=goal, images=100), names=names),  # type: ignore[arg-type]
        rungs=rungs,
        trials=tuple(trials),
        left_out=(LeftOut(name="efficientnet_b7", why="too slow"),),
        correct={name: np.array(hits, bool) for name, hits in correct.items()},
        measured={
            name: Measured(latency_ms=ms, low_ms=ms - 1, high_ms=ms + spread, device="here", **blank)
            for name, ms in times.items()
        },
        images=100,
        judged=len(next(iter(correct.values()))),
        seconds=60.0,
    )


def test_a_clear_winner_is_named_and_the_rules_corrected() -> None:
    verdict = judge(tried({"efficientnet_lite0": [0] * 20 + [1] * 20, "efficientnet_lite1": [1] * 38 + [0] * 2}))
    assert (verdict.better, verdict.take, verdict.sure) == ("efficientnet_lite1", "efficientnet_lite1", True)
    assert "more than chance" in verdict.sentences[0]
    (said,) = verdict.disagreements
    assert "Lite0 before Lite1" in said
    assert "within chance" not in said
    assert "--model lite1" in verdict.train


def test_within_chance_the_cheaper_is_taken_unless_the_best_is_wanted() -> None:
    close = {"efficientnet_lite0": [1] * 37 + [0] * 3, "efficientnet_lite1": [1] * 38 + [0] * 2}
    verdict = judge(tried(close))
    assert (verdict.better, verdict.take, verdict.sure) == ("efficientnet_lite1", "efficientnet_lite0", False)
    assert "cannot be told from" in verdict.sentences[-1]
    assert "within chance" in verdict.disagreements[0]
    assert judge(tried(close, goal="best")).take == "efficientnet_lite1"


def test_times_that_overlap_decide_nothing() -> None:
    """On a busy machine the larger network can seem the faster: MACs stand for time then."""
    close = {"efficientnet_lite1": [1] * 38 + [0] * 2, "efficientnet_lite0": [1] * 37 + [0] * 3}
    verdict = judge(tried(close, spread=200.0))
    assert verdict.take == "efficientnet_lite0"
    assert "cannot be told apart" in verdict.sentences[0]
    assert "% of its MACs" in verdict.sentences[-1]
    assert {f.label for f in verdict.finalists if f.on_front} == {"Lite0", "Lite1"}
    assert judge(tried(close)).take == "efficientnet_lite1", "measured as faster, beyond doubt"


def test_equals_are_called_equals_and_agreement_is_no_disagreement() -> None:
    verdict = judge(tried({"efficientnet_lite0": [1, 0, 1], "efficientnet_lite1": [1, 1, 0]}))
    assert verdict.better == "efficientnet_lite0"
    assert "equally good" in verdict.sentences[0]
    assert verdict.disagreements == ()


def test_the_page_and_the_figures_say_the_same(tmp_path: Path) -> None:
    trial = tried({"efficientnet_lite0": [1] * 30 + [0] * 10, "efficientnet_lite1": [1] * 38 + [0] * 2})
    folder = ExperimentFolder.join(tmp_path / "run", "recommend", trial.plan.to_dict(), device="cpu")
    verdict = judge(trial)
    data = write_trial(folder, trial, verdict)
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == data
    assert data["better"] == "efficientnet_lite1"
    page = folder.report.read_text()
    for words in (*verdict.sentences, "efficientnet_b7", "too slow", "<svg"):
        assert words in page
    assert "better   efficientnet_lite1" in trial_text(folder, trial, verdict)
    assert TryPlan.from_dict(folder.open_plan()["plan"]) == trial.plan


@pytest.mark.parametrize("settings", [{"minutes": 0}, {"count": 1}])
def test_a_trial_that_cannot_decide_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(InputError):
        TryPlan(data="photos", situation=Situation(), names=NAMES, **settings)  # type: ignore[arg-type]


def test_a_plan_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="not a plan"):
        TryPlan.from_dict({"data": "x"})


def icons(folder: Path) -> Path:
    """Write images of two colours, which a tiny training can tell apart."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (("train", 10), ("val", 4)):
        for place, name in enumerate(("blue", "red")):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
                pixels[..., 2 - 2 * place] += 120
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return folder


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TryPlan:
    monkeypatch.setenv("EFFNET_OFFLINE", "1")
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))
    # Time plays no part here: a slow machine would leave out the last round.
    monkeypatch.setattr(network_choice, "training_seconds_per_mac", lambda **options: 1e-12)
    monkeypatch.setattr(network_choice, "measurer", lambda **options: lambda subjects: [None for _ in subjects])
    for name in NAMES[1:]:
        pytest.importorskip(str(default(name).package).replace("-", "_"))
    situation = Situation(goal="balanced", images=20, classes=2, image_side=24, trained_on="cpu")
    return TryPlan(data=str(icons(tmp_path / "icons")), situation=situation, names=NAMES, minutes=600, epochs=3)


@pytest.mark.slow
def test_a_trial_goes_on_where_it_was_interrupted(plan: TryPlan, tmp_path: Path) -> None:
    steps = 0

    def interrupt(event: Event) -> None:
        nonlocal steps
        steps += isinstance(event, Stepped)
        if steps == 4:
            raise InterruptedRunError(15, where="x", fix="y")

    folder = tmp_path / "run"
    with pytest.raises(InterruptedRunError, match="recommend --resume"):
        try_candidates(plan, folder, device="cpu", workers=0, display=lambda: interrupt)
    told: list[str] = []
    result = try_candidates(plan, folder, device="cpu", workers=0, say=told.append)
    assert [rung.epochs for rung in result.rungs] == [2, 3]
    assert {trial.name for trial in result.trials} == set(NAMES[1:])
    assert all(trial.top1 is not None and trial.model.is_file() for trial in result.trials)
    assert result.left_out[0].name == "efficientnet_b0", "its weights are not here"
    assert set(result.correct) == set(NAMES[1:])
    verdict = judge(result)
    assert verdict.better in NAMES[1:]
    again: list[str] = []
    repeated = try_candidates(plan, folder, device="cpu", workers=0, say=again.append)
    assert not [line for line in again if line.startswith("round")], "nothing is trained twice"
    assert [trial.top1 for trial in repeated.trials] == [trial.top1 for trial in result.trials]


def test_one_network_is_no_choice(plan: TryPlan, tmp_path: Path) -> None:
    import dataclasses

    lonely = dataclasses.replace(plan, names=("efficientnet_b0", "efficientnet_b1", "efficientnet_lite0"))
    with pytest.raises(InputError, match="only 1 of the candidates"):
        try_candidates(lonely, tmp_path / "run", device="cpu")

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from effnet.data.source import Dataset
from effnet.errors import InputError
from effnet.nn import Network
from effnet.training import trainer as trainer_module
from effnet.training.distributed import World
from effnet.training.events import Evaluated, Event, Finished, StageStarted, Stepped, Warned
from effnet.training.interruption import InterruptedRunError
from effnet.training.recipe import Recipe
from effnet.training.trainer import DivergedError, OutOfMemoryError, Trainer
from tests.tiny import tiny_network
from tests.tiny_data import CLASSES, colours
from tests.training.runs import RECIPE, digest, frozen


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Callable[..., Trainer]:
    def make(settings: dict[str, Any] | None = None, data: Dataset | None = None, **others: Any) -> Trainer:
        network = tiny_network(classes=len(CLASSES))
        assert network.preprocess is not None
        trainer = Trainer(
            network,
            Recipe.from_dict(settings or {}, base=RECIPE),
            data or colours(),
            preprocess=network.preprocess,
            world=World(device=torch.device("cpu")),
            **others,
        )
        request.addfinalizer(trainer.close)
        return trainer

    return make


@pytest.mark.parametrize("kind", ["rmsprop_tf", "sgd", "adamw"])
def test_a_run_resumed_at_any_step_ends_bit_for_bit_the_same(make: Callable[..., Trainer], kind: str) -> None:
    settings = {"optimizer": {"kind": kind}, "transfer": {"head_epochs": 1}, "batch": {"accumulate": 2}}
    whole = make(settings)
    states: dict[int, Any] = {}
    whole.run(lambda state, step: states.__setitem__(step, frozen(state)), save_seconds=0)
    final = digest(whole.state())
    assert len(states) == whole.timeline.steps
    for step in list(states)[:-1:2]:
        resumed = make(settings)
        resumed.restore(states[step])
        resumed.run()
        assert digest(resumed.state()) == final, f"resumed at step {step}"


def test_the_seed_decides_the_run(make: Callable[..., Trainer]) -> None:
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed + 17)  # the process's own generator must not matter
        trainer = make({"seed": seed, "epochs": 1})
        trainer.run()
        results.append(digest(trainer.state()))
    assert results[0] == results[1] != results[2]


def test_the_number_of_workers_does_not_matter(make: Callable[..., Trainer]) -> None:
    results = []
    for workers in (0, 2):
        trainer = make({"epochs": 2}, workers=workers)
        trainer.run()
        trainer.close()
        results.append(digest(trainer.state()))
    assert results[0] == results[1]


def test_it_learns(make: Callable[..., Trainer]) -> None:
    events: list[Event] = []
    trainer = make({"epochs": 12, "augmentation": {"policy": "none"}}, observers=[events.append])
    assert trainer.run() == "completed"
    top1 = [event.metrics["top1"] for event in events if isinstance(event, Evaluated)]
    assert len(top1) == 12
    assert trainer.best == max(top1) > 90
    assert isinstance(events[-1], Finished)


def test_on_a_cpu_freed_memory_is_kept(make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(trainer_module, "keep_freed_memory", lambda: asked.append(True))
    make({"epochs": 1}).run()
    assert asked == [True]


def test_every_image_is_seen_once_an_epoch_and_stages_change_everything_together(make: Callable[..., Trainer]) -> None:
    events: list[Event] = []
    trainer = make(observers=[events.append])
    trainer.run()
    stages = [event.settings for event in events if isinstance(event, StageStarted)]
    assert [s.image_size for s in stages] == [16, 24, 32]
    for name in ("magnitude", "mixup", "cutmix", "dropout"):
        values = [getattr(s, name) for s in stages]
        assert values == sorted(values) and values[0] < values[-1]
    assert trainer.network.classifier[0].p == pytest.approx(0.3)  # type: ignore[union-attr]
    steps = [event for event in events if isinstance(event, Stepped)]
    assert sum(event.samples for event in steps) == 4 * 22
    assert sum(images for _, images in trainer.stage_costs) == 4 * 22
    assert [event.step for event in steps] == list(range(1, trainer.timeline.steps + 1))


def test_only_the_classifier_learns_at_first(make: Callable[..., Trainer]) -> None:
    trainer = make({"epochs": 2, "transfer": {"head_epochs": 1}, "ema": {"decay": 0}})
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    states: dict[int, Any] = {}
    trainer.run(lambda state, step: states.__setitem__(step, frozen(state)))
    after_head, end = (state["network"] for state in states.values())
    changed = {name for name in before if not torch.equal(before[name], after_head[name])}
    assert changed == {"classifier.1.weight", "classifier.1.bias"}
    assert not torch.equal(end["features.0.0.weight"], before["features.0.0.weight"])


def test_frozen_norm_statistics_stay(make: Callable[..., Trainer]) -> None:
    trainer = make({"epochs": 1, "transfer": {"norm_statistics": "freeze"}})
    before = {name: value.clone() for name, value in trainer.network.named_buffers()}
    trainer.run()
    assert all(torch.equal(before[name], value) for name, value in trainer.network.named_buffers())


def test_accumulated_batches_give_the_gradient_of_the_whole(make: Callable[..., Trainer]) -> None:
    # Without norm statistics, dropout and augmentation nothing but rounding can differ.
    plain = {
        "epochs": 1,
        "progressive": {"stages": 1},
        "regularisation": {"dropout": 0, "drop_path": 0},
        "augmentation": {"policy": "none", "mixup": 0, "cutmix": 0},
        "transfer": {"norm_statistics": "freeze"},
    }
    weights = []
    for batch in ({"size": 8, "accumulate": 1}, {"size": 2, "accumulate": 4}):
        trainer = make(plain | {"batch": batch})
        trainer.run()
        weights.append(trainer.network.state_dict())
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-3, atol=1e-5)


def test_steps_without_a_finite_gradient_are_left_out(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, at={3, 4})
    events: list[Event] = []
    trainer = make(observers=[events.append])
    trainer.run()
    steps = [event for event in events if isinstance(event, Stepped)]
    assert [event.step for event in steps if event.skipped] == [3, 4]
    assert sum(isinstance(event, Warned) for event in events) == 2
    state = trainer.network.state_dict()
    assert all(bool(value.isfinite().all()) for value in state.values() if value.is_floating_point())


def test_a_run_that_diverges_stops_and_names_the_images(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, at=set(range(100)))
    trainer = make({"epochs": 8})
    before = trainer.network.state_dict()["features.0.1.running_mean"].clone()
    with pytest.raises(DivergedError, match=r"\.png") as caught:
        trainer.run()
    assert "lr=" in str(caught.value)
    assert torch.equal(trainer.network.state_dict()["features.0.1.running_mean"], before)


def poison(monkeypatch: pytest.MonkeyPatch, at: set[int]) -> None:
    calls, real = iter(range(1, 1000)), torch.nn.functional.cross_entropy

    def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
        factor = float("nan") if next(calls) in at else 1.0
        return real(logits, targets) * factor

    monkeypatch.setattr(trainer_module.functional, "cross_entropy", cross_entropy)


def test_when_memory_runs_out_the_batch_that_fits_is_named(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Network, images: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    trainer = make({"progressive": {"stages": 1}}, advise=lambda size: 2)
    monkeypatch.setattr(Network, "forward", full)
    with pytest.raises(OutOfMemoryError, match=r"batch\.size=2 .*batch\.accumulate=4"):
        trainer.run()


def test_sigterm_saves_and_says_how_to_go_on(make: Callable[..., Trainer]) -> None:
    whole = make()
    whole.run()

    def ask(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    states: dict[int, Any] = {}
    stopped = make(observers=[ask])
    with pytest.raises(InterruptedRunError) as caught:
        stopped.run(lambda state, step: states.__setitem__(step, frozen(state)))
    assert caught.value.exit_code == 143
    last = max(states)
    assert 5 <= last < whole.timeline.steps
    resumed = make()
    resumed.restore(states[last])
    resumed.run()
    assert digest(resumed.state()) == digest(whole.state())


def test_a_run_that_stops_improving_ends_and_one_out_of_time_does(make: Callable[..., Trainer]) -> None:
    patient = make({"epochs": 30, "patience": 2, "lr": 1e-9})
    assert patient.run() == "no_improvement"
    assert patient.step < patient.timeline.steps
    assert make({"max_hours": 0.0001, "epochs": 1000}).run() == "out_of_time"


def test_the_best_network_is_handed_over_with_its_averaged_weights(make: Callable[..., Trainer]) -> None:
    seen = []
    trainer = make(on_best=lambda weights, metrics: seen.append((metrics["top1"], frozen(weights))))
    trainer.run()
    assert [top1 for top1, _ in seen] == sorted(top1 for top1, _ in seen)
    assert seen[-1][0] == trainer.best


def test_of_epochs_that_are_equally_right_the_one_with_the_lowest_loss_is_handed_over(
    make: Callable[..., Trainer],
) -> None:
    events: list[Event] = []
    kept: list[float] = []
    # One image to judge by: top-1 is 0 or 100, so nearly all epochs tie.
    trainer = make(
        {"epochs": 8, "augmentation": {"policy": "none"}},
        data=colours(22, 1),
        observers=[events.append],
        on_best=lambda weights, metrics: kept.append(metrics["loss"]),
    )
    trainer.run()
    judged = [event.metrics for event in events if isinstance(event, Evaluated)]
    most = max(metrics["top1"] for metrics in judged)
    assert sum(metrics["top1"] == most for metrics in judged) > 1
    assert kept[-1] == min(metrics["loss"] for metrics in judged if metrics["top1"] == most)
    assert trainer.score is not None and trainer.score.loss == kept[-1]


def test_patience_waits_for_a_better_score_and_not_for_a_lower_loss(make: Callable[..., Trainer]) -> None:
    trainer = make({"epochs": 30, "patience": 3, "augmentation": {"policy": "none"}}, data=colours(22, 1))
    assert trainer.run() == "no_improvement"


def test_the_mean_of_classes_chooses_where_the_recipe_says_so(make: Callable[..., Trainer]) -> None:
    events: list[Event] = []
    make({"judged_by": "mean_of_classes", "epochs": 2}, observers=[events.append]).run()
    assert {event.chooser for event in events if isinstance(event, Evaluated | Finished)} == {"mean_of_classes"}


def test_half_precision_is_refused_on_a_cpu_with_the_reason(make: Callable[..., Trainer]) -> None:
    with pytest.raises(InputError, match=r"gradient kernels.*bfloat16"):
        make({"precision": {"dtype": "float16"}})


def test_without_validation_images_it_trains_to_the_end(make: Callable[..., Trainer]) -> None:
    data = colours()
    trainer = make({"epochs": 2}, data=Dataset(data.name, data.train))
    assert trainer.run() == "completed"
    assert trainer.best is None


def test_a_state_of_another_run_is_refused(make: Callable[..., Trainer]) -> None:
    trainer = make()
    state = frozen(trainer.state())
    with pytest.raises(InputError, match="format"):
        trainer.restore(state | {"format": 99})
    del state["network"]["classifier.1.bias"]
    with pytest.raises(InputError, match="classifier"):
        trainer.restore(state)


def test_outputs_and_classes_must_agree(make: Callable[..., Trainer]) -> None:
    network = tiny_network(classes=5)
    assert network.preprocess is not None
    with pytest.raises(InputError, match="5 outputs for 3 classes"):
        Trainer(network, RECIPE, colours(), preprocess=network.preprocess, world=World(device=torch.device("cpu")))

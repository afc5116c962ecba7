"""Surgery: what changes in the spec, that leaving SE out keeps the mean of its gates, and training back."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch

from effnet.deploy.quantize.finetuning import finetuned
from effnet.deploy.quantize.surgery import SURGERIES, operated, possible, with_fresh_statistics
from effnet.families import find
from effnet.nn import SqueezeExcite
from effnet.training.interruption import InterruptedRunError
from tests.deploy.quantize.tiny import samples
from tests.tiny import tiny_network


def test_only_what_would_change_something_is_possible() -> None:
    assert possible(find("b0")) == SURGERIES
    assert possible(find("lite0")) == ()
    assert all(not one.without_se for one in possible(find("b0").with_stage(1, se_ratio=0).replace(name="x"))[:2])
    assert possible(find("resnet50")) == ()
    gated = find("lite0").with_stage(2, se_ratio=0.25)
    assert [one.name for one in possible(gated)] == ["Lite (ReLU6, no SE)"]


@pytest.mark.parametrize("surgery", SURGERIES, ids=lambda one: one.name)
def test_the_spec_says_what_the_network_is(surgery: object) -> None:
    network = tiny_network(classes=3)
    changed = operated(network, surgery, list(samples().calibration_batches(16)))  # type: ignore[arg-type]
    assert changed.spec.conventions.activation == surgery.activation  # type: ignore[attr-defined]
    gates = [module for module in changed.modules() if isinstance(module, SqueezeExcite)]
    assert (not gates) == surgery.without_se  # type: ignore[attr-defined]
    assert changed.preprocess == network.preprocess
    assert network.spec.conventions.activation == "silu"
    answers = changed(torch.randn(2, 3, 32, 32))
    assert answers.shape == (2, 3) and answers.isfinite().all()


def test_gates_that_do_not_depend_on_the_image_are_left_out_without_loss() -> None:
    network = tiny_network(classes=3)
    for module in network.modules():
        if isinstance(module, SqueezeExcite):
            module.fc2.weight.data.zero_()
            module.fc2.bias.data.normal_(generator=torch.Generator().manual_seed(1))
    lite = SURGERIES[-1]
    batches = list(samples().calibration_batches(32))
    with torch.no_grad():
        without = operated(network, lite, batches)
        gated = operated(network, SURGERIES[0], batches)
        images = torch.from_numpy(batches[0])
        for norms in (without, gated):
            with_fresh_statistics(norms, batches)
        torch.testing.assert_close(without(images), gated(images), rtol=1e-3, atol=1e-3)


def test_training_brings_the_answers_back_and_looks_at_no_label() -> None:
    network = tiny_network(classes=3)
    some = samples()
    batches = list(some.calibration_batches(48))
    images = torch.from_numpy(np.concatenate(batches))
    changed = operated(network, SURGERIES[0], batches)
    with torch.no_grad():
        wanted = network(images)
        before = (changed(images) - wanted).square().mean().item()
    network.preprocess = None  # a teacher who was not told how images are prepared is told here
    done, planned = finetuned(changed, network, some, minutes=0.1, lr=0.02)
    with torch.no_grad():
        after = (with_fresh_statistics(changed, batches)(images) - wanted).square().mean().item()
    assert 0 < done <= planned and not changed.training
    assert network.preprocess is None
    assert after < before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_training_does_what_it_does_elsewhere_and_promises_no_checkpoint(
    number: signal.Signals,
) -> None:
    received: list[int] = []
    before = signal.signal(number, lambda number, frame: received.append(number))
    network, some = tiny_network(classes=3), samples()
    changed = operated(network, SURGERIES[0], list(some.calibration_batches(16)))
    try:
        with pytest.raises(InterruptedRunError):
            finetuned(
                changed, network, some, minutes=0.1, lr=0.02, progress=lambda done, total: signal.raise_signal(number)
            )
    finally:
        signal.signal(number, before)
    assert received == [number]

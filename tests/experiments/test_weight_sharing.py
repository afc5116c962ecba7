"""Slices of shared weights: inheritance and the supernet."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.errors import InputError
from effnet.experiments.supernet import Supernet
from effnet.experiments.weight_sharing import inherit, roles, slice_of
from effnet.families import find
from effnet.nn import build
from effnet.search.space import SearchSpace, StageChoices
from effnet.spec import NetworkSpec, StageSpec

B0 = find("b0")
BASE = B0.replace(
    stages=tuple(
        StageSpec(block=stage.block, channels=channels, repeats=repeats, stride=stage.stride)
        for stage, channels, repeats in zip(B0.stages[:3], (8, 16, 24), (1, 2, 2), strict=True)
    ),
    stem=B0.stem.__class__(channels=8),
    head=B0.head.__class__(channels=32, dropout=0.2),
    resolution=32,
    classes=3,
)
SPACE = SearchSpace.around(BASE)
SEEDS = st.integers(0, 10**6)


def drawn(seed: int) -> tuple[dict[str, object], NetworkSpec]:
    choices = SPACE.random(random.Random(seed))
    return dict(choices), SPACE.spec(choices)


@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_every_tensor_has_one_role(seed: int) -> None:
    network = build(drawn(seed)[1], weights=False)
    named = roles(network)
    assert set(named) == set(network.state_dict()) and len(set(named.values())) == len(named)


def test_a_role_does_not_depend_on_the_place_in_the_block() -> None:
    with_expansion = roles(build(BASE.with_stage(2, expand_ratio=4.0), weights=False))
    without = roles(build(BASE.with_stage(2, expand_ratio=1.0, se_ratio=0.0), weights=False))
    assert with_expansion["features.2.1.block.1.0.weight"] == without["features.2.1.block.0.0.weight"]
    assert with_expansion["features.2.1.block.3.0.weight"] == without["features.2.1.block.1.0.weight"]
    assert "features.2.1.mbconv.project.0.weight" in without.values()


def test_slices_are_leading_channels_and_the_middle_of_the_kernel() -> None:
    larger = torch.arange(4 * 3 * 5 * 5).view(4, 3, 5, 5)
    assert torch.equal(slice_of(larger, (2, 1, 3, 3)), larger[:2, :1, 1:4, 1:4])
    view = slice_of(larger, (2, 1, 3, 3))
    view.zero_()
    assert larger[0, 0, 2, 2] == 0  # a view, not a copy
    with pytest.raises(ValueError, match="out of"):
        slice_of(larger, (5, 1, 3, 3))


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_the_same_network_inherits_everything(seed: int) -> None:
    spec = drawn(seed)[1]
    donor = build(spec)
    for buffer in donor.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
    heir = build(spec)
    assert inherit(heir, donor.state_dict(), spec) == 1.0
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(heir.eval()(images), donor.eval()(images))


@given(one=SEEDS, other=SEEDS)
@settings(max_examples=15, deadline=None)
def test_others_inherit_what_overlaps_and_keep_the_rest(one: int, other: int) -> None:
    donor_spec, spec = drawn(one)[1], drawn(other)[1]
    donor = build(donor_spec)
    for tensor in donor.parameters():
        tensor.data.fill_(7.0)
    heir = build(spec)
    before = {name: tensor.clone() for name, tensor in heir.state_dict().items()}
    share = inherit(heir, donor.state_dict(), donor_spec)
    sevens = sum(int((tensor == 7).sum()) for tensor in heir.parameters())
    assert share == pytest.approx(sevens / sum(tensor.numel() for tensor in heir.parameters()))
    for name, tensor in heir.named_parameters():
        kept = tensor != 7
        assert torch.equal(tensor[kept], before[name][kept])


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_every_point_of_the_space_fits_into_the_supernet(seed: int) -> None:
    choices, _ = drawn(seed)
    logits = SUPERNET.logits(choices, torch.randn(4, 3, 32, 32))  # type: ignore[arg-type]
    assert logits.shape == (4, 3) and torch.isfinite(logits).all()


SUPERNET = Supernet(SPACE, classes=3)


def test_gradients_reach_the_slices_that_were_used_and_no_others() -> None:
    supernet = Supernet(SPACE, classes=3)
    choices = {name: values[0] for name, values in SPACE.dimensions.items()}  # mbconv, 3x3, expand 1, narrowest
    supernet.logits(choices, torch.randn(4, 3, 32, 32)).sum().backward()  # type: ignore[no-untyped-call]
    state = dict(zip(supernet.state_dict(), supernet.parameters, strict=True))
    depthwise = state["features.2.0.mbconv.depthwise.0.weight"].grad
    assert depthwise is not None
    assert depthwise[:8, :, 1:4, 1:4].abs().sum() > 0 and depthwise[:, :, 0].abs().sum() == 0
    assert all(tensor.grad is None for name, tensor in state.items() if "fused_mbconv" in name)


def coloured(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.randn(count, 3, 32, 32, generator=generator) * 0.5
    images[torch.arange(count), labels] += 1.5
    return images, labels


def test_training_makes_candidates_good_and_their_weights_can_be_taken_away() -> None:
    supernet = Supernet(SPACE, classes=3, seed=1)
    batches = [coloured(24, seed) for seed in range(4)]
    steps: list[tuple[int, int]] = []
    supernet.train(batches, epochs=30, seed=0, rate=0.01, progress=lambda done, of: steps.append((done, of)))
    assert steps[0] == (1, 120) and steps[-1] == (120, 120)
    held_out = [coloured(60, seed=99)]
    accuracies = []
    for seed in range(4):
        choices, spec = drawn(seed)
        accuracy = supernet.evaluate(choices, batches, held_out)  # type: ignore[arg-type]
        network = build(spec)
        network.load_state_dict(supernet.weights_of(choices, batches))  # type: ignore[arg-type]
        right = (network.eval()(held_out[0][0]).argmax(1) == held_out[0][1]).float().mean()
        assert 100 * float(right) == pytest.approx(accuracy)
        accuracies.append(accuracy)
    assert max(accuracies) > 70 and sum(accuracies) / 4 > 50  # chance is 33


def test_the_same_seed_trains_the_same_and_state_survives() -> None:
    batches = [coloured(12, 0)]
    first, second = Supernet(SPACE, classes=3, seed=1), Supernet(SPACE, classes=3, seed=1)
    first.train(batches, epochs=3, seed=5)
    second.train(batches, epochs=3, seed=5)
    for one, other in zip(first.parameters, second.parameters, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    third = Supernet(SPACE, classes=3, seed=2)
    third.load_state_dict(first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters, third.parameters, strict=True))
    small = SearchSpace.around(BASE, StageChoices(width=(0.75,)))
    with pytest.raises(InputError, match="another supernet"):
        Supernet(small, classes=3).load_state_dict(first.state_dict())
    with pytest.raises(InputError, match="nothing to train"):
        first.train([], epochs=3)

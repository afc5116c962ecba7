"""Zero-cost proxies."""

from __future__ import annotations

import math
import random

import pytest
import torch

from effnet.errors import UnknownNameError
from effnet.experiments.proxies import PROXIES, naswot, score, synflow
from effnet.families import find
from effnet.nn import build
from effnet.scaling import compound
from effnet.search.space import SearchSpace

SPACE = SearchSpace.around(compound(find("b0"), -8).replace(resolution=32, classes=3, origin=None))
IMAGES = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 3


def test_every_proxy_is_finite_and_repeatable_anywhere_in_the_space() -> None:
    for seed in range(4):
        spec = SPACE.spec(SPACE.random(random.Random(seed)))
        before = torch.random.get_rng_state()
        first = score(spec, list(PROXIES), IMAGES, LABELS, seed=1)
        assert set(first) == set(PROXIES) and all(math.isfinite(value) for value in first.values())
        assert torch.equal(before, torch.random.get_rng_state())
        again = score(spec, list(PROXIES), IMAGES, LABELS, seed=1)
        assert again == pytest.approx(first, rel=1e-3)
    other = score(spec, ["grad_norm"], IMAGES, LABELS, seed=2)
    assert other["grad_norm"] != first["grad_norm"]


def test_synflow_grows_with_the_product_of_the_weights() -> None:
    """Twice the weights of one convolution on the only path: twice the flow, log 2 more."""
    spec = SPACE.base.with_stage(1, skip=False)
    network, doubled = build(spec), build(spec)
    doubled.load_state_dict(network.state_dict())
    doubled.features[0][0].weight.data.mul_(2)
    assert synflow(doubled, IMAGES, LABELS) - synflow(network, IMAGES, LABELS) == pytest.approx(math.log(2), abs=1e-6)


def test_naswot_sees_whether_images_are_told_apart() -> None:
    network = build(SPACE.base)
    alike = IMAGES[:1].repeat(16, 1, 1, 1)
    assert naswot(network, IMAGES, LABELS) > naswot(network, alike, LABELS) + 10


def test_unknown_proxies_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="synflow"):
        score(SPACE.base, ["sinflow"], IMAGES, LABELS)

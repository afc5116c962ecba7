"""One optimizer step: taken when everything is finite, left out without a trace when it is not, and gone back to."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from effnet.nn import Network
from effnet.training.recipe import Recipe
from effnet.training.update import Update
from tests.tiny import tiny_network
from tests.training.runs import RECIPE, digest, frozen

CPU = torch.device("cpu")


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.from_dict({"ema": {"decay": 0.5}}, base=RECIPE)


def gradients(network: Network, update: Update, seed: int = 0) -> None:
    """Go through one forward and backward pass."""
    torch.manual_seed(seed)
    loss = network.train()(torch.randn(4, 3, 32, 32)).square().mean()
    torch.autograd.backward(update.scaled(loss))


def values(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize("what", ["nothing", "loss", "gradient"])
def test_what_is_not_finite_leaves_no_trace(recipe: Recipe, what: str) -> None:
    network = tiny_network()
    update = Update(network, recipe, CPU)
    before = values(network)
    update.begin(0.1)
    gradients(network, update)
    if what == "gradient":
        next(p for p in network.parameters() if p.grad is not None).grad[0] = float("inf")  # type: ignore[index]
    norm = update.move(what != "loss")
    floats = {name: value for name, value in before.items() if value.is_floating_point()}
    if what == "nothing":
        assert norm is not None and norm > 0
        assert not same(network.state_dict(), floats)
        with update.averaged():
            assert not same(network.state_dict(), floats)
    else:
        assert norm is None
        assert same(network.state_dict(), floats), "weights and the norms' statistics are what they were"


def test_it_goes_on_from_its_state_bit_for_bit(recipe: Recipe) -> None:
    network = tiny_network()
    update = Update(network, recipe, CPU)
    step(network, update, 0)
    other = copy.deepcopy(network)
    resumed = Update(other, recipe, CPU)
    resumed.restore(frozen(update.state()))
    for seed in (1, 2):
        assert step(network, update, seed) == step(other, resumed, seed)
    assert digest(resumed.state()) == digest(update.state())
    assert same(other.state_dict(), network.state_dict())
    with update.averaged(), resumed.averaged():
        assert same(other.state_dict(), network.state_dict())


def step(network: Network, update: Update, seed: int) -> float | None:
    update.begin(0.05)
    gradients(network, update, seed)
    return update.move(True)

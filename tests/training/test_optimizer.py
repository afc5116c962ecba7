"""RMSpropTF against TensorFlow's formula written anew in numpy, and parameter groups over real networks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from effnet.errors import InputError
from effnet.families.catalog import find
from effnet.nn import Network, build
from effnet.training.catalog import find as find_recipe
from effnet.training.optimizer import RMSpropTF, make_optimizer, parameter_groups, set_rate
from effnet.training.recipe import Recipe
from effnet.training.recipe_file import override

Array = np.ndarray[Any, np.dtype[np.float64]]


class TensorFlowRMSProp:
    """ApplyRMSProp of TensorFlow's training_ops, one array at a time, in float64."""

    def __init__(self, var: Array, decay: float, momentum: float, epsilon: float) -> None:
        self.var, self.rho, self.momentum, self.epsilon = var.copy(), decay, momentum, epsilon
        self.ms = np.ones_like(var)
        self.mom = np.zeros_like(var)

    def apply(self, grad: Array, lr: float) -> None:
        self.ms = self.ms + (np.square(grad) - self.ms) * (1 - self.rho)
        self.mom = self.mom * self.momentum + (grad * lr) / np.sqrt(self.ms + self.epsilon)
        self.var = self.var - self.mom


SETTINGS = [
    # decay, momentum, epsilon, weight decay, decoupled
    (0.9, 0.9, 1e-3, 0.0, False),
    (0.9, 0.9, 1e-3, 1e-2, False),
    (0.9, 0.9, 1e-3, 1e-2, True),
    (0.5, 0.0, 1e-8, 0.0, False),
    (0.0, 0.3, 1.0, 0.1, False),
]


@pytest.mark.parametrize(("decay", "momentum", "epsilon", "weight_decay", "decoupled"), SETTINGS)
def test_every_step_is_tensorflows(
    decay: float, momentum: float, epsilon: float, weight_decay: float, decoupled: bool
) -> None:
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape) for shape in ((3, 2), (5,), (2, 3, 4, 4), ())]
    weights = [nn.Parameter(torch.tensor(array)) for array in start]
    optimizer = RMSpropTF(
        weights, 1.0, square_decay=decay, momentum=momentum, eps=epsilon, weight_decay=weight_decay, decoupled=decoupled
    )
    theirs = [TensorFlowRMSProp(array, decay, momentum, epsilon) for array in start]
    for step in range(30):
        rate = 0.256 * 0.97**step  # a new rate must leave old steps in the momentum as they were
        optimizer.param_groups[0]["lr"] = rate
        for weight, reference in zip(weights, theirs, strict=True):
            gradient = rng.normal(size=reference.var.shape) * 10.0 ** rng.integers(-6, 3)
            weight.grad = torch.tensor(gradient)
            if decoupled:
                reference.var = reference.var - rate * weight_decay * reference.var
                reference.apply(gradient, rate)
            else:
                reference.apply(gradient + weight_decay * reference.var, rate)
        optimizer.step()
        for weight, reference in zip(weights, theirs, strict=True):
            np.testing.assert_allclose(weight.detach().numpy(), reference.var, rtol=1e-11, atol=1e-13)


def test_first_step_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = RMSpropTF([weight], 0.1)
    weight.grad = torch.tensor([2.0, 0.0], dtype=torch.float64)
    optimizer.step()
    # s = 1 + 0.1 * (4 - 1) = 1.3; m = 0.1 * 2 / sqrt(1.301)
    assert weight.tolist() == pytest.approx([1 - 0.2 / 1.301**0.5, -2.0], abs=1e-15)


def test_differs_from_torchs_own_where_it_should() -> None:
    ours, theirs = (nn.Parameter(torch.ones(1)) for _ in range(2))
    ours.grad = theirs.grad = torch.tensor([1e-3])
    RMSpropTF([ours], 0.1).step()
    torch.optim.RMSprop([theirs], 0.1, alpha=0.9, eps=1e-3, momentum=0.9).step()
    # s has started at 1, so a small gradient makes a small step; torch's from 0 makes one of about 0.1 * 1e-3 / 1.3e-3.
    assert 1 - ours.item() == pytest.approx(0.1 * 1e-3 / 0.901**0.5, rel=1e-3)
    assert 1 - theirs.item() > 0.05


def test_parameters_without_gradient_stay_and_start_when_they_get_one() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = RMSpropTF([first, second], 0.1)
    optimizer.step()
    first.grad = torch.ones(2)
    optimizer.step()
    assert second.tolist() == [1, 1]
    assert second not in optimizer.state
    second.grad = torch.ones(2)
    moved = first.detach().clone()
    first.grad = None
    optimizer.step()
    assert torch.equal(first, moved)
    assert (second < 1).all()


def test_closure_is_called_with_gradients_and_its_loss_returned() -> None:
    weight = nn.Parameter(torch.tensor([3.0]))
    optimizer = RMSpropTF([weight], 0.1)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 9.0
    assert weight.item() < 3


def test_training_resumed_from_its_state_goes_on_bit_for_bit() -> None:
    torch.manual_seed(0)
    gradients = [torch.randn(4, 3) for _ in range(10)]
    straight = nn.Parameter(torch.randn(4, 3))
    resumed = nn.Parameter(straight.detach().clone())

    def train(weight: nn.Parameter, optimizer: RMSpropTF, steps: list[torch.Tensor]) -> None:
        for gradient in steps:
            weight.grad = gradient.clone()
            optimizer.step()

    train(straight, RMSpropTF([straight], 0.1, weight_decay=1e-2), gradients)
    before = RMSpropTF([resumed], 0.1, weight_decay=1e-2)
    train(resumed, before, gradients[:5])
    after = RMSpropTF([resumed], 0.7)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    train(resumed, after, gradients[5:])
    assert torch.equal(straight, resumed)


def test_layout_of_channels_last_weights_is_kept() -> None:
    weight = nn.Parameter(torch.randn(8, 4, 3, 3).contiguous(memory_format=torch.channels_last))
    optimizer = RMSpropTF([weight], 0.1)
    weight.grad = torch.randn(8, 4, 3, 3)
    optimizer.step()
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert optimizer.state[weight]["square_average"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lr", -1), ("lr", float("nan")), ("momentum", 1), ("square_decay", -0.1), ("eps", 0), ("weight_decay", -1)],
)
def test_impossible_settings_are_refused(setting: str, value: float) -> None:
    settings: dict[str, Any] = {"lr": 0.1, setting: value}
    with pytest.raises(InputError) as caught:
        RMSpropTF([nn.Parameter(torch.ones(1))], **settings)
    assert caught.value.where == setting


def test_sparse_gradients_are_refused() -> None:
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3).to_sparse()
    with pytest.raises(InputError, match="sparse"):
        RMSpropTF([weight], 0.1).step()


@pytest.fixture(scope="module")
def lite() -> Network:
    return build(find("lite0").replace(classes=10))


@pytest.fixture(scope="module")
def b0() -> Network:
    return build(find("b0").replace(classes=10))


@pytest.mark.parametrize("undecayed", ["nothing", "norms", "norms_and_biases"])
@pytest.mark.parametrize("layer_decay", [1.0, 0.7])
def test_groups_hold_every_parameter_once(b0: Network, undecayed: Any, layer_decay: float) -> None:
    groups = parameter_groups(b0, weight_decay=1e-5, undecayed=undecayed, layer_decay=layer_decay)
    held = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(held) == sorted(map(id, b0.parameters()))


def test_which_parameters_decay(b0: Network) -> None:
    def decayed(undecayed: Any) -> set[str]:
        groups = parameter_groups(b0, weight_decay=0.5, undecayed=undecayed)
        ids = {id(weight) for group in groups if group["weight_decay"] == 0.5 for weight in group["params"]}
        assert {group["weight_decay"] for group in groups} <= {0.0, 0.5}
        return {name for name, weight in b0.named_parameters() if id(weight) in ids}

    every = {name for name, _ in b0.named_parameters()}
    norms = {
        f"{path}.{leaf}"
        for path, module in b0.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for leaf in ("weight", "bias")
    }
    assert len(norms) == 2 * 49  # B0 has 49 norms
    assert decayed("nothing") == every
    assert decayed("norms") == every - norms  # V1's code: biases of SE and of the classifier decay
    matrices = {name for name, weight in b0.named_parameters() if weight.ndim > 1}
    assert decayed("norms_and_biases") == matrices  # V2's code
    assert "classifier.1.bias" in decayed("norms") - matrices


def test_rates_fall_by_layer_from_the_classifier_down(b0: Network) -> None:
    groups = parameter_groups(b0, weight_decay=0, layer_decay=0.5, head_rate=3)
    share = {id(weight): group["rate_share"] for group in groups for weight in group["params"]}
    for name, weight in b0.named_parameters():
        part = name.split(".")
        layer = int(part[1]) if part[0] == "features" else 9  # stem 0, stages 1-7, head convolution 8
        assert share[id(weight)] == (0.5 ** (9 - layer) if layer < 9 else 3.0), name


def test_frozen_parameters_are_left_out_and_something_must_train() -> None:
    network = build(find("lite0").replace(classes=3))
    network.features.requires_grad_(False)
    groups = parameter_groups(network, weight_decay=0.1)
    assert {id(w) for g in groups for w in g["params"]} == {id(w) for w in network.classifier.parameters()}
    network.requires_grad_(False)
    with pytest.raises(InputError, match="no parameter is trainable"):
        parameter_groups(network, weight_decay=0.1)
    with pytest.raises(InputError, match="not a Network"):
        parameter_groups(nn.Linear(2, 2), weight_decay=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "kind", "want"),
    [
        ([], RMSpropTF, {"square_decay": 0.9, "momentum": 0.9, "eps": 1e-3, "decoupled": False}),
        (["optimizer.eps=0.01", "optimizer.square_decay=0.5"], RMSpropTF, {"square_decay": 0.5, "eps": 0.01}),
        (["optimizer.decoupled=true"], RMSpropTF, {"decoupled": True}),
        (["optimizer.kind=sgd", "optimizer.momentum=0.8"], torch.optim.SGD, {"momentum": 0.8, "nesterov": False}),
        (["optimizer.kind=adamw"], torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
        (
            ["optimizer.kind=adamw", "optimizer.square_decay=0.99", "optimizer.eps=1e-6"],
            torch.optim.AdamW,
            {"betas": (0.9, 0.99), "eps": 1e-6},
        ),
    ],
)
def test_recipe_makes_its_optimizer(lite: Network, flags: list[str], kind: type, want: dict[str, Any]) -> None:
    recipe = override(Recipe(lr=0.25), [*flags, "optimizer.weight_decay=0.125", "optimizer.head_rate=4"])
    optimizer = make_optimizer(recipe, lite)
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert {key: group[key] for key in want} == want
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.125}
    set_rate(optimizer, 0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {0.5, 2.0}


@pytest.mark.parametrize("name", ["v1", "finetune", "small"])
def test_one_step_of_each_optimizer_moves_every_parameter(lite: Network, name: str) -> None:
    network = copy.deepcopy(lite)
    optimizer = make_optimizer(find_recipe(name), network)
    before = {key: weight.detach().clone() for key, weight in network.named_parameters()}
    set_rate(optimizer, 0.1)
    torch.manual_seed(0)
    loss = nn.functional.cross_entropy(network(torch.randn(4, 3, 64, 64)), torch.tensor([0, 1, 2, 3]))
    loss.backward()
    optimizer.step()
    assert all(not torch.equal(weight, before[key]) for key, weight in network.named_parameters())
    assert all(weight.isfinite().all() for weight in network.parameters())

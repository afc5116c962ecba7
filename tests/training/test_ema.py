"""The average against its closed form, what it must not absorb, and what it must put back."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from effnet.errors import InputError
from effnet.training.ema import WeightAverage, decay_at


def network(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(dtype)


def train_a_little(net: nn.Sequential, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.randn(tensor.shape, generator=generator).to(tensor.dtype))
            else:
                tensor.add_(1)


def floats(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items() if tensor.is_floating_point()}


def averages(average: WeightAverage) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in average.state_dict()["shadows"].items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_warm_in() -> None:
    assert [decay_at(step, 0.9999) for step in (0, 1, 9, 90)] == [1 / 10, 2 / 11, 10 / 19, 91 / 100]
    assert decay_at(89_989, 0.9999) < 0.9999
    assert decay_at(89_991, 0.9999) == 0.9999
    assert decay_at(0, 0.05) == 0.05
    assert decay_at(0, 0.9999, warm_in=False) == 0.9999


@pytest.mark.parametrize("warm_in", [True, False])
def test_closed_form_over_weights_and_norm_statistics(warm_in: bool) -> None:
    net = network()
    average = WeightAverage(net, 0.8, warm_in)
    want = {name: tensor.double() for name, tensor in floats(net).items()}
    assert {"0.weight", "1.running_mean", "1.running_var"} <= set(want)
    for step in range(60):
        train_a_little(net, step)
        assert average.update(net)
        decay = min(0.8, (1 + step) / (10 + step)) if warm_in else 0.8
        for name, value in floats(net).items():
            want[name] = decay * want[name] + (1 - decay) * value.double()
    assert average.updates == 60
    for name, shadow in averages(average).items():
        torch.testing.assert_close(shadow.double(), want[name], rtol=1e-6, atol=1e-5)


def test_no_decay_is_the_last_weights() -> None:
    net = network()
    average = WeightAverage(net, 0.0)
    train_a_little(net, 1)
    average.update(net)
    assert same(averages(average), floats(net))


def test_constant_weights_stay_bit_for_bit() -> None:
    net = network()
    average = WeightAverage(net, 0.9999)
    for _ in range(100):
        average.update(net)
    assert same(averages(average), floats(net))


def test_starts_as_a_copy() -> None:
    net = network()
    average = WeightAverage(net, 0.9)
    before = averages(average)
    train_a_little(net, 1)
    assert same(averages(average), before)
    assert not same(averages(average), floats(net))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["0.weight", "1.bias", "1.running_var"])
def test_weights_that_are_not_finite_leave_everything_as_it_was(bad: float, where: str) -> None:
    net = network()
    average = WeightAverage(net, 0.9)
    train_a_little(net, 1)
    assert average.update(net)
    before = averages(average)
    sound = copy.deepcopy(net.state_dict())
    train_a_little(net, 2)
    net.state_dict()[where].view(-1)[-1] = bad
    assert not average.update(net)
    assert same(averages(average), before)
    assert average.updates == 1
    net.load_state_dict(sound)
    assert average.update(net)
    assert average.updates == 2
    net.state_dict()[where].view(-1)[0] = bad
    with pytest.raises(InputError, match="not finite"):
        WeightAverage(net, 0.9)


def test_low_precision_networks_are_averaged_in_float32() -> None:
    net = network(torch.bfloat16)
    average = WeightAverage(net, 0.9999, warm_in=False)
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        average.copy_to(net)
        start = averages(average)["0.weight"]
        net[0].weight.fill_(1.0)
    for _ in range(200):
        average.update(net)
    moved = averages(average)["0.weight"]
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved, 1 - (1 - start) * 0.9999**200, rtol=1e-4, atol=1e-4)
    average.copy_to(net)
    assert net[0].weight.dtype == torch.bfloat16
    assert torch.equal(net[0].weight, moved.bfloat16())


def test_copy_gives_the_averages_and_leaves_counters_alone() -> None:
    net = network()
    average = WeightAverage(net, 0.9)
    train_a_little(net, 1)
    average.update(net)
    counter = net[1].num_batches_tracked.clone()
    average.copy_to(net)
    assert same(floats(net), averages(average))
    assert torch.equal(net[1].num_batches_tracked, counter)
    assert all(weight.requires_grad for weight in net.parameters())


def test_swapped_puts_back_exactly_what_was_there_even_after_an_error() -> None:
    net = network()
    average = WeightAverage(net, 0.9)
    train_a_little(net, 1)
    average.update(net)
    before, shadows = floats(net), averages(average)
    with average.swapped(net):
        assert same(floats(net), shadows)
        assert not same(floats(net), before)
    assert same(floats(net), before)
    with pytest.raises(ZeroDivisionError), average.swapped(net):
        net[1].running_mean.fill_(7)
        raise ZeroDivisionError
    assert same(floats(net), before)
    assert same(averages(average), shadows)


def test_resumed_average_goes_on_bit_for_bit() -> None:
    net = network()
    straight = WeightAverage(net, 0.99)
    resumed = WeightAverage(net, 0.99)
    for step in range(10):
        train_a_little(net, step)
        straight.update(net)
        resumed.update(net)
        file = io.BytesIO()
        torch.save(resumed.state_dict(), file)
        file.seek(0)
        resumed = WeightAverage(net, 0.99)
        resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.updates == straight.updates == 10
    assert same(averages(resumed), averages(straight))


def test_damaged_states_are_refused_whole() -> None:
    net = network()
    average = WeightAverage(net, 0.9)
    before = averages(average)
    good = copy.deepcopy(average.state_dict())
    train_a_little(net, 1)
    moved = floats(net)

    def damaged(**changes: object) -> dict[str, object]:
        return {"updates": 3, "shadows": {**moved, **changes}}

    bad = [
        {},
        {"updates": -1, "shadows": moved},
        {"updates": 3, "shadows": None},
        damaged(extra=torch.ones(1)),
        damaged(**{"1.bias": torch.ones(5)}),
        damaged(**{"1.running_var": torch.full((4,), float("nan"))}),
        {"updates": 3, "shadows": {name: value for name, value in moved.items() if name != "1.bias"}},
    ]
    for state in bad:
        with pytest.raises(InputError) as caught:
            average.load_state_dict(state)
        assert caught.value.fix
        assert same(averages(average), before)
        assert average.updates == 0
    average.load_state_dict(good)
    average.load_state_dict(damaged())
    assert average.updates == 3
    assert same(averages(average), moved)


def test_another_network_is_refused() -> None:
    average = WeightAverage(network(), 0.9)
    other = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5))
    for act in (average.update, average.copy_to):
        with pytest.raises(InputError, match=r"0\.weight: does not match"):
            act(other)
    with pytest.raises(InputError, match="does not match"), average.swapped(nn.Linear(2, 2)):
        raise AssertionError("swapped in another network")


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_impossible_decays_are_refused(decay: float) -> None:
    with pytest.raises(InputError, match="decay is"):
        WeightAverage(network(), decay)

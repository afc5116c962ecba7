"""Maps by every method, at every stage."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.errors import InputError, UnknownNameError, WeightsError
from effnet.families import find
from effnet.inference.explain import METHODS, activation_maps, class_activation_map, stage_name, stage_number
from effnet.nn import Network, build, fold_norms
from effnet.spec import NetworkSpec
from tests.strategies import specs
from tests.tiny import tiny_network

NETWORK = tiny_network()
IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
CLASSES = [[0, 3], [6, 1], [2, 2]]


def shrunk(name: str) -> Network:
    """Return a published network with few channels and classes, and running statistics of its own."""
    spec = find(name)
    stages = tuple(replace(stage, channels=8, repeats=min(stage.repeats, 2), expand_from=None) for stage in spec.stages)
    stem, head = replace(spec.stem, channels=8), replace(spec.head, channels=spec.head.channels and 16)
    torch.manual_seed(0)
    network = build(spec.replace(stem=stem, stages=stages, head=head, classes=5))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    network.train()(torch.randn(16, 3, 64, 64))
    return network.eval()


@pytest.mark.parametrize(
    "name", ["b0", "v2-s", "v2-b0", "lite0", "edgetpu-s", "mnasnet-a1", "resnet18", "resnet50", "l2"]
)
def test_in_every_family_the_maps_agree_at_the_last_layer(name: str) -> None:
    network = shrunk(name)
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(3))
    classes = [[0, 4], [2, 1]]
    exact = activation_maps(network, images, classes, method="cam")
    torch.testing.assert_close(
        activation_maps(network, images, classes, method="hirescam"), exact, rtol=1e-4, atol=1e-5
    )
    # Grad-CAM averages gradients that are the same everywhere, then keeps what is positive.
    torch.testing.assert_close(activation_maps(network, images, classes), exact.relu(), rtol=1e-4, atol=1e-5)


@given(spec=specs().filter(lambda spec: spec.classes > 0), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_hirescam_is_the_exact_map_in_any_network(spec: NetworkSpec, seed: int) -> None:
    torch.manual_seed(seed)
    network = build(spec).double().eval()
    images = torch.randn(2, spec.in_channels, 33, 33, dtype=torch.float64)
    exact = activation_maps(network, images, method="cam")
    torch.testing.assert_close(activation_maps(network, images, method="hirescam"), exact)


def test_each_column_is_the_map_of_its_class() -> None:
    for method in METHODS:
        both = activation_maps(NETWORK, IMAGES, CLASSES, method=method)  # type: ignore[arg-type]
        for column in (0, 1):
            alone = [[row[column]] for row in CLASSES]
            one = activation_maps(NETWORK, IMAGES, alone, method=method)  # type: ignore[arg-type]
            torch.testing.assert_close(both[:, column], one[:, 0])
    # Close, not equal: a matrix product of other shape may be added up in another order, as the processor has it.
    torch.testing.assert_close(
        class_activation_map(NETWORK, IMAGES, [0, 6, 2]), activation_maps(NETWORK, IMAGES, CLASSES, method="cam")[:, 0]
    )


@pytest.mark.parametrize("method", ["grad-cam", "hirescam", "layercam"])
def test_maps_are_as_large_as_the_stage(method: str) -> None:
    for stage, side in ((0, 32), (1, 32), (2, 32), (3, 32), (None, 32)):
        maps = activation_maps(NETWORK, IMAGES, CLASSES, method=method, stage=stage)  # type: ignore[arg-type]
        assert maps.shape == (3, 2, side, side)
        assert (method == "hirescam") or (maps >= 0).all()


def test_the_mean_of_hirescam_is_the_first_order_change_of_the_logit() -> None:
    """Scaling a stage's output by 1 + t changes the logit by t times the mean of the map."""
    network = tiny_network().double()
    images = IMAGES.double()
    for stage in range(4):
        maps = activation_maps(network, images, CLASSES, method="hirescam", stage=stage)
        step = 1e-6
        changed = []
        for factor in (1 - step, 1 + step):
            with torch.no_grad():
                x = network.features[: stage + 1](images) * factor
                changed.append(network.forward_head(network.features[stage + 1 :](x)))
        slope = ((changed[1] - changed[0]) / (2 * step)).gather(1, torch.tensor(CLASSES))
        torch.testing.assert_close(maps.mean((2, 3)), slope, rtol=1e-5, atol=1e-7)


def test_the_network_is_left_as_it_was() -> None:
    network = tiny_network().train()
    network.features[1].eval()
    modes = [module.training for module in network.modules()]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained = activation_maps(network, IMAGES, CLASSES)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    torch.testing.assert_close(trained, activation_maps(NETWORK, IMAGES, CLASSES))  # as in evaluation


def test_folded_networks_and_inference_mode_give_the_same_maps() -> None:
    folded = fold_norms(NETWORK)
    with torch.inference_mode():
        images = IMAGES.clone()
        for method in METHODS:
            maps = activation_maps(folded, images, CLASSES, method=method)  # type: ignore[arg-type]
            torch.testing.assert_close(
                maps, activation_maps(NETWORK, IMAGES, CLASSES, method=method), rtol=1e-3, atol=1e-3
            )  # type: ignore[arg-type]


def test_networks_for_grey_images_are_explained() -> None:
    network = tiny_network(in_channels=1)
    maps = activation_maps(network, torch.randn(1, 1, 32, 32), method="hirescam")
    assert maps.shape == (1, 1, 16, 16)


def test_stages_have_names() -> None:
    b0, resnet = find("b0"), find("resnet50")
    assert [stage_number(b0, text) for text in ("stem", "1", "7", "head")] == [0, 1, 7, 8]
    assert [stage_name(b0, number) for number in (0, 3, 8)] == ["stem", "stage 3", "head"]
    assert stage_number(resnet, "4") == 4
    for spec, text in ((b0, "8"), (b0, "0"), (resnet, "head"), (b0, "tail"), (b0, ""), (b0, "٣x")):
        with pytest.raises(InputError, match="stage"):
            stage_number(spec, text)


def test_impossible_requests_are_refused() -> None:
    for classes in ([[0]], [[0], [1, 2], [3]], [[0], [1], [7]], [[0], [1], [-1]], [[], [], []], [[0], [1], [True]]):
        for method in ("cam", "grad-cam"):
            with pytest.raises(InputError, match="classes"):
                activation_maps(NETWORK, IMAGES, classes, method=method)  # type: ignore[arg-type]
    for stage in (4, -1, True, "head"):
        with pytest.raises(InputError, match="stage"):
            activation_maps(NETWORK, IMAGES, stage=stage)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="hirescam"):
        activation_maps(NETWORK, IMAGES, method="hirescan")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="last map"):
        activation_maps(NETWORK, IMAGES, method="cam", stage=1)
    with pytest.raises(InputError, match="classifier"):
        activation_maps(build(NETWORK.spec.replace(classes=0)), IMAGES)


def test_damaged_weights_are_said_to_be_damaged() -> None:
    network = tiny_network()
    network.classifier[1].weight.data[0] = float("nan")
    with pytest.raises(WeightsError, match="finite"):
        activation_maps(network, IMAGES, [[0], [0], [0]])

"""Code of torchvision's users, re-enacted: names, surgery, tensors, tracing."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import effnet
from effnet import models
from effnet.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def test_classes_and_submodules_have_their_names() -> None:
    assert isinstance(models.efficientnet_b0(), models.EfficientNet)
    assert isinstance(models.get_model("resnet18"), models.ResNet)
    for name, part in (("efficientnet", "EfficientNet_B6_Weights"), ("resnet", "ResNet50_Weights")):
        module = importlib.import_module(f"effnet.models.{name}")
        assert getattr(module, part) is getattr(models, part)
    assert importlib.import_module("effnet.models.efficientnet").EfficientNet is models.EfficientNet
    with pytest.raises(AttributeError):
        models.vgg16  # noqa: B018


@pytest.mark.parametrize("cut", range(1, 10))
def test_the_children_of_resnet_are_theirs(cut: int) -> None:
    network = models.resnet18().eval()
    images = torch.randn(2, 3, 64, 64)
    layers = [network.conv1, network.bn1, network.relu, network.maxpool]
    layers += [network.layer1, network.layer2, network.layer3, network.layer4, network.avgpool]
    expected = images
    for layer in layers[:cut]:
        expected = layer(expected)
    with torch.inference_mode():
        assert torch.equal(nn.Sequential(*list(network.children())[:cut])(images), expected)


def test_a_getter_of_intermediate_layers_finds_its_layers() -> None:
    network = models.resnet18().eval()
    wanted, found, x = {"layer2": "low", "layer4": "high"}, {}, torch.randn(1, 3, 64, 64)
    assert set(wanted) <= {name for name, _ in network.named_children()}
    for name, module in network.named_children():
        x = module(x)
        if name in wanted:
            found[wanted[name]] = tuple(x.shape)
        if len(found) == 2:
            break
    assert found == {"low": (1, 128, 8, 8), "high": (1, 512, 2, 2)}


@pytest.mark.parametrize(
    ("chosen", "count"), [("fc", 2), ("layer4", 15), ("layer1.0.conv1", 1), ("bn1", 18), ("downsample", 9)]
)
@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, nn.Sequential])
def test_resnet_is_frozen_by_their_names(chosen: str, count: int, wrap: Callable[[nn.Module], nn.Module]) -> None:
    network = wrap(models.resnet18())
    for name, parameter in network.named_parameters():
        parameter.requires_grad = chosen in name
    assert sum(parameter.requires_grad for parameter in network.parameters()) == count
    assert sum(1 for _ in network.parameters()) == 62


def test_the_inside_of_a_block_is_replaced_and_acts() -> None:
    network = models.resnet50().eval()
    images = torch.randn(1, 3, 64, 64)
    before = network(images)
    block = network.layer2[0]
    assert block.conv1 is network.features[2][0].block[0][0] and block.downsample is network.features[2][0].shortcut
    block.conv3 = copy.deepcopy(block.conv3)
    block.conv3.weight.data.mul_(3)
    assert not torch.allclose(network(images), before)
    network.layer3 = nn.Identity()
    network.layer4 = nn.Conv2d(512, 2048, 1)
    assert network(images).shape == (1, 1000)
    made = models.efficientnet_b0()
    assert made.features[2][1].use_res_connect and not made.features[2][0].use_res_connect
    made.features[2][1].stochastic_depth.p = 0.7
    assert made.features[2][1].drop_path.rate == 0.7
    made.features[2][1].stochastic_depth = nn.Identity()
    assert isinstance(made.features[2][1].drop_path, nn.Identity)
    made.features[2][1].use_res_connect = False
    assert made.features[2][1].residual is False


def test_what_torch_does_to_children_reaches_every_layer() -> None:
    network = models.resnet18()
    network.features[1].append(nn.Dropout(0.5))
    network.extra = nn.Linear(2, 2)
    assert not any(module.training for module in network.eval().modules())
    assert all(module.training for module in network.train().modules())
    seen: list[int] = []
    network.apply(lambda module: seen.append(id(module)))
    assert {id(module) for module in network.modules()} <= set(seen)
    network.double()
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float64, torch.int64}
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in synchronised.modules()) == 20
    assert next(iter(network.state_dict())) == "features.0.0.weight"


@pytest.mark.parametrize("program", [torch.jit.script, torch.fx.symbolic_trace])
@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_v2_s", "resnet18", "resnet50"])
def test_programs_are_made_of_them(name: str, program: Callable[[nn.Module], Any]) -> None:
    network = models.get_model(name, num_classes=4).eval()
    images = torch.randn(1, 3, 64, 64)
    made = program(network)
    assert torch.equal(made(images), network(images))


def test_a_graph_has_their_paths() -> None:
    targets = {str(node.target) for node in torch.fx.symbolic_trace(models.resnet18().eval()).graph.nodes}
    assert {"conv1", "layer1.0.conv1", "layer2.0.downsample.0", "layer4.1.bn2", "avgpool", "fc"} <= targets
    targets = {str(node.target) for node in torch.fx.symbolic_trace(models.efficientnet_b0().eval()).graph.nodes}
    assert {"features.0.0", "features.8.0", "classifier.1"} <= targets


def test_options_of_resnet_act() -> None:
    zero = models.resnet18(zero_init_residual=True)
    assert not zero.layer1[0].bn2.weight.any() and zero.layer1[0].bn1.weight.all()
    assert models.resnet18(zero_init_residual=False).layer1[0].bn2.weight.all()
    dilated = models.resnet50(replace_stride_with_dilation=[False, True, True]).eval()
    features = nn.Sequential(*list(dilated.children())[:-2])
    assert features(torch.randn(1, 3, 64, 64)).shape == (1, 2048, 8, 8)
    assert [block.conv2.dilation for block in dilated.layer4] == [(2, 2), (4, 4), (4, 4)]
    assert [block.conv2.dilation for block in dilated.layer3[:2]] == [(1, 1), (2, 2)]
    for wrong in ([True], "yes"):
        with pytest.raises(InputError, match="replace_stride_with_dilation"):
            models.resnet50(replace_stride_with_dilation=wrong)
    with pytest.raises(InputError, match="basic"):
        models.resnet18(replace_stride_with_dilation=[False, False, True])
    for build in (models.resnet18, models.efficientnet_b0):
        grouped = build(norm_layer=lambda channels: nn.GroupNorm(8, channels))
        assert not any(isinstance(module, nn.BatchNorm2d) for module in grouped.modules())
        assert grouped(torch.randn(1, 3, 64, 64)).shape == (1, 1000)
    with pytest.raises(InputError, match="norm_layer"):
        models.resnet18(weights="DEFAULT", norm_layer=nn.BatchNorm2d)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_float_tensors_are_prepared(lead: tuple[int, ...]) -> None:
    transform = models.EfficientNet_B0_Weights.DEFAULT.transforms()
    assert (transform.interpolation.value, transform.antialias) == ("bicubic", True)
    assert models.ResNet50_Weights.DEFAULT.transforms().interpolation.value == "bilinear"
    grey = torch.full((*lead, 3, 300, 280), 0.25)
    expected = (0.25 - torch.tensor(transform.mean)) / torch.tensor(transform.std)
    out = transform(grey)
    assert out.shape == (*lead, 3, 224, 224)
    torch.testing.assert_close(out, expected.view(3, 1, 1).expand(out.shape), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.jit.script(transform)(grey), out)


def test_floats_and_bytes_of_one_picture_agree() -> None:
    transform = models.ResNet50_Weights.IMAGENET1K_V1.transforms()
    smooth = torch.linspace(0, 255, 300).round().expand(3, 260, 300).to(torch.uint8)
    assert (transform(smooth / 255) - transform(smooth)).abs().max() < 0.03  # a level and a half of 255
    small = transform(torch.rand(3, 20, 500))
    assert small.shape == (3, 224, 224)


def test_a_network_with_their_names_goes_on_into_everything_here() -> None:
    network = models.resnet18(num_classes=3).eval()
    images = torch.randn(1, 3, 64, 64)
    folded = effnet.nn.fold_norms(network)
    torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-5)
    network.bn1.eps = 0.5
    with torch.inference_mode():
        assert torch.equal(network.canonical()(images), network(images))
    assert type(network.canonical()) is effnet.Network
    assert {name.partition(".")[0] for name, _ in network.canonical().named_parameters()} == {"features", "classifier"}
    plain: Tensor = effnet.create("resnet18", classes=3)(images)
    assert plain.shape == network(images).shape

"""Code of EfficientNet-PyTorch's users, re-enacted: what they do to the network acts, with the original's numbers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import effnet
from effnet import efficientnet_pytorch as door
from effnet.efficientnet_pytorch import EfficientNet, get_model_params, model, utils
from effnet.errors import EffnetError, InputError, SpecError, UnknownNameError
from tests.parity.conftest import lively

peer = pytest.importorskip("efficientnet_pytorch")
peer_utils = peer.utils

CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # another padding moves logits by hundredths; kernels by a ten-millionth


def pair(side: int = 64, **params: Any) -> tuple[EfficientNet, nn.Module, Tensor]:
    """Return ours and theirs with the same weights, which show differences, and images (2, 3, side, side)."""
    ours = EfficientNet.from_name("efficientnet-b0", **params)
    network, images = lively(ours.spec, side)
    ours.load_state_dict(network.state_dict())
    theirs = peer.EfficientNet.from_name("efficientnet-b0", **{"image_size": side, **params})
    theirs.load_state_dict(ours.state_dict())
    return ours.double().eval(), theirs.double().eval(), images.double()  # so that rounding tells nothing


def walk(network: Any, x: Tensor) -> dict[str, Tensor]:
    """Go through the blocks by hand, as bird's-eye-view and segmentation code does."""
    endpoints = {}
    x = network._swish(network._bn0(network._conv_stem(x)))
    before = x
    for number, block in enumerate(network._blocks):
        rate = network._global_params.drop_connect_rate
        if rate:
            rate *= float(number) / len(network._blocks)
        x = block(x, drop_connect_rate=rate)
        if before.size(2) > x.size(2):
            endpoints[f"reduction_{len(endpoints) + 1}"] = before
        before = x
    endpoints[f"reduction_{len(endpoints) + 1}"] = x
    return endpoints


@pytest.mark.parametrize("side", [64, 75])
def test_a_walk_through_the_blocks_is_theirs(side: int) -> None:
    ours, theirs, images = pair(side)
    with torch.inference_mode():
        mine, other = walk(ours, images), walk(theirs, images)
    assert list(mine) == list(other)
    for name, feature in mine.items():
        torch.testing.assert_close(feature, other[name], **CLOSE)


def test_the_walk_drops_what_it_is_told_to() -> None:
    ours, _, images = pair()
    block = ours._blocks[2].train()  # a shortcut
    x = torch.randn(64, 24, 8, 8).double()
    for norm in (block._bn0, block._bn1, block._bn2):
        norm.eval()
    with torch.no_grad():
        assert torch.equal(block(x), block(x, drop_connect_rate=0.0))
        dropped = [(block(x, drop_connect_rate=0.5)[i] == x[i]).all().item() for i in range(len(x))]
    assert 10 < sum(dropped) < 54
    assert ours(images).shape == (2, 1000)


@pytest.mark.parametrize("part", ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_se_reduce", "_se_expand"])
def test_the_inside_of_a_block_has_their_names_and_is_replaced(part: str) -> None:
    ours, theirs, images = pair()
    assert [name for name, _ in ours._blocks[3].named_children()] == [
        name for name, _ in theirs._blocks[3].named_children()
    ]
    for network in (ours, theirs):
        layer = copy.deepcopy(getattr(network._blocks[3], part))
        layer.weight.data.mul_(1.5)
        setattr(network._blocks[3], part, layer)
    before = pair()[0]
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), **CLOSE)
        assert not torch.allclose(ours(images), before(images), **CLOSE)


def test_blocks_and_activations_are_replaced() -> None:
    ours, theirs, images = pair()
    for network in (ours, theirs):
        network._swish = nn.ReLU()
        network._blocks[4]._swish = nn.Tanh()
        network._blocks[2] = (
            network._blocks[2]
            .__class__(network._blocks[2]._block_args, network._global_params, image_size=(16, 16))
            .double()
        )
    theirs._blocks[2].load_state_dict(ours._blocks[2].state_dict())
    ours.eval(), theirs.eval()
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), **CLOSE)
        torch.testing.assert_close(ours.canonical()(images), theirs(images), **CLOSE)


@pytest.mark.parametrize("chosen", ["_fc", "_conv_head", "_blocks.15", "_bn0", "_depthwise_conv"])
@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, lambda m: nn.Sequential(nn.Sequential(m))])
def test_freezing_by_their_names_leaves_their_tensors(chosen: str, wrap: Callable[[nn.Module], nn.Module]) -> None:
    counts = []
    for kind in (EfficientNet, peer.EfficientNet):
        network = wrap(kind.from_name("efficientnet-b0"))
        for name, parameter in network.named_parameters():
            parameter.requires_grad = chosen in name
        counts.append([name for name, parameter in network.named_parameters() if parameter.requires_grad])
    assert counts[0] == counts[1]
    assert counts[0]


def test_the_last_layer_is_deleted() -> None:
    ours, theirs, images = pair()
    for network in (ours, theirs):
        del network._fc
        assert not hasattr(network, "_fc")
        assert not any("_fc" in name for name, _ in network.named_parameters())
    with torch.inference_mode():
        torch.testing.assert_close(ours.extract_features(images), theirs.extract_features(images), **CLOSE)
    ours._fc = nn.Linear(1280, 3).double()
    assert (ours(images).shape, ours.spec.classes) == ((2, 3), 3)


@pytest.mark.parametrize("prefix", ["module.", "net.", "model.net.", "a.b.c."])
@pytest.mark.parametrize("strict", [True, False])
def test_a_wrapped_network_takes_its_old_checkpoint(prefix: str, strict: bool) -> None:
    ours, theirs, images = pair()
    old = {prefix + name: tensor for name, tensor in theirs.state_dict().items()}
    network = EfficientNet.from_name("efficientnet-b0").double().eval()
    wrapped: nn.Module = network
    for part in reversed(prefix.removesuffix(".").split(".")):
        outer = nn.Module()
        setattr(outer, part, wrapped)
        wrapped = outer
    report = wrapped.load_state_dict(old, strict=strict)
    assert (report.missing_keys, report.unexpected_keys) == ([], [])
    with torch.inference_mode():
        assert torch.equal(network(images), ours(images))


def test_dataparallel_takes_its_old_checkpoint_without_its_classifier() -> None:
    _, theirs, _ = pair()
    old = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items() if not name.startswith("_fc")}
    wrapped = nn.DataParallel(EfficientNet.from_name("efficientnet-b0", num_classes=7))
    report = wrapped.load_state_dict(old, strict=False)
    assert (report.missing_keys, report.unexpected_keys) == (["module._fc.weight", "module._fc.bias"], [])
    assert torch.equal(wrapped.module._conv_stem.weight, theirs._conv_stem.weight)


class MultiHead(EfficientNet):
    """A subclass that adds heads and computes them, as for several biomarkers of one image."""

    def __init__(self, blocks_args: Any = None, global_params: Any = None) -> None:
        super().__init__(blocks_args, global_params)
        self.heads = nn.ModuleList(nn.Linear(self._fc.in_features, 2) for _ in range(3))
        self._fc = nn.Identity()

    def forward(self, inputs: Tensor) -> list[Tensor]:  # type: ignore[override]
        pooled = self._dropout(self._avg_pooling(self.extract_features(inputs)).flatten(start_dim=1))
        return [head(pooled) for head in self.heads]


class Attention(EfficientNet):
    """A subclass that computes features in its own way; the inherited forward must use them."""

    def extract_features(self, inputs: Tensor) -> Tensor:
        features = super().extract_features(inputs)
        return features * torch.sigmoid(features.mean(1, keepdim=True))


def test_subclasses_are_made_loaded_and_computed(tmp_path: Any) -> None:
    ours, theirs, images = pair()
    made = MultiHead.from_name("efficientnet-b0", in_channels=1)
    assert isinstance(made, MultiHead)
    assert [out.shape for out in made(torch.zeros(2, 1, 64, 64))] == [(2, 2)] * 3
    torch.save(theirs.state_dict(), tmp_path / "b0.pth")
    attending = Attention.from_pretrained("efficientnet-b0", str(tmp_path / "b0.pth")).double().eval()
    with torch.inference_mode():
        features = ours.extract_features(images)
        weighed = features * torch.sigmoid(features.mean(1, keepdim=True))
        expected = ours._fc(weighed.mean((2, 3)))
        torch.testing.assert_close(attending(images), expected, **CLOSE)
    direct = MultiHead(*get_model_params("efficientnet-b0", {"num_classes": 4})).eval()
    assert len(direct(torch.zeros(1, 3, 32, 32))) == 3
    with pytest.raises(InputError, match="forward is another"):
        attending.canonical()


@pytest.mark.parametrize("announced", [64, 65, 97, (64, 96), None])
def test_image_size_pads_as_theirs_whatever_comes_in(announced: Any) -> None:
    ours, theirs, _ = pair(image_size=announced)
    for side in (64, 65, 80, 97):
        images = torch.randn(1, 3, side, side + 1).double()
        with torch.inference_mode():
            torch.testing.assert_close(ours(images), theirs(images), **CLOSE)
            torch.testing.assert_close(ours.canonical()(images), theirs(images), **CLOSE)
    first = EfficientNet(*get_model_params("efficientnet-b0", {"image_size": announced}))
    assert first._pads_for == ours._pads_for


def test_without_image_size_padding_follows_the_image() -> None:
    ours, theirs, images = pair(65)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), **CLOSE)
    assert EfficientNet.from_name("efficientnet-b3")._global_params.image_size == 300


def test_training_through_checkpointed_blocks_is_the_same() -> None:
    ours, _, images = pair(drop_connect_rate=0.0)
    ours.train()._dropout.p = 0.0
    gradients = []
    for enabled in (False, True):
        network = copy.deepcopy(ours)
        network.set_gradient_checkpointing(enabled)
        network(images).square().sum().backward()
        gradients.append(network._conv_stem.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_same_network_under_our_names_shares_its_layers() -> None:
    ours, _, images = pair()
    network = ours.canonical()
    assert type(network) is effnet.Network
    with torch.inference_mode():
        torch.testing.assert_close(network(images), ours(images))
        assert torch.equal(ours.forward_pyramid(images)[1], ours.extract_endpoints(images)["reduction_2"])
    ours._blocks[7]._project_conv.weight.data.zero_()
    assert not network.features[4][2].block[3][0].weight.any()
    with pytest.raises(InputError, match="_fc"):
        ours.classifier[1] = nn.Linear(1280, 2)
    with pytest.raises(InputError, match="_fc"):
        ours.classifier = nn.Identity()
    ours.reset_classifier(6)
    assert (ours._fc.out_features, ours._global_params.num_classes) == (6, 1000)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("size", [None, 64])
def test_programs_are_made_of_it(size: int | None) -> None:
    ours = EfficientNet.from_name("efficientnet-b0", depth_coefficient=0.4, image_size=size, dropout_rate=0.0)
    images = torch.randn(2, 3, 65, 70)
    for training in (False, True):
        ours.train(training)
        for program in (torch.jit.script, torch.fx.symbolic_trace):
            made = program(copy.deepcopy(ours))
            torch.manual_seed(0)
            expected = copy.deepcopy(ours)(images)
            torch.manual_seed(0)
            assert torch.equal(made(images), expected)


@pytest.mark.parametrize("module", [(door, peer), (utils, peer_utils), (model, peer.model)])
def test_every_public_name_is_there(module: tuple[Any, Any]) -> None:
    ours, theirs = module
    made = {
        name
        for name, value in vars(theirs).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", "").startswith("eff")
    }
    assert made - {"SwishImplementation"} <= set(dir(ours)) | set(dir(utils))
    for name in ("url_map", "url_map_advprop"):
        assert getattr(utils, name).keys() == getattr(peer_utils, name).keys()


@pytest.mark.parametrize("name", ["efficientnet-b0", "efficientnet-b4", "efficientnet-l2"])
def test_parameters_are_theirs(name: str) -> None:
    mine, theirs = get_model_params(name, {"num_classes": 3}), peer.get_model_params(name, {"num_classes": 3})
    assert [tuple(block) for block in mine[0]] == [tuple(block) for block in theirs[0]]
    assert tuple(mine[1]) == tuple(theirs[1])
    for filters in (3, 16, 32, 112, 1280):
        assert utils.round_filters(filters, mine[1]) == peer_utils.round_filters(filters, theirs[1])
    assert [utils.round_repeats(n, mine[1]) for n in range(1, 5)] == [
        peer_utils.round_repeats(n, theirs[1]) for n in range(1, 5)
    ]
    text = "r2_k5_s22_e6_i24_o40_se0.25"
    assert door.BlockDecoder.decode([text, "r1_k3_s11_e1_i32_o16_noskip"])[0] == peer.BlockDecoder.decode([text])[0]
    assert door.BlockDecoder.encode(door.BlockDecoder.decode([text])) == [text]


def test_networks_of_other_blocks_are_theirs() -> None:
    texts = ["r1_k3_s11_e1_i32_o16_se0.25", "r2_k5_s22_e4_i16_o24", "r2_k3_s22_e6_i24_o48_se0.5_noskip"]
    _, params = get_model_params("efficientnet-b1", {"image_size": 64, "num_classes": 9})
    ours = EfficientNet(door.BlockDecoder.decode(texts), params)
    network, images = lively(ours.spec, 64)
    ours.load_state_dict(network.state_dict())
    theirs = peer.EfficientNet(peer.BlockDecoder.decode(texts), peer.GlobalParams(*params))
    theirs.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        theirs, images = theirs.double().eval(), images.double()
        torch.testing.assert_close(ours.double().eval()(images), theirs(images), **CLOSE)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 1)])
@pytest.mark.parametrize("size", [None, 31, (20, 17)])
def test_padding_layers_are_theirs(kernel: int, stride: int, size: Any) -> None:
    x = torch.randn(1, 4, 20, 17)
    mine = utils.get_same_padding_conv2d(size)(4, 6, kernel, stride)
    theirs = peer_utils.get_same_padding_conv2d(size)(4, 6, kernel, stride)
    theirs.load_state_dict(mine.state_dict())
    torch.testing.assert_close(mine(x), theirs(x))
    pools = [package.get_same_padding_maxPool2d(size)(kernel, stride) for package in (utils, peer_utils)]
    torch.testing.assert_close(pools[0](x), pools[1](x))
    assert utils.calculate_output_image_size(size, stride) == peer_utils.calculate_output_image_size(size, stride)


def test_small_names_act() -> None:
    network = EfficientNet.from_name("efficientnet-b0")
    network._change_in_channels(5)
    assert (network._conv_stem.in_channels, network.spec.in_channels) == (5, 5)
    network._global_params = network._global_params._replace(drop_connect_rate=0.4)
    assert (network.spec.drop_path, network.drop_connect_rate) == (0.4, 0.4)
    network.set_swish(False)
    assert isinstance(network._swish, utils.Swish) and isinstance(network._blocks[0]._swish, utils.Swish)
    x = torch.randn(3, 2, 2, 2)
    torch.testing.assert_close(utils.MemoryEfficientSwish()(x), x * torch.sigmoid(x))
    assert torch.equal(utils.drop_connect(x, 0.5, training=False), x)
    EfficientNet._check_model_name_is_valid("efficientnet-b7")
    with pytest.raises(UnknownNameError):
        EfficientNet._check_model_name_is_valid("efficientnet-b9")


@pytest.mark.parametrize(
    "call",
    [
        lambda: EfficientNet(),
        lambda: door.BlockDecoder.decode(["r1_k3"]),
        lambda: EfficientNet(get_model_params("efficientnet-b0")[0][1:], get_model_params("efficientnet-b0")[1]),
        lambda: EfficientNet.from_name("efficientnet-b0", image_size="big"),
        lambda: EfficientNet.from_name("efficientnet-b0", depth_divisor=7),
        lambda: utils.drop_connect(torch.zeros(1), 2, training=True),
        lambda: utils.get_same_padding_conv2d("x")(1, 1, 3, 2),
        lambda: get_model_params("efficientnet-b0", {"num_clases": 2}),
    ],
)
def test_what_cannot_be_is_an_error_of_ours(call: Callable[[], object]) -> None:
    with pytest.raises(EffnetError) as caught:
        call()
    assert isinstance(caught.value, InputError | SpecError | UnknownNameError)
    assert caught.value.fix or "did you mean" in str(caught.value)

"""The network of timm's door: its layers under timm's names are what computes."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import effnet
from effnet import create_model, timm
from effnet.errors import InputError
from effnet.weights import layouts

SIDE = 64


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def lively(name: str = "efficientnet_b0", **options: object) -> effnet.Network:
    """Return a network in evaluation mode whose norms show mistakes."""
    torch.manual_seed(0)
    model: effnet.Network = create_model(name, num_classes=5, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return model.eval()


def test_the_names_answer() -> None:
    model = create_model("efficientnet_b0", num_classes=10)
    assert [name for name, _ in model.named_children()] == [
        "conv_stem",
        "bn1",
        "blocks",
        "conv_head",
        "bn2",
        "global_pool",
        "classifier",
    ]
    assert isinstance(model.classifier, nn.Linear)
    assert model.get_classifier() is model.classifier
    assert model.classifier.in_features == model.num_features == model.head_hidden_size == 1280
    assert (model.num_classes, model.in_chans, model.drop_rate) == (10, 3, 0.0)
    assert len(model.blocks) == 7
    assert model.blocks[1][0].conv_dw.groups == 96
    assert model.default_cfg is model.pretrained_cfg
    assert model.default_cfg["classifier"] == "classifier"
    assert (model.default_cfg["input_size"], model.default_cfg["pool_size"]) == ((3, 224, 224), (7, 7))
    assert [info["num_chs"] for info in model.feature_info] == [16, 24, 40, 112, 320]
    assert model.group_matcher(coarse=True)["blocks"][0][0] == r"^blocks\.(\d+)"


@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnetv2_b0", "tf_efficientnet_lite0", "semnasnet_100"])
def test_it_is_the_network_of_effnet(name: str, images: Tensor) -> None:
    model = lively(name)
    native = effnet.build(model.spec)
    native.load_state_dict(model.canonical().state_dict())
    theirs = layouts.from_native(native.state_dict(), native.spec, "timm")
    state = model.state_dict()
    assert set(state) == set(theirs)
    assert all(torch.equal(state[key], theirs[key]) for key in theirs)
    with torch.no_grad():
        torch.testing.assert_close(model(images), native.eval()(images), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(model.canonical()(images), model(images), rtol=1e-5, atol=1e-6)
        for mine, others in zip(model.forward_pyramid(images), native.forward_pyramid(images), strict=True):
            torch.testing.assert_close(mine, others, rtol=1e-5, atol=1e-6)


class Holder(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.net = network


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("ours", [False, True])
def test_state_dicts_load_under_both_names_wherever_it_stands(strict: bool, ours: bool) -> None:
    source = lively()
    state = source.canonical().state_dict() if ours else source.state_dict()
    for holder, prefix in ((nn.DataParallel, "module."), (Holder, "net."), (lambda n: Holder(Holder(n)), "net.net.")):
        network = create_model("efficientnet_b0", num_classes=5)
        wrapped = holder(network)  # type: ignore[operator]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            report = wrapped.load_state_dict({prefix + key: tensor for key, tensor in state.items()}, strict=strict)
        assert report.missing_keys == report.unexpected_keys == []
        assert all(torch.equal(network.state_dict()[key], tensor) for key, tensor in source.state_dict().items())


def test_replacing_a_layer_acts(images: Tensor) -> None:
    model = lively()
    model.conv_stem = nn.Conv2d(1, 32, 3, 2, 1, bias=False)
    assert model(images[:, :1]).shape == (2, 5)
    assert model.canonical().spec.in_channels == 1
    model.preprocess = effnet.Preprocess(size=SIDE, mean=(0.5,), std=(0.5,))
    assert effnet.Predictor(model).logits(images[:, :1]).shape == (2, 5)
    model = lively()
    model.blocks[6] = nn.Sequential(nn.Conv2d(192, 320, 1))  # type: ignore[index,operator]
    assert model(images).shape == (2, 5)
    with pytest.raises(InputError, match=r"blocks are not those|blocks\.6"):
        model.canonical()
    for emptied in ("blocks", "blocks.3"):
        model = lively()
        model.set_submodule(emptied, nn.Identity())
        with pytest.raises(InputError, match="blocks"):
            model.canonical()
    model = lively()
    before = model(images)
    model.bn2 = nn.Identity()
    assert not torch.allclose(before, model(images))
    torch.testing.assert_close(model.canonical()(images), model(images), rtol=1e-5, atol=1e-6)
    model.blocks[0][0].se = nn.Identity()  # type: ignore[index]
    with pytest.raises(InputError, match="se"):
        model.canonical()


def test_freezing_by_timms_names_acts() -> None:
    model = create_model("efficientnet_b0")
    for name, weight in model.named_parameters():
        weight.requires_grad = name.startswith(("blocks.5", "blocks.6", "conv_head", "bn2", "classifier"))
    assert sum(weight.requires_grad for weight in model.parameters()) == 70  # as timm's
    assert sum(weight.requires_grad for weight in model.canonical().parameters()) == 70
    for weight in model.blocks.parameters():
        weight.requires_grad = False
    assert sum(weight.requires_grad for weight in model.parameters()) == 5


def test_classifiers_are_reset(images: Tensor) -> None:
    model = lively()
    model.reset_classifier(num_classes=3, global_pool="max")
    assert model(images).shape == (2, 3)
    assert (model.num_classes, model.spec.classes, model.get_classifier().out_features) == (3, 3, 3)
    features = model.forward_features(images)
    assert model.forward_head(features, pre_logits=True).shape == (2, 1280)
    model.reset_classifier(0)
    assert model(images).shape == (2, 1280)
    model.reset_classifier(0, "")
    assert model(images).shape == (2, 1280, 2, 2)
    model.classifier = nn.Identity()
    model.global_pool = nn.AdaptiveAvgPool2d(1)
    assert model(images).shape == (2, 1280, 1, 1)
    model.reset_classifier(7)
    assert model.canonical()(images).shape == (2, 7)


def test_children_without_the_last_are_a_pooled_trunk(images: Tensor) -> None:
    model = lively()
    trunk = nn.Sequential(*list(model.children())[:-1], nn.Linear(1280, 2))
    assert trunk(images).shape == (2, 2)
    with torch.no_grad():
        torch.testing.assert_close(trunk[:-1](images), model.forward_head(model.forward_features(images), True))
        torch.testing.assert_close(model.as_sequential()(images), model(images))


def test_intermediates_are_those_of_the_trunk(images: Tensor) -> None:
    model = lively()
    trunk = create_model("efficientnet_b0", features_only=True).eval()
    assert trunk.load_state_dict(model.state_dict(), strict=False).missing_keys == []
    with torch.no_grad():
        last, maps = model.forward_intermediates(images)
        torch.testing.assert_close(last, model.forward_features(images))
        for mine, others in zip(maps, trunk(images), strict=True):
            torch.testing.assert_close(mine, others)
        early = model.forward_intermediates(images, indices=[1], stop_early=True, intermediates_only=True)
        torch.testing.assert_close(early[0], maps[1])
        assert len(model.forward_intermediates(images, 2, intermediates_only=True)) == 2
        everything = model.forward_intermediates(images, extra_blocks=True, intermediates_only=True)
        assert [feature.shape[1] for feature in everything] == [32, 16, 24, 40, 80, 112, 192, 320]
    for wrong in ({"indices": [9]}, {"output_fmt": "NLC"}):
        with pytest.raises(InputError):
            model.forward_intermediates(images, **wrong)
    assert model.prune_intermediate_layers([2], prune_norm=True) == [2]
    assert len(model.blocks) == 3
    assert len(model.forward_intermediates(images, [2], intermediates_only=True)) == 1


def test_checkpointing_changes_no_number(images: Tensor) -> None:
    model = create_model("efficientnet_b0", num_classes=3).train()
    model.classifier.weight.data.normal_()
    twin = copy.deepcopy(model)
    twin.set_grad_checkpointing()
    assert twin.grad_checkpointing
    for network in (model, twin):
        network(images).square().sum().backward()
    for mine, others in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine.grad, others.grad, rtol=1e-4, atol=1e-6)
    for name, buffer in model.named_buffers():
        assert torch.allclose(buffer, dict(twin.named_buffers())[name]), name


@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnet_b0", "tf_efficientnetv2_b0", "resnet18"])
def test_programs_take_it(name: str, images: Tensor) -> None:
    model = lively(name)
    for program in (torch.jit.script(model), torch.fx.symbolic_trace(model), copy.deepcopy(model)):  # type: ignore[no-untyped-call]
        with torch.no_grad():
            torch.testing.assert_close(program(images), model(images))
    again = pickle.loads(pickle.dumps(model))
    torch.testing.assert_close(again(images), model(images))


def test_dropout_and_drop_path_act_in_training(images: Tensor) -> None:
    model = create_model("efficientnet_b0", num_classes=0, drop_rate=0.5).train()
    values = model(images)
    assert 0.3 < float((values == 0).float().mean()) < 0.7
    model.drop_rate = 0.0
    assert float((model(images) == 0).float().mean()) < 0.01


def test_prediction_takes_it(images: Tensor) -> None:
    model = lively()
    model.preprocess = effnet.Preprocess(size=SIDE)
    predictor = effnet.Predictor(model)
    torch.testing.assert_close(predictor.logits(images), model(images).detach(), rtol=1e-4, atol=1e-5)
    assert next(iter(predictor.network.state_dict())).startswith("features.0")
    model.classifier = nn.Linear(1280, 2)
    assert effnet.Predictor(model).logits(images).shape == (2, 2)


def test_moving_either_moves_both() -> None:
    model = lively()
    native = model.canonical()
    native.double()
    assert {tensor.dtype for tensor in model.state_dict().values() if tensor.is_floating_point()} == {torch.float64}
    native.train()(torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64))
    assert int(model.bn1.num_batches_tracked) == 1  # type: ignore[arg-type,union-attr]


def _grad_cam(images: Tensor) -> Tensor:
    model = lively()
    seen: list[Tensor] = []
    model.conv_head.register_forward_hook(lambda module, inputs, output: seen.append(output))  # type: ignore[operator]
    logits = model(images)
    (slopes,) = torch.autograd.grad(logits[:, 0].sum(), seen)
    return F.relu((slopes.mean((2, 3), keepdim=True) * seen[0]).sum(1))


def _sound_events(images: Tensor) -> Tensor:
    base = create_model("tf_efficientnet_b0_ns", pretrained=False, in_chans=1)
    encoder = nn.Sequential(*list(base.children())[:-2])
    attention = nn.Linear(base.classifier.in_features, 4)
    maps: Tensor = encoder(images[:, :1])
    result: Tensor = attention(maps.mean(2).transpose(1, 2)).amax(1)
    return result


def _metadata(images: Tensor) -> Tensor:
    enet = timm.tf_efficientnet_b3_ns(pretrained=False)
    width = enet.classifier.in_features
    enet.classifier = nn.Identity()
    result: Tensor = nn.Linear(width, 9)(enet(images).squeeze(-1).squeeze(-1))
    return result


def _video(images: Tensor) -> Tensor:
    from effnet.timm.models.efficientnet import tf_efficientnet_b0_ns

    encoder = tf_efficientnet_b0_ns(pretrained=False, drop_path_rate=0.2)
    features = encoder.forward_features(images)
    result: Tensor = nn.Linear(1280, 1)(nn.AdaptiveAvgPool2d((1, 1))(features).flatten(1))
    return result


def _detector(images: Tensor) -> Tensor:
    trunk = create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3, 4), pretrained=False)
    channels = [info["num_chs"] for info in trunk.feature_info.get_dicts(keys=["num_chs", "reduction"])]
    necks = [nn.Conv2d(width, 8, 1) for width in channels]
    return necks[-1](trunk(images)[-1])  # type: ignore[no-any-return]


def _general(images: Tensor) -> Tensor:
    model = create_model("efficientnet_b2a", num_classes=1000)
    width = model.get_classifier().in_features
    model.reset_classifier(num_classes=0, global_pool="avg")
    result: Tensor = nn.Linear(width, 3)(model(images))
    return result


def _embedding(images: Tensor) -> Tensor:
    backbone = create_model("efficientnet_b0", pretrained=False, num_classes=0)
    result: Tensor = nn.Linear(backbone.num_features, 16)(backbone(images))
    return result


def _eye_state(images: Tensor) -> Tensor:
    trained = create_model("efficientnet_b0", num_classes=2)
    model = create_model("efficientnet_b0", pretrained=False, num_classes=2)
    model.load_state_dict({key: tensor.clone() for key, tensor in trained.state_dict().items()})
    logits: Tensor = model.eval()(images)
    torch.testing.assert_close(logits, trained.eval()(images))
    return logits


def _segmentation(images: Tensor) -> Tensor:
    arguments = {"in_chans": 3, "features_only": True, "output_stride": 16, "pretrained": False, "pretrained_cfg": None}
    encoder = create_model("efficientnet_b0", out_indices=tuple(range(5)), drop_rate=None, **arguments)
    assert encoder.feature_info.reduction() == [2, 4, 8, 16, 16]
    return encoder(images)[-1]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("client", "shape"),
    [
        (_grad_cam, (2, 2, 2)),
        (_sound_events, (2, 4)),
        (_metadata, (2, 9)),
        (_video, (2, 1)),
        (_detector, (2, 8, 2, 2)),
        (_general, (2, 3)),
        (_embedding, (2, 16)),
        (_eye_state, (2, 2)),
        (_segmentation, (2, 320, 4, 4)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*is an old name")
def test_what_clients_do_with_timm(client: Callable[[Tensor], Tensor], shape: tuple[int, ...], images: Tensor) -> None:
    assert client(images).shape == shape


def test_resnets_answer_to_the_methods(images: Tensor) -> None:
    model = lively("resnet18")
    assert model.get_classifier().in_features == model.num_features == 512
    assert model.default_cfg["classifier"] == "fc"
    last, maps = model.forward_intermediates(images)
    assert [feature.shape[1] for feature in maps] == [info["num_chs"] for info in model.feature_info]
    torch.testing.assert_close(last, model.forward_features(images))
    assert model.forward_head(last, pre_logits=True).shape == (2, 512)
    model.reset_classifier(0)
    assert model(images).shape == (2, 512)
    model.reset_classifier(3, "catavgmax")
    assert model(images).shape == (2, 3)
    model.reset_classifier(5)
    assert isinstance(model.fc, nn.Linear)
    for name, weight in model.named_parameters():
        weight.requires_grad = name.startswith(("layer4", "fc"))
    native = model.canonical()
    assert sum(weight.requires_grad for weight in native.parameters()) == 17
    torch.testing.assert_close(native(images), model(images))
    assert set(model.state_dict()) == set(layouts.from_native(native.state_dict(), native.spec, "timm"))
    report = Holder(model).load_state_dict({f"net.{key}": value for key, value in native.state_dict().items()})
    assert report.missing_keys == report.unexpected_keys == []
    before = model(images)
    model.layer2[0].downsample = nn.Sequential(nn.Conv2d(64, 128, 1, 2))
    assert not torch.allclose(before, model(images))
    model.layer3 = nn.Identity()
    with pytest.raises(InputError):
        model.canonical()
    trunk = create_model("resnet18", features_only=True, out_indices=(1, 4))
    assert [feature.shape[1] for feature in trunk.eval()(images)] == trunk.feature_info.channels() == [64, 512]
    assert all("classifier" not in name and "fc" not in name for name in trunk.state_dict())


def test_synchronised_norms_keep_their_activations(images: Tensor) -> None:
    model = lively()
    logits = model(images).detach()
    changed = timm.layers.convert_sync_batchnorm(copy.deepcopy(model))
    assert not any(type(module) is timm.layers.BatchNormAct2d for module in changed.modules())
    torch.testing.assert_close(changed(images), logits)
    torch.testing.assert_close(changed.canonical()(images), logits, rtol=1e-4, atol=1e-5)  # type: ignore[operator]
    with pytest.raises(InputError, match="activations"):  # torch's own would compute another function, silently
        nn.SyncBatchNorm.convert_sync_batchnorm(model)(images)  # type: ignore[no-untyped-call]


def test_a_trunk_trains_in_several_processes(images: Tensor, tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        trunk = nn.parallel.DistributedDataParallel(create_model("efficientnet_b0", features_only=True))
        for _ in range(2):  # the second step is the one that misses parameters that were not used
            sum(feature.mean() for feature in trunk(images)).backward()  # type: ignore[union-attr]
    finally:
        torch.distributed.destroy_process_group()


def test_the_separate_activations_of_old_code_change_nothing(images: Tensor) -> None:
    model = lively()
    x = model.act1(model.bn1(model.conv_stem(images)))  # type: ignore[operator]
    x = model.act2(model.bn2(model.conv_head(model.blocks(x))))  # type: ignore[operator]
    torch.testing.assert_close(x, model.forward_features(images))


def test_a_stem_put_in_by_hand_is_counted_by_the_networks_own_spec() -> None:
    network = effnet.create_model("efficientnet_b0")
    network.conv_stem = nn.Conv2d(1, 32, 3, 2, 1, bias=False)
    assert network.spec.in_channels == 1

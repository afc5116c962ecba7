"""timm's door against timm: the same function, the same names."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from effnet import create_model

peer = pytest.importorskip("timm")

SMALL = [
    "efficientnet_b0",
    "tf_efficientnet_b0",
    "tf_efficientnet_lite0",
    "tf_efficientnetv2_b0",
    "semnasnet_100",
    "resnet18",
]
EDGE = ["efficientnet_es", "tf_efficientnet_es", "tf_efficientnet_em"]


def pair(name: str, **options: object) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    theirs = peer.create_model(name, **options).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    ours = create_model(name, **options).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("name", SMALL + EDGE)
@pytest.mark.parametrize("side", [96, 75])
def test_logits_are_timms(name: str, side: int) -> None:
    ours, theirs = pair(name, num_classes=7)
    images = torch.randn(1, 3, side, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)
    keys: tuple[str, ...] = ("mean", "std", "interpolation", "classifier", "first_conv")
    keys += () if name == "resnet18" else ("tag", "hf_hub_id")  # ours are torchvision's
    assert {key: ours.default_cfg[key] for key in keys} == {key: theirs.default_cfg[key] for key in keys}
    strip = [{key: value for key, value in info.items() if key != "index"} for info in ours.feature_info]
    assert strip == theirs.feature_info


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("name", ["tf_efficientnet_b0", "efficientnetv2_s"])
def test_dilated_trunks_are_timms(name: str, stride: int) -> None:
    ours, theirs = pair(name, features_only=True, output_stride=stride)
    images = torch.randn(1, 3, 96, 75)
    with torch.no_grad():
        for mine, others in zip(ours(images), theirs(images), strict=True):
            torch.testing.assert_close(mine, others, rtol=1e-5, atol=1e-5)
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()
    assert ours.feature_info.module_name() == theirs.feature_info.module_name()


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnets_are_timms(name: str) -> None:
    images = torch.randn(2, 3, 96, 75)
    for mine, others in zip(*(network(images) for network in pair(name, features_only=True)), strict=True):
        torch.testing.assert_close(mine, others, rtol=1e-5, atol=1e-5)
    ours, theirs = pair(name, num_classes=3)
    for network in (ours, theirs):
        network.train()(images).square().sum().backward()
    for (label, mine), others in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, others.grad, rtol=1e-4, atol=1e-5, msg=label)


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax", "catavgmax", ""])
def test_pools_are_timms(pool: str) -> None:
    ours, theirs = pair("efficientnet_b0", num_classes=0, global_pool=pool)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


def test_training_is_timms() -> None:
    ours, theirs = pair("efficientnet_b0", num_classes=3)
    images = torch.randn(4, 3, 64, 64)
    for network in (ours, theirs):
        network.train()
        network(images).square().sum().backward()
    for (name, mine), others in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, others.grad, rtol=1e-4, atol=1e-5, msg=name)
    for (name, mine), others in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, others, msg=name)


def test_names_are_timms() -> None:
    from effnet.migration.timm_names import NAMES, OLD_NAMES

    known = set(peer.list_models())
    assert set(NAMES) <= known
    for old, new in OLD_NAMES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert peer.is_model(old)
            assert peer.is_model(new.partition(".")[0])

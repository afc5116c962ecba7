"""Blocks on their own, against plain functional forms of the papers' figures."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from effnet.nn import BasicBlock, Bottleneck, ConvNormAct, FusedMBConv, MBConv, SqueezeExcite


def lively(module: nn.Module) -> nn.Module:
    """Give the norms statistics and gains that a wrong order or a missing norm would show."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)
    return module.eval()


def unit(x: Tensor, layer: ConvNormAct, stride: int = 1, groups: int = 1, act: bool = True) -> Tensor:
    conv, norm = layer[0], layer[1]
    x = F.conv2d(x, conv.weight, stride=stride, padding=conv.weight.shape[-1] // 2, groups=groups)
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return F.silu(x) if act else x


def test_mbconv_is_the_papers_figure() -> None:
    block = lively(MBConv(8, 8, expand_ratio=6, kernel_size=5, se_ratio=0.25))
    expand, depthwise, gate, project = block.block
    x = torch.randn(2, 8, 9, 9)
    y = unit(x, expand)
    assert y.shape[1] == 48
    y = unit(y, depthwise, groups=48)
    y = gate(y)
    assert gate.fc1.out_channels == 2, "the squeeze follows the block's input channels"
    y = unit(y, project, act=False) + x
    assert torch.allclose(block(x), y, atol=1e-5)


def test_mbconv_without_expansion_or_se() -> None:
    block = lively(MBConv(8, 16, expand_ratio=1, stride=2, se_ratio=0))
    depthwise, project = block.block
    x = torch.randn(1, 8, 8, 8)
    expected = unit(unit(x, depthwise, stride=2, groups=8), project, act=False)
    assert torch.allclose(block(x), expected, atol=1e-5)
    assert not block.residual


def test_fused_mbconv_is_the_papers_figure() -> None:
    block = lively(FusedMBConv(8, 8, expand_ratio=4))
    expand, project = block.block
    x = torch.randn(2, 8, 7, 7)
    expected = unit(unit(x, expand), project, act=False) + x
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_fused_mbconv_without_expansion_keeps_its_activation() -> None:
    block = lively(FusedMBConv(8, 8, expand_ratio=1))
    (fused,) = block.block
    x = torch.randn(2, 8, 7, 7)
    assert torch.allclose(block(x), unit(x, fused) + x, atol=1e-5)


def test_fused_mbconv_can_squeeze() -> None:
    kinds = [type(layer) for layer in FusedMBConv(8, 8, 4, se_ratio=0.25).block]
    assert kinds == [ConvNormAct, SqueezeExcite, ConvNormAct]


@pytest.mark.parametrize(
    ("stride", "out_channels", "skip", "residual"),
    [(1, 8, True, True), (2, 8, True, False), (1, 16, True, False), (1, 8, False, False)],
)
@pytest.mark.parametrize("kind", [MBConv, FusedMBConv])
def test_identity_only_where_the_shape_is_kept(
    kind: type[MBConv], stride: int, out_channels: int, skip: bool, residual: bool
) -> None:
    assert kind(8, out_channels, stride=stride, skip=skip).residual is residual


def test_drop_path_of_one_sample_leaves_the_input() -> None:
    """A dropped branch leaves exactly x; only residual blocks may drop."""
    torch.manual_seed(0)
    block = MBConv(4, 4, drop_path=0.5).train()
    x = torch.randn(32, 4, 5, 5)
    same = (block(x) == x).flatten(1).all(1)
    assert 0 < same.sum() < 32
    plain = MBConv(4, 8, drop_path=0.5).train()
    assert not (plain(x) == 0).flatten(1).all(1).any()


@pytest.mark.parametrize(("kind", "expand"), [(BasicBlock, 1.0), (Bottleneck, 0.25)])
def test_residual_blocks_project_a_new_shape(kind: type[BasicBlock], expand: float) -> None:
    block = lively(kind(8, 16, expand, stride=2))
    x = torch.randn(2, 8, 8, 8)
    shortcut = unit(x, block.shortcut, stride=2, act=False)
    assert torch.allclose(block(x), F.silu(block.block(x) + shortcut), atol=1e-5)
    keep = kind(16, 16, expand)
    assert isinstance(keep.shortcut, nn.Identity)

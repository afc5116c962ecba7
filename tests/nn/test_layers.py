"""Layers against their definitions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from effnet.nn import ConvNormAct, DropPath, SamePadConv2d, SqueezeExcite
from effnet.spec import Conventions


@given(size=st.integers(1, 24), kernel=st.sampled_from([1, 3, 5, 7]), stride=st.integers(1, 3), seed=st.integers(0, 99))
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int, seed: int) -> None:
    """Each output pixel equals the sum over the window TensorFlow's rule places it on."""
    generator = torch.Generator().manual_seed(seed)
    conv = SamePadConv2d(1, 1, kernel, stride, bias=False).requires_grad_(False)
    conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator))
    image = torch.randn((1, 1, size, size), generator=generator)

    out = math.ceil(size / stride)
    before = max((out - 1) * stride + kernel - size, 0) // 2
    expected = torch.zeros(out, out)
    for i in range(out):
        for j in range(out):
            for u in range(kernel):
                for v in range(kernel):
                    y, x = i * stride - before + u, j * stride - before + v
                    if 0 <= y < size and 0 <= x < size:
                        expected[i, j] += image[0, 0, y, x] * conv.weight[0, 0, u, v]
    result = conv(image)[0, 0]
    assert result.shape == expected.shape
    assert torch.allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@given(size=st.integers(1, 40), kernel=st.sampled_from([1, 3, 5, 7]), stride=st.integers(1, 4))
def test_both_paddings_give_ceil(padding: str, size: int, kernel: int, stride: int) -> None:
    unit = ConvNormAct(2, 3, kernel, stride, conventions=Conventions(padding=padding))  # type: ignore[arg-type]
    side = math.ceil(size / stride)
    assert unit.eval()(torch.zeros(1, 2, size, size)).shape == (1, 3, side, side)


def test_paddings_differ_where_the_ports_do() -> None:
    """Stride 2 on an even size is where SAME pads (0, 1) and symmetric (1, 1); odd sizes agree."""
    same = ConvNormAct(1, 1, 3, 2, conventions=Conventions(padding="same")).eval()
    symmetric = ConvNormAct(1, 1, 3, 2).eval()
    symmetric.load_state_dict(same.state_dict())
    even, odd = torch.randn(1, 1, 8, 8), torch.randn(1, 1, 9, 9)
    assert not torch.allclose(same(even), symmetric(even))
    assert torch.allclose(same(odd), symmetric(odd))


def test_squeeze_excite_is_its_formula() -> None:
    gate = SqueezeExcite(6, 2)
    x = torch.randn(3, 6, 4, 5)
    squeezed = x.mean((2, 3)) @ gate.fc1.weight.flatten(1).T + gate.fc1.bias
    weights = torch.sigmoid((squeezed * torch.sigmoid(squeezed)) @ gate.fc2.weight.flatten(1).T + gate.fc2.bias)
    assert torch.allclose(gate(x), x * weights[:, :, None, None], atol=1e-6)


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    x = torch.ones(4000, 2, 3, 3)
    out = drop(x)
    per_sample = out.flatten(1)
    assert torch.equal(per_sample.min(1).values, per_sample.max(1).values), "a sample is kept or dropped whole"
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert out.mean().item() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(drop.eval()(x), x)


def test_drop_path_passes_gradient_only_through_kept_samples() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 1, 1, 1, requires_grad=True)
    out = DropPath(0.5).train()(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, out == 0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("silu", nn.SiLU), ("relu", nn.ReLU), ("relu6", nn.ReLU6), ("hard_swish", nn.Hardswish), ("gelu", nn.GELU)],
)
def test_conventions_reach_the_modules(name: str, kind: type[nn.Module]) -> None:
    conventions = Conventions(activation=name, norm_eps=0.02, norm_momentum=0.3)  # type: ignore[arg-type]
    unit = ConvNormAct(2, 4, conventions=conventions)
    norm = unit[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert (norm.eps, norm.momentum) == (0.02, 0.3)
    assert isinstance(unit[2], kind)

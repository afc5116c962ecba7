"""The blocks again, through the kernels: the same function with fewer passes over each map (docs/kernels.md).

Weights, state dict names and modules stay as they are. With norms unfolded a block is torch's matrix products with our
operators between them, in training and evaluation; with norms folded it is the inference set. Whatever a kernel does
not cover, and every export, goes the module's own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from effnet import kernels
from effnet.errors import InputError
from effnet.kernels import choice
from effnet.nn.blocks import FusedMBConv, MBConv
from effnet.nn.layers import ConvNormAct, DropPath, SamePadConv2d, SqueezeExcite

Kernels = Literal["auto", "triton", "triton-maps", "torch"]
"""`torch`: its own operators. `triton`: ours wherever they exist. `triton-maps`: the same, but in training the matrix
products of 1x1 convolutions stay the library's. `auto`: what the committed table of measurements says is fastest on
this GPU and shape; on a CPU always torch."""


def set_kernels(network: nn.Module, choose: Kernels) -> None:
    """Make the blocks of `network` compute with these kernels from now on; weights and names do not change.

    `triton` and `triton-maps` on a CPU compute the operators' torch references: right, and slower than `torch`.

    Raises:
        InputError: no such choice.
        MissingDependencyError: ours without the package triton.
    """
    if choose not in ("auto", "triton", "triton-maps", "torch"):
        raise InputError(f"kernels is {choose!r}", where="kernels", fix="use auto, triton, triton-maps or torch")
    if choose in ("triton", "triton-maps"):
        kernels.require_triton()
    for module in network.modules():
        if isinstance(module, ConvNormAct | MBConv | FusedMBConv):
            module.fused = None if choose == "torch" else FusedForward(choose)


@dataclass(frozen=True, slots=True)
class FusedForward:
    """A block's forward through the kernels."""

    kernels: Kernels

    def __call__(self, module: nn.Module, x: Tensor) -> Tensor | None:
        """Compute `module` on `x` (N, C, H, W); None where the kernels do not cover it or it would not pay."""
        if not isinstance(x, Tensor) or x.dim() != 4 or _exporting() or (self.kernels == "auto" and not x.is_cuda):
            return None
        parts = _parts(module)
        if parts is None or not _fits(parts, x):
            return None
        chosen = _measured(parts, x) if self.kernels == "auto" else self.kernels
        if chosen == "torch":
            return None
        products = chosen == "triton" and parts.alike
        x = _in_autocast(x)
        if parts.kind == "conv":
            return _unit_forward(parts.spatial, x, products)
        assert isinstance(module, MBConv | FusedMBConv)
        shortcut = x if module.residual else None
        run = _mbconv if parts.kind == "mbconv" else _fused_mbconv
        return run(parts, x, module.drop_path, shortcut, products)


class _Unit(NamedTuple):
    """A convolution, its norm (None: folded) and whether SiLU follows."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | None
    silu: bool

    @property
    def product(self) -> bool:
        """Whether it is a 1x1 convolution that a matrix product computes, with a norm after it."""
        plain = self.conv.kernel_size == self.conv.stride == (1, 1) and self.conv.groups == 1
        return plain and self.norm is not None and self.conv.bias is None


class _Parts(NamedTuple):
    """A block taken apart; `project` is None where the spatial convolution is the last."""

    kind: Literal["conv", "mbconv", "fused_mbconv"]
    expand: _Unit | None
    spatial: _Unit
    gate: SqueezeExcite | None
    project: _Unit | None

    @property
    def units(self) -> list[_Unit]:
        return [unit for unit in (self.expand, self.spatial, self.project) if unit is not None]

    @property
    def folded(self) -> bool:
        return self.spatial.norm is None

    @property
    def alike(self) -> bool:
        """Whether all norms use the batch's statistics or none does, which a derivative across two of them assumes."""
        return len({unit.norm.training for unit in self.units if unit.norm is not None}) <= 1


def _parts(module: nn.Module) -> _Parts | None:
    """Return the parts of a module that the kernels cover, None for others."""
    if isinstance(module, ConvNormAct):
        unit = _unit(module)
        covered = unit is not None and unit.conv.groups == 1
        return _Parts("conv", None, unit, None, None) if covered and unit is not None else None
    if not isinstance(module, MBConv | FusedMBConv):
        return None
    layers = list(module.block)
    gate = next((layer for layer in layers if isinstance(layer, SqueezeExcite)), None)
    units = [_unit(layer) for layer in layers if isinstance(layer, ConvNormAct)]
    whole = [unit for unit in units if unit is not None]
    if len(whole) != len(units) or len({unit.norm is None for unit in whole}) > 1:
        return None
    if isinstance(module, FusedMBConv):
        project = whole[1] if len(whole) == 2 else None
        return None if gate is not None else _Parts("fused_mbconv", None, whole[0], None, project)
    expand, spatial = (whole[0], whole[1]) if len(whole) == 3 else (None, whole[0])
    conv = spatial.conv
    if conv.groups != conv.in_channels or conv.kernel_size[0] not in (3, 5) or conv.stride[0] not in (1, 2):
        return None
    if gate is not None and not isinstance(gate.act, nn.SiLU):
        return None
    return _Parts("mbconv", expand, spatial, gate, whole[-1])


def _unit(module: ConvNormAct) -> _Unit | None:
    layers = list(module)
    if len(layers) not in (2, 3) or (len(layers) == 3 and not isinstance(layers[2], nn.SiLU)):
        return None
    conv, norm = layers[0], layers[1]
    if not isinstance(conv, nn.Conv2d) or type(conv) not in (nn.Conv2d, SamePadConv2d):
        return None  # another's convolution computes what only it knows
    if type(norm) is nn.BatchNorm2d and norm.affine and norm.track_running_stats:
        return _Unit(conv, norm, len(layers) == 3)
    if isinstance(norm, nn.Identity) and conv.bias is not None:
        return _Unit(conv, None, len(layers) == 3)
    return None


def _fits(parts: _Parts, x: Tensor) -> bool:
    if parts.folded:  # the inference set has no derivative
        learns = x.requires_grad or any(p.requires_grad for unit in parts.units for p in unit.conv.parameters())
        return not (torch.is_grad_enabled() and learns)
    # One value a channel has no variance: torch refuses it, in its own words.
    positions = x.shape[0] * _halved(x.shape[2], parts) * _halved(x.shape[3], parts)
    return positions > 1 or not any(unit.norm is not None and unit.norm.training for unit in parts.units)


def _halved(size: int, parts: _Parts) -> int:
    stride = parts.spatial.conv.stride[0]
    return (size + stride - 1) // stride


def _mbconv(parts: _Parts, x: Tensor, drop_path: DropPath, shortcut: Tensor | None, products: bool) -> Tensor:
    """MBConv; the expanded and the depthwise map are stored once each, as the convolutions return them."""
    assert parts.project is not None
    if parts.folded:
        return _folded_mbconv(parts, parts.project, x, shortcut)
    conv, norm, _ = parts.spatial
    assert norm is not None and norm.running_mean is not None
    taps = conv.weight.flatten(1).t().contiguous()  # (C, 1, k, k) -> (k * k, C)
    stride, pivot = conv.stride[0], norm.running_mean
    if parts.expand is None:
        d, sums = kernels.depthwise(x, taps, stride, *_leading(conv, x), pivot)
    else:
        before = parts.expand.norm
        assert before is not None
        rest = (taps, stride, *_leading(conv, x), pivot, before.training)
        if products and parts.expand.product:
            weight = parts.expand.conv.weight.flatten(1)
            e, first = _product(parts.expand, before, x, [], None)
            d, sums = kernels.expanded_depthwise(x, weight, e, first, *rest)
        else:
            e = parts.expand.conv(x)
            d, sums = kernels.norm_depthwise(e, _vectors(before, *_statistics(before, e)), *rest)
    vectors = _vectors(norm, *(_finished(norm, sums, d) if norm.training else _running(norm)))
    if products and parts.project.product:
        return _product_norm_act(parts.project, d, vectors, parts.gate, drop_path, shortcut)
    if parts.gate is None:
        u = kernels.norm_act(d, vectors, True, None, None, norm.training)
    else:
        u, _, _ = kernels.norm_gate(d, vectors, _squeeze(parts.gate), norm.training)
    return _norm_act(parts.project, parts.project.conv(u), drop_path, shortcut)


def _product(
    unit: _Unit, norm: nn.BatchNorm2d, x: Tensor, before: list[Tensor], gate: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    """Result of a 1x1 convolution and the vectors of its `norm`; the derivative is that of whatever uses them."""
    assert norm.running_mean is not None
    with torch.no_grad():
        y, sums = kernels.product(x, before, gate, unit.conv.weight.flatten(1), norm.running_mean)
        mean, rstd = _finished(norm, sums, y) if norm.training else _running(norm)
    return y, _vectors(norm, mean, rstd)


def _product_norm_act(
    unit: _Unit,
    x: Tensor,
    before: list[Tensor],
    gate: SqueezeExcite | None = None,
    drop_path: DropPath | None = None,
    shortcut: Tensor | None = None,
) -> Tensor:
    """1x1 convolution of silu(norm(x)), or of x where no norm is `before` it, with gate before and norm after."""
    norm = unit.norm
    assert norm is not None
    squeeze: list[Tensor] = [] if gate is None else _squeeze(gate)
    pooled: list[Tensor] = []
    if gate is not None:
        with torch.no_grad():
            sums = kernels.norm_act_pool(x, before, True, None)
            gates = kernels.squeeze_excite(sums.unsqueeze(1), 1.0 / (x.shape[2] * x.shape[3]), squeeze)
        pooled = [sums, gates]
    y, after = _product(unit, norm, x, before, pooled[1] if pooled else None)
    scale, weight = _drawn(drop_path, shortcut, y), unit.conv.weight.flatten(1)
    z: Tensor = kernels.product_norm_act(
        x, before, squeeze, pooled, weight, y, after, unit.silu, scale, shortcut, norm.training
    )
    return z


def _folded_mbconv(parts: _Parts, project: _Unit, x: Tensor, shortcut: Tensor | None) -> Tensor:
    e = x if parts.expand is None else _pointwise(parts.expand, x)
    conv, _, silu = parts.spatial
    assert conv.bias is not None
    taps = conv.weight.flatten(1).t()
    d, pooled = kernels.depthwise_act_pool(e, taps, conv.bias, silu, conv.stride[0], *_leading(conv, e))
    gates = None
    if parts.gate is not None:
        gates = kernels.squeeze_excite(pooled, 1.0 / (d.shape[2] * d.shape[3]), _squeeze(parts.gate))
    return _pointwise(project, d, gates, shortcut)


def _fused_mbconv(parts: _Parts, x: Tensor, drop_path: DropPath, shortcut: Tensor | None, products: bool) -> Tensor:
    """Fused-MBConv; its k x k convolution is torch's."""
    if parts.project is None:
        if not parts.folded:
            return _norm_act(parts.spatial, parts.spatial.conv(x), drop_path, shortcut)
        y = _unit_forward(parts.spatial, x, False)
        return y if shortcut is None else y + shortcut
    norm = parts.spatial.norm
    if norm is not None and products and parts.project.product and parts.spatial.silu:
        e = parts.spatial.conv(x)
        return _product_norm_act(parts.project, e, _vectors(norm, *_statistics(norm, e)), None, drop_path, shortcut)
    y = _unit_forward(parts.spatial, x, False)
    if parts.folded:
        return _pointwise(parts.project, y, residual=shortcut)
    return _norm_act(parts.project, parts.project.conv(y), drop_path, shortcut)


def _unit_forward(unit: _Unit, x: Tensor, products: bool) -> Tensor:
    if products and unit.product:
        return _product_norm_act(unit, x, [])
    if unit.norm is not None:
        return _norm_act(unit, unit.conv(x))
    if unit.conv.kernel_size == (1, 1) and unit.conv.stride == (1, 1) and unit.conv.groups == 1:
        return _pointwise(unit, x)
    y: Tensor = unit.conv(x)
    return F.silu(y, inplace=True) if unit.silu else y


def _pointwise(unit: _Unit, x: Tensor, gate: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
    assert unit.conv.bias is not None
    y: Tensor = kernels.pointwise(x, unit.conv.weight.flatten(1), unit.conv.bias, unit.silu, gate, residual)
    return y


def _norm_act(unit: _Unit, y: Tensor, drop_path: DropPath | None = None, shortcut: Tensor | None = None) -> Tensor:
    """Norm and activation on the convolution's result; where a block ends, drop path and shortcut too."""
    norm = unit.norm
    assert norm is not None
    scale, vectors = _drawn(drop_path, shortcut, y), _vectors(norm, *_statistics(norm, y))
    z: Tensor = kernels.norm_act(y, vectors, unit.silu, scale, shortcut, norm.training)
    return z


def _drawn(drop_path: DropPath | None, shortcut: Tensor | None, y: Tensor) -> Tensor | None:
    """Draw what drop path multiplies each sample's channels by (N, C)."""
    kept = drop_path.draw(y) if drop_path is not None and shortcut is not None else None
    return None if kept is None else kept.view(-1, 1).expand(-1, y.shape[1])  # (N, 1, 1, 1) -> (N, C)


def _vectors(norm: nn.BatchNorm2d, mean: Tensor, rstd: Tensor) -> list[Tensor]:
    return [mean, rstd, norm.weight, norm.bias]


def _statistics(norm: nn.BatchNorm2d, y: Tensor) -> tuple[Tensor, Tensor]:
    if not norm.training:
        return _running(norm)
    assert norm.running_mean is not None
    return _finished(norm, kernels.norm_statistics(y.detach(), norm.running_mean), y)


def _finished(norm: nn.BatchNorm2d, sums: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and 1 / deviation of `y`, from its sums about the running mean, which moves as in `nn.BatchNorm2d`."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    count = y.shape[0] * y.shape[2] * y.shape[3]
    mean, rstd = kernels.norm_finish(sums, norm.running_mean, norm.running_var, count, momentum, norm.eps)
    return mean, rstd


def _running(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, torch.rsqrt(norm.running_var + norm.eps)


def _squeeze(gate: SqueezeExcite) -> list[Tensor]:
    first, second = gate.fc1, gate.fc2
    assert first.bias is not None and second.bias is not None
    return [first.weight.flatten(1), first.bias, second.weight.flatten(1), second.bias]


def _leading(conv: nn.Conv2d, x: Tensor) -> tuple[int, int]:
    """Rows and columns of zeros before the input."""
    if isinstance(conv, SamePadConv2d):
        return conv.sides(x.shape[2], 0)[0], conv.sides(x.shape[3], 1)[0]
    return int(conv.padding[0]), int(conv.padding[1])


def _in_autocast(x: Tensor) -> Tensor:
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _exporting() -> bool:
    # An exported graph shall need nothing of ours to run.
    return torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export() or torch._C._get_tracing_state() is not None


def _measured(parts: _Parts, x: Tensor) -> choice.Form:
    if not kernels.launches(x):
        return "torch"
    conv = parts.spatial.conv
    phase: choice.Phase = "infer" if parts.folded or not torch.is_grad_enabled() else "train"
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    sizes = (conv.kernel_size[0], conv.stride[0], conv.out_channels, pixels)
    return choice.chosen(choice.table(), _device_name(x.get_device()), phase, parts.kind, *sizes)


@cache
def _device_name(index: int) -> str:
    return torch.cuda.get_device_name(index)

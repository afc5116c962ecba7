"""What every kernel computes, in plain torch: the definition that tests hold the kernels to, and the way without a GPU.

Sums are taken in float32, or in float64 for float64 inputs. Maps are (N, C, H, W); results are channels last.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

Norm = Sequence[Tensor]
"""mean, rstd (1 / sqrt(var + eps)), weight and bias of a batch norm, (C,) each; empty where there is none."""

Squeeze = Sequence[Tensor]
"""w1 (S, C), b1 (S,), w2 (C, S) and b2 (C,) of squeeze-and-excitation."""


def precise(x: Tensor) -> torch.dtype:
    """Return the dtype that sums over `x` are taken in."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _channel(v: Tensor, x: Tensor) -> Tensor:
    return v.to(precise(x)).view(1, -1, 1, 1)


def _sample(v: Tensor, x: Tensor) -> Tensor:
    return v.to(precise(x))[:, :, None, None]


def _unit(x: Tensor, norm: Norm) -> Tensor:
    mean, rstd, _, _ = norm
    return (x.to(precise(x)) - _channel(mean, x)) * _channel(rstd, x)


def _affine(x: Tensor, norm: Norm) -> Tensor:
    _, _, weight, bias = norm
    return _unit(x, norm) * _channel(weight, x) + _channel(bias, x)


def _act(z: Tensor, silu: bool) -> Tensor:
    return z * torch.sigmoid(z) if silu else z


def _slope(z: Tensor, silu: bool) -> Tensor:
    if not silu:
        return torch.ones_like(z)
    s = torch.sigmoid(z)
    return s * (1 + z * (1 - s))


def norm_statistics(x: Tensor, pivot: Tensor) -> Tensor:
    """Sums of (x - pivot) and of its square over N, H, W: -> (2, C)."""
    d = x.to(precise(x)) - _channel(pivot, x)
    return torch.stack([d.sum((0, 2, 3)), (d * d).sum((0, 2, 3))])


def norm_finish(
    sums: Tensor, running_mean: Tensor, running_var: Tensor, count: int, momentum: float, eps: float
) -> tuple[Tensor, Tensor]:
    """Turn sums about the running mean into mean and 1 / sqrt(var + eps), and move the running statistics in place."""
    shift = sums[0] / count
    mean = running_mean.to(sums.dtype) + shift
    var = (sums[1] / count - shift * shift).clamp_min(0)
    running_mean.lerp_(mean.to(running_mean.dtype), momentum)
    running_var.lerp_((var * (count / max(count - 1, 1))).to(running_var.dtype), momentum)
    return mean, torch.rsqrt(var + eps)


def norm_act(
    x: Tensor,
    norm: Norm,
    silu: bool,
    scale: Tensor | None,
    residual: Tensor | None,
) -> Tensor:
    """act((x - mean) * rstd * weight + bias) * scale (N, C) + residual."""
    y = _act(_affine(x, norm), silu)
    if scale is not None:
        y = y * _sample(scale, x)
    if residual is not None:
        y = y + residual.to(y.dtype)
    return _last(y.to(x.dtype))


def _grad_z(
    g: Tensor,
    x: Tensor,
    norm: Norm,
    silu: bool,
    scale: Tensor | None,
    shift: Tensor | None,
) -> Tensor:
    d = g.to(precise(x))
    if scale is not None:
        d = d * _sample(scale, x)
    if shift is not None:
        d = d + _sample(shift, x)
    return d * _slope(_affine(x, norm), silu)


def norm_act_sums(
    g: Tensor,
    x: Tensor,
    norm: Norm,
    silu: bool,
    scale: Tensor | None,
    shift: Tensor | None,
) -> Tensor:
    """With dz = (g * scale + shift) * act'(z): the sums of dz (bias gradient) and dz * x_hat (weight's): -> (2, C)."""
    dz = _grad_z(g, x, norm, silu, scale, shift)
    return torch.stack([dz.sum((0, 2, 3)), (dz * _unit(x, norm)).sum((0, 2, 3))])


def norm_act_grad(
    g: Tensor,
    x: Tensor,
    norm: Norm,
    silu: bool,
    scale: Tensor | None,
    shift: Tensor | None,
    sums: Tensor | None,
) -> Tensor:
    """Gradient of the norm's input; `sums` (over M = N * H * W) where mean and rstd are the batch's, else None.

    dx = weight * rstd * (dz - sum(dz) / M - x_hat * sum(dz * x_hat) / M)
    """
    dz = _grad_z(g, x, norm, silu, scale, shift)
    if sums is not None:
        count = x.numel() // x.shape[1]
        dz = dz - _channel(sums[0] / count, x) - _unit(x, norm) * _channel(sums[1] / count, x)
    _, rstd, weight, _ = norm
    return _last((dz * _channel(weight, x) * _channel(rstd, x)).to(x.dtype))


def norm_act_pool(x: Tensor, norm: Norm, silu: bool, g: Tensor | None) -> Tensor:
    """Sum over H, W of act(z), or of act(z) * g: -> (N, C)."""
    y = _act(_affine(x, norm), silu)
    if g is not None:
        y = y * g.to(y.dtype)
    return y.sum((2, 3))


def squeeze_excite(pooled: Tensor, share: float, squeeze: Squeeze) -> Tensor:
    """sigmoid(w2 @ silu(w1 @ p + b1) + b2) with p = share * pooled.sum(1): (N, T, C) -> (N, C)."""
    kind = pooled.dtype
    w1, b1, w2, b2 = squeeze
    p = pooled.sum(1) * share
    hidden = F.silu(F.linear(p, w1.to(kind), b1.to(kind)))
    return torch.sigmoid(F.linear(hidden, w2.to(kind), b2.to(kind)))


def padded(x: Tensor, kernel: int, stride: int, top: int, left: int) -> Tensor:
    """Pad `x` with zeros so that a convolution without padding gives ceil(size / stride) rows and columns."""
    height, width = x.shape[-2:]
    bottom = (-(-height // stride) - 1) * stride + kernel - height - top
    right = (-(-width // stride) - 1) * stride + kernel - width - left
    return F.pad(x, (left, right, top, bottom))  # a negative side crops rows that no output reads


def depthwise(
    x: Tensor,
    taps: Tensor,
    norm: Norm,
    stride: int,
    top: int,
    left: int,
    pivot: Tensor,
) -> tuple[Tensor, Tensor]:
    """Depthwise convolution of silu(norm(x)), or of x where `norm` is empty, and the statistics of its result.

    Args:
        taps: the weight as (k * k, C).
        norm: mean, rstd, weight and bias of the norm before, or nothing.
        pivot: (C,), what is taken from the result before its sums are.

    Returns:
        The result, and (2, C) as `norm_statistics` gives of it.
    """
    y = _convolved(_depthwise_input(x, norm), taps, stride, top, left).to(x.dtype)
    return _last(y), norm_statistics(y, pivot)


def _depthwise_input(x: Tensor, norm: Norm) -> Tensor:
    if not norm:
        return x.to(precise(x))
    return _act(_affine(x, norm), True)


def _convolved(e: Tensor, taps: Tensor, stride: int, top: int, left: int) -> Tensor:
    kernel = round(taps.shape[0] ** 0.5)
    weight = taps.to(e.dtype).t().reshape(-1, 1, kernel, kernel)
    return F.conv2d(padded(e, kernel, stride, top, left), weight, stride=stride, groups=e.shape[1])


def depthwise_grad(
    g: Tensor, x: Tensor, taps: Tensor, norm: Norm, stride: int, top: int, left: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `depthwise` in one pass over g and x.

    Returns:
        dz, the gradient of what the norm returned (of x where `norm` is empty); the gradient of `taps` (k * k, C);
        and (2, C), the sums of dz and of dz * x_hat (zeros without a norm).
    """
    e = _depthwise_input(x, norm)
    kernel = round(taps.shape[0] ** 0.5)
    weight = taps.to(e.dtype).t().reshape(-1, 1, kernel, kernel)
    source = padded(e, kernel, stride, top, left)
    wide, d_weight, _ = torch.ops.aten.convolution_backward(
        g.to(e.dtype),
        source,
        weight,
        None,
        [stride] * 2,
        [0, 0],
        [1, 1],
        False,
        [0, 0],
        x.shape[1],
        [True, True, False],
    )
    height, width = x.shape[-2:]
    # Rows that padding added carry no gradient; rows that it cropped get none.
    de = F.pad(wide, (-left, left + width - wide.shape[-1], -top, top + height - wide.shape[-2]))
    d_taps = d_weight.flatten(1).t().contiguous()
    if not norm:
        return _last(de.to(x.dtype)), d_taps, torch.zeros(2, x.shape[1], dtype=precise(x), device=x.device)
    dz = (de * _slope(_affine(x, norm), True)).to(x.dtype)
    wider = dz.to(precise(x))
    sums = torch.stack([wider.sum((0, 2, 3)), (wider * _unit(x, norm)).sum((0, 2, 3))])
    return _last(dz), d_taps, sums


def depthwise_act_pool(
    x: Tensor, taps: Tensor, bias: Tensor, silu: bool, stride: int, top: int, left: int
) -> tuple[Tensor, Tensor]:
    """Inference: act(depthwise(x) + bias), and its sums over parts of the map: -> (N, C, H', W') and (N, 1, C)."""
    y = _act(_convolved(x.to(precise(x)), taps, stride, top, left) + _channel(bias, x), silu).to(x.dtype)
    return _last(y), y.to(precise(x)).sum((2, 3)).unsqueeze(1)


def pointwise(
    x: Tensor, weight: Tensor, bias: Tensor, silu: bool, gate: Tensor | None, residual: Tensor | None
) -> Tensor:
    """Inference: act(weight @ (x * gate) + bias) + residual, a 1x1 convolution with weight (C', C) and gate (N, C)."""
    source = x.to(precise(x))
    if gate is not None:
        source = (source * _sample(gate, x)).to(x.dtype).to(precise(x))  # the product is rounded before the matmul
    y = _act(F.conv2d(source, weight.to(source.dtype)[:, :, None, None]) + _channel(bias, x), silu)
    if residual is not None:
        y = y + residual.to(y.dtype)
    return _last(y.to(x.dtype))


def _prepared(x: Tensor, norm: Norm, gate: Tensor | None) -> Tensor:
    u = _depthwise_input(x, norm)
    if gate is not None:
        u = u * _sample(gate, x)
    return u.to(x.dtype).to(precise(x))  # rounded before the matrix product


def product(x: Tensor, norm: Norm, gate: Tensor | None, weight: Tensor, pivot: Tensor) -> tuple[Tensor, Tensor]:
    """Training: 1x1 convolution of u, which is never stored, and the statistics of its result.

    u is x, or silu(norm(x)) where `norm` is not empty, times `gate` (N, C); the weight is (C', C).

    Returns:
        weight @ u (N, C', H, W), and (2, C') as `norm_statistics` gives of it.
    """
    weight = weight.to(x.dtype).to(precise(x))
    y = F.conv2d(_prepared(x, norm, gate), weight[:, :, None, None]).to(x.dtype)
    return _last(y), norm_statistics(y, pivot)


def product_grad(
    g: Tensor,
    y: Tensor,
    after: Norm,
    silu: bool,
    scale: Tensor | None,
    sums: Tensor | None,
    x: Tensor,
    before: Norm,
    gate: Tensor | None,
    weight: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `y = product(x, before, gate, weight)` from that of what the norm after it made.

    Args:
        g: gradient of act(after(y)) * scale, of which `sums` are `norm_act_sums`; None where `after` is frozen.

    Returns:
        The gradient of what the norm before returned, dz (of x where `before` is empty), or with a gate of what the
        gate multiplied and made, u; the weight's (C', C); and the sums that the derivative goes on with: with a gate
        those of du * silu(before(x)) over H, W (N, C), else those of dz and dz * x_hat (2, C), zeros without a norm.
    """
    kind = precise(x)
    dy = norm_act_grad(g, y, after, silu, scale, None, sums).to(kind)
    d_weight = torch.einsum("nohw,nchw->oc", dy, _prepared(x, before, gate))
    du = F.conv2d(dy, weight.to(x.dtype).to(kind).t()[:, :, None, None])
    if not before:
        return _last(du.to(x.dtype)), d_weight, torch.zeros(2, x.shape[1], dtype=kind, device=x.device)
    if gate is not None:
        du = du.to(x.dtype)
        return _last(du), d_weight, norm_act_pool(x, before, True, du)
    dz = (du * _slope(_affine(x, before), True)).to(x.dtype)
    wider = dz.to(kind)
    return _last(dz), d_weight, torch.stack([wider.sum((0, 2, 3)), (wider * _unit(x, before)).sum((0, 2, 3))])

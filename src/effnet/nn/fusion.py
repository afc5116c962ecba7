"""Folding batch norm into the convolution before it, for inference."""

from __future__ import annotations

import copy

import torch
from torch import nn

from effnet.nn.layers import ConvNormAct
from effnet.nn.network import Network


@torch.no_grad()
def fold_norms(network: Network) -> Network:
    """Return a copy in evaluation mode whose norms are folded into their convolutions.

    w' = w * gamma / sqrt(var + eps), b' = beta - mean * gamma / sqrt(var + eps); the norm becomes an identity. The
    copy computes the same logits up to float rounding and cannot be trained. Synchronised norms fold like any others.
    """
    folded = copy.deepcopy(network.canonical()).eval()
    for module in folded.modules():
        if isinstance(module, ConvNormAct) and isinstance(module[1], nn.modules.batchnorm._BatchNorm):
            _fold(module)
    return folded.requires_grad_(False)


def _fold(unit: ConvNormAct) -> None:
    conv, norm = unit[0], unit[1]
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_var is not None and norm.running_mean is not None
    # In float64, so that folding costs no accuracy beyond the final rounding.
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)  # (C,)
    weight = conv.weight.double() * gain.view(-1, 1, 1, 1)
    bias = norm.bias.double() - norm.running_mean.double() * gain
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype).contiguous(memory_format=_layout(conv.weight)))
    conv.bias = nn.Parameter(bias.to(conv.weight.dtype))
    unit[1] = nn.Identity()


def _layout(weight: torch.Tensor) -> torch.memory_format:
    last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format

"""Weights for other inputs or outputs than they were trained for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet.preprocessing import Preprocess

if TYPE_CHECKING:
    from torch import Tensor


def adapt_stem(weight: Tensor, in_channels: int) -> Tensor:
    """Return stem kernels (O, C, k, k) for `in_channels` inputs: (O, in_channels, k, k).

    One channel gets the sum over C, so a grey image gives what it gave as three equal channels. More channels repeat
    the kernels in turn, scaled by C / in_channels, so that the response to a uniform image keeps its size.
    """
    channels = weight.shape[1]
    if in_channels == channels:
        return weight
    if in_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    index = [i % channels for i in range(in_channels)]
    return weight[:, index] * (channels / in_channels)


def adapt_preprocess(preprocess: Preprocess, in_channels: int) -> Preprocess:
    """Return `preprocess` for `in_channels` channels: averaged for one, repeated in turn for more."""
    import dataclasses

    def fitted(values: tuple[float, ...]) -> tuple[float, ...]:
        if in_channels == 1:
            return (sum(values) / len(values),)
        return tuple(values[i % len(values)] for i in range(in_channels))

    if in_channels == len(preprocess.mean):
        return preprocess
    return dataclasses.replace(preprocess, mean=fitted(preprocess.mean), std=fitted(preprocess.std))


def adapt_classifier(weight: Tensor, bias: Tensor, classes: int) -> tuple[Tensor, Tensor, bool]:
    """Return classifier weights (classes, C) and biases, and whether they are still trained.

    1001 official TensorFlow outputs become 1000 without their background class; any other change starts afresh, at
    zero (arXiv 1912.11370 section 3.2), where the first loss is log(classes). The released code's uniform(+-1 /
    sqrt(classes)) is for 1000 classes: for two, over trained features, it starts with a loss above 10 and gradients
    that spoil the layers below.
    """
    import torch

    if weight.shape[0] == classes:
        return weight, bias, True
    if (weight.shape[0], classes) == (1001, 1000):
        return weight[1:].clone(), bias[1:].clone(), True
    return torch.zeros(classes, weight.shape[1], dtype=weight.dtype), torch.zeros(classes, dtype=bias.dtype), False

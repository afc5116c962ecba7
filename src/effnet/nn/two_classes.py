"""A network with one output as a network with two: what a sigmoid says of one is what a softmax says of the other."""

from __future__ import annotations

import copy

import torch
from torch import nn

from effnet.errors import InputError
from effnet.nn.network import Network

ONE_OUTPUT = (
    "this network has one output, which is read as the logit of a sigmoid (binary cross-entropy): above 0 the answer "
    "is the second of two classes, below it the first"
)
"""What to tell whoever uses such a network."""


def in_two_classes(network: Network) -> Network:
    """Return a copy of a network with one output that has two: logits (0, z) in place of z; others as they are.

    softmax((0, z)) is (1 - sigmoid(z), sigmoid(z)), so that whatever reads classes reads a binary classifier too. The
    classes are those that it was trained with as 0 and 1; the name of one output is that of class 1.

    Raises:
        InputError: its last layer is no linear layer.
    """
    if network.spec.classes != 1:
        return network
    linear = network.classifier[1] if len(network.classifier) == 2 else None
    if not isinstance(linear, nn.Linear):
        fix = "make model.classifier[1] the linear layer with the output, or give it two outputs"
        raise InputError("has one output, which no linear layer makes", where=network.spec.name, fix=fix)
    made, labels, temperature = copy.deepcopy(network), network.labels, network.temperature
    two = nn.Linear(linear.in_features, 2, device=linear.weight.device, dtype=linear.weight.dtype)
    with torch.no_grad():
        two.weight.zero_()[1] = linear.weight[0]
        two.bias.zero_()[1] = linear.bias[0] if linear.bias is not None else 0.0
    made.classifier[1] = two
    made.spec = made.spec  # the spec follows the layer, and forgets what belonged to the old one
    made.labels = None if labels is None else (f"not {labels[0]}", labels[0])
    made.temperature = temperature
    return made

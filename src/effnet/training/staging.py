"""Giving a network the settings of a progressive stage. No weight changes; nothing is built again."""

from __future__ import annotations

from torch import nn

from effnet.nn import Network
from effnet.nn.layers import DropPath
from effnet.training.progressive import StageSettings
from effnet.unrolling import unroll


def apply_stage(network: Network, settings: StageSettings) -> None:
    """Set dropout and every block's drop path rate, which grows linearly with depth (V1's code; arXiv 1603.09382)."""
    blocks = unroll(network.spec.replace(drop_path=settings.drop_path)).blocks
    paths = [module for module in network.features.modules() if isinstance(module, DropPath)]
    for path, block in zip(paths, blocks, strict=True):
        path.rate = block.drop_path
    dropout = network.classifier[0]
    assert isinstance(dropout, nn.Dropout)
    dropout.p = settings.dropout

"""Torch modules: the layers, the blocks as the papers draw them, and the network a spec describes."""

from effnet.nn.blocks import BasicBlock, Bottleneck, FusedMBConv, MBConv
from effnet.nn.fused import set_kernels
from effnet.nn.fusion import fold_norms
from effnet.nn.layers import ConvNormAct, DropPath, SamePadConv2d, SqueezeExcite
from effnet.nn.network import Network, build
from effnet.nn.two_classes import in_two_classes

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ConvNormAct",
    "DropPath",
    "FusedMBConv",
    "MBConv",
    "Network",
    "SamePadConv2d",
    "SqueezeExcite",
    "build",
    "fold_norms",
    "in_two_classes",
    "set_kernels",
]

"""From a spec to the sequence of blocks it means.

This is the only place where a block's facts are derived: channels in, inner, squeezed and out, spatial sizes,
stride, drop path rate, residual. `cost` folds over them and `nn.build` maps over them, so the two cannot drift.
"""

from __future__ import annotations

from dataclasses import dataclass

from effnet.errors import InputError
from effnet.spec import BlockKind, NetworkSpec, StageSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block with every number decided. Sizes are sides of square feature maps, in pixels."""

    stage: int
    """Stage number, from 1."""
    index: int
    """Position in the stage, from 0."""
    kind: BlockKind
    kernel: int
    stride: int
    in_channels: int
    mid_channels: int
    """Channels of the spatial convolution: expanded (MBConv) or reduced (bottleneck)."""
    squeeze_channels: int
    """Channels inside squeeze-and-excitation; 0 without it."""
    out_channels: int
    in_size: int
    out_size: int
    drop_path: float
    """Probability that a training sample skips the block."""
    residual: bool
    """Whether the block adds a shortcut to its output."""

    @property
    def expands(self) -> bool:
        """Whether the block has a convolution that changes its inner width (expand ratio other than 1)."""
        return self.mid_channels != self.in_channels

    @property
    def projects_shortcut(self) -> bool:
        """Whether the shortcut is a 1x1 convolution (ResNet, where the block changes shape)."""
        return self.residual and (self.stride != 1 or self.in_channels != self.out_channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrolled:
    """A network at one input size."""

    spec: NetworkSpec
    resolution: int
    """Input side in pixels."""
    stem_size: int
    """Side after the stem convolution, before any pool."""
    blocks: tuple[Block, ...]

    @property
    def head_in_channels(self) -> int:
        """Channels that leave the last block."""
        return self.blocks[-1].out_channels

    @property
    def features(self) -> int:
        """Channels that reach the pool and the classifier."""
        return self.spec.head.channels or self.head_in_channels

    @property
    def final_size(self) -> int:
        """Side of the last feature map."""
        return self.blocks[-1].out_size


def unroll(spec: NetworkSpec, resolution: int | None = None) -> Unrolled:
    """Derive every block of `spec` for a square input of `resolution` pixels (default: the spec's own).

    Raises:
        InputError: the resolution is not a positive whole number.
    """
    side = spec.resolution if resolution is None else resolution
    if isinstance(side, bool) or not isinstance(side, int) or not 1 <= side <= 1 << 16:
        raise InputError(f"resolution {side!r}", fix="give a whole number of pixels from 1 to 65536")
    stem_size = strided(side, spec.stem.stride)
    size = strided(stem_size, 2) if spec.stem.pool else stem_size
    channels, position, blocks = spec.stem.channels, 0, []
    for number, stage in enumerate(spec.stages, 1):
        for index in range(stage.repeats):
            block = _block(spec, number, stage, index, channels, size, position)
            channels, size, position = block.out_channels, block.out_size, position + 1
            blocks.append(block)
    return Unrolled(spec=spec, resolution=side, stem_size=stem_size, blocks=tuple(blocks))


def strided(size: int, stride: int) -> int:
    """Return the output side of an odd-kernel convolution: ceil(size / stride) for both padding conventions."""
    return -(-size // stride)


def inner_channels(kind: BlockKind, expand_ratio: float, in_channels: int, out_channels: int) -> int:
    """Return the channels of a block's spatial convolution.

    The ratio multiplies the input channels of (Fused-)MBConv, and the output channels of the ResNet kinds.
    """
    return max(1, int((out_channels if kind in ("basic", "bottleneck") else in_channels) * expand_ratio))


def squeeze_channels(se_ratio: float, in_channels: int) -> int:
    """Return the channels inside squeeze-and-excitation, 0 for none.

    The squeeze follows the block's input, not its expanded channels (V1 code, efficientnet_model.py).
    """
    return max(1, int(in_channels * se_ratio)) if se_ratio else 0


def adds_shortcut(kind: BlockKind, skip: bool, stride: int, in_channels: int, out_channels: int) -> bool:
    """Return whether a block adds a shortcut: an identity where the shape is kept; in ResNet always, projected."""
    return skip and (kind in ("basic", "bottleneck") or (stride == 1 and in_channels == out_channels))


def _block(
    spec: NetworkSpec, number: int, stage: StageSpec, index: int, channels: int, size: int, position: int
) -> Block:
    design = stage.block
    first = index == 0
    stride = stage.stride if first else 1
    widened = stage.expand_from if first and stage.expand_from is not None else channels
    return Block(
        stage=number,
        index=index,
        kind=design.kind,
        kernel=design.kernel,
        stride=stride,
        in_channels=channels,
        mid_channels=inner_channels(design.kind, design.expand_ratio, widened, stage.channels),
        squeeze_channels=squeeze_channels(design.se_ratio, channels),
        out_channels=stage.channels,
        in_size=size,
        out_size=strided(size, stride),
        drop_path=spec.drop_path * position / spec.blocks,
        residual=adds_shortcut(design.kind, design.skip, stride, channels, stage.channels),
    )

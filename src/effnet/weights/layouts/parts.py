"""The layers of a network that own tensors, in the order in which data meets them.

Every layout is a way of naming these parts. They come from `unroll(spec)`, so a layout never decides what exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from effnet.spec import NetworkSpec
from effnet.unrolling import Block, unroll

Kind = Literal["conv", "depthwise", "gate", "norm", "linear"]
"""What owns the tensors: a convolution without bias, the same depthwise, one of SE's two (with bias), ..."""

Role = Literal[
    "stem",
    "expand",
    "depthwise",
    "fused",
    "squeeze",
    "excite",
    "project",
    "conv1",
    "conv2",
    "conv3",
    "shortcut",
    "head",
    "classifier",
]
"""What a convolution and its norm are for: in MBConv and Fused-MBConv (`fused`: the single convolution of expand ratio
1), in ResNet's blocks, and at the two ends."""

TENSORS: dict[Kind, tuple[str, ...]] = {
    "conv": ("weight",),
    "depthwise": ("weight",),
    "gate": ("weight", "bias"),
    "norm": ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
    "linear": ("weight", "bias"),
}
"""Names of the tensors that each kind owns in our networks."""

COUNTER = "num_batches_tracked"
"""Batches a norm has seen, an integer that nothing published uses: files may leave it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One layer that owns tensors.

    Attributes:
        role, kind: see `Role` and `Kind`.
        native: its name in our networks, such as `features.2.0.block.1.0`.
        shape: of its weight, in PyTorch's order.
        block: the block it is in, if any.
        position: how many blocks come before that block.
    """

    role: Role
    kind: Kind
    native: str
    shape: tuple[int, ...]
    block: Block | None = None
    position: int = 0

    def shape_of(self, tensor: str) -> tuple[int, ...]:
        """Return the shape of one of its tensors."""
        if tensor == COUNTER:
            return ()
        return self.shape if tensor == "weight" else self.shape[:1]


def parts(spec: NetworkSpec) -> Iterator[Part]:
    """Yield every part of `spec`, from the stem to the classifier."""
    unrolled = unroll(spec)
    kernel = spec.stem.kernel
    yield from _unit("stem", "features.0", (spec.stem.channels, spec.in_channels, kernel, kernel))
    for position, block in enumerate(unrolled.blocks):
        yield from _block(block, position)
    if spec.head.channels is not None:
        fan_in = unrolled.head_in_channels
        yield from _unit("head", f"features.{len(spec.stages) + 1}", (spec.head.channels, fan_in, 1, 1))
    if spec.classes:
        yield Part(role="classifier", kind="linear", native="classifier.1", shape=(spec.classes, unrolled.features))


def is_resnet(spec: NetworkSpec) -> bool:
    """Whether ResNet's own names can say everything in `spec`."""
    kinds = {stage.block.kind for stage in spec.stages}
    return spec.head.channels is None and kinds <= {"basic", "bottleneck"}


def _block(block: Block, position: int) -> Iterator[Part]:
    path = f"features.{block.stage}.{block.index}"
    for index, (role, shape) in enumerate(_layers(block)):
        native = f"{path}.block.{index}"
        if role == "squeeze":
            mid, squeezed = shape
            yield _gate("squeeze", f"{native}.fc1", (squeezed, mid, 1, 1), block, position)
            yield _gate("excite", f"{native}.fc2", (mid, squeezed, 1, 1), block, position)
        else:
            yield from _unit(role, native, shape, block, position)
    if block.projects_shortcut:
        shape = (block.out_channels, block.in_channels, 1, 1)
        yield from _unit("shortcut", f"{path}.shortcut", shape, block, position)


def _layers(block: Block) -> list[tuple[Role, tuple[int, ...]]]:
    """Return role and weight shape of each layer of a block; for SE, (channels, squeezed channels)."""
    fan_in, mid, out, kernel = block.in_channels, block.mid_channels, block.out_channels, block.kernel
    if block.kind == "basic":
        return [("conv1", (mid, fan_in, kernel, kernel)), ("conv2", (out, mid, kernel, kernel))]
    if block.kind == "bottleneck":
        return [("conv1", (mid, fan_in, 1, 1)), ("conv2", (mid, mid, kernel, kernel)), ("conv3", (out, mid, 1, 1))]
    gate: list[tuple[Role, tuple[int, ...]]] = []
    if block.squeeze_channels:
        gate = [("squeeze", (mid, block.squeeze_channels))]
    if block.kind == "fused_mbconv":
        if not block.expands:
            return [*gate, ("fused", (out, fan_in, kernel, kernel))]
        return [("expand", (mid, fan_in, kernel, kernel)), *gate, ("project", (out, mid, 1, 1))]
    expand: list[tuple[Role, tuple[int, ...]]] = [("expand", (mid, fan_in, 1, 1))] if block.expands else []
    return [*expand, ("depthwise", (mid, 1, kernel, kernel)), *gate, ("project", (out, mid, 1, 1))]


def _unit(
    role: Role, native: str, shape: tuple[int, ...], block: Block | None = None, position: int = 0
) -> Iterator[Part]:
    """Yield a convolution and its norm, which our networks number 0 and 1."""
    kind: Kind = "depthwise" if role == "depthwise" else "conv"
    yield Part(role=role, kind=kind, native=f"{native}.0", shape=shape, block=block, position=position)
    yield Part(role=role, kind="norm", native=f"{native}.1", shape=shape[:1], block=block, position=position)


def _gate(role: Role, native: str, shape: tuple[int, ...], block: Block, position: int) -> Part:
    return Part(role=role, kind="gate", native=native, shape=shape, block=block, position=position)

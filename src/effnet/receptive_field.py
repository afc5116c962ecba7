"""How much of the image one value of a feature map can see, in closed form.

Along the longest path through the network, a window of k pixels at a stride of j input pixels adds (k - 1) * j to the
field and multiplies the stride (arXiv 1603.07285; Araujo et al., doi 10.23915/distill.00021). Shortcuts see less, so
they do not matter. Where a stride is larger than its kernel, pixels within the field are skipped.

Squeeze-and-excitation averages its whole map: from the first one on, every value depends on the whole image through
the gates, and the field here is what it sees beside that.

ResNet-50 sees 483 pixels where the stride is in the first 1x1 convolution of a stage, as in its paper, and 427 where it
is in the 3x3, as here and in torchvision.
"""

from __future__ import annotations

from dataclasses import dataclass

from effnet.spec import NetworkSpec, Padding
from effnet.unrolling import Block, strided, unroll


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptiveField:
    """What the output of one part of a network sees, along one side of the image.

    Attributes:
        part: `stem`, `stage 3`, `head`.
        size: pixels that one value sees; more than the image has where its border's padding is seen too.
        stride: pixels between the fields of neighbouring values.
        first: pixel where the first value's field begins; negative by the padding that it sees.
        is_global: whether squeeze-and-excitation before it lets the whole image in, too.
    """

    part: str
    size: int
    stride: int
    first: int
    is_global: bool


def receptive_fields(spec: NetworkSpec, resolution: int | None = None) -> tuple[ReceptiveField, ...]:
    """Return the field after the stem, after each stage, and, where there is one, after the head convolution.

    Args:
        spec: the network.
        resolution: input side in pixels, on which SAME padding depends; the spec's own when None.

    Raises:
        InputError: the resolution is impossible.
    """
    unrolled = unroll(spec, resolution)
    walk = _Walk(unrolled.resolution)
    walk.window(spec.stem.kernel, spec.stem.stride, spec.conventions.padding)
    if spec.stem.pool:
        walk.window(3, 2, "symmetric")
    fields = [walk.field("stem")]
    for number in range(1, len(spec.stages) + 1):
        for block in unrolled.blocks:
            if block.stage == number:
                walk.block(block, spec.conventions.padding_in(block.kind))
        fields.append(walk.field(f"stage {number}"))
    if spec.head.channels is not None:
        fields.append(walk.field("head"))
    return tuple(fields)


class _Walk:
    """Follows the field of the first value through the layers."""

    def __init__(self, resolution: int) -> None:
        self.size, self.stride, self.first = 1, 1, 0
        self.side = resolution  # of the map
        self.gated = False

    def block(self, block: Block, padding: Padding) -> None:
        """Pass through a block's spatial convolutions; all else in it is 1x1."""
        self.window(block.kernel, block.stride, padding)
        if block.kind == "basic":
            self.window(block.kernel, 1, padding)
        self.gated = self.gated or block.squeeze_channels > 0

    def window(self, kernel: int, stride: int, padding: Padding) -> None:
        """Pass through one convolution or pool."""
        out = strided(self.side, stride)
        before = (kernel - 1) // 2
        if padding == "same" and stride > 1:
            before = max((out - 1) * stride + kernel - self.side, 0) // 2
        self.size += (kernel - 1) * self.stride
        self.first -= before * self.stride
        self.stride *= stride
        self.side = out

    def field(self, part: str) -> ReceptiveField:
        """Return where the walk stands."""
        return ReceptiveField(part=part, size=self.size, stride=self.stride, first=self.first, is_global=self.gated)

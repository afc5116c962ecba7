"""What a network is made of, part by part, as plain values: what `effnet draw` draws and prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from effnet.cost import LayerCost, NetworkCost, cost
from effnet.receptive_field import ReceptiveField, receptive_fields
from effnet.spec import NetworkSpec
from effnet.unrolling import unroll

_ALONE, _NEVER = 0.9, 9.0  # what it costs that a part stands alone, or beside one that it must not


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The stem, one stage, the head convolution, or the classifier.

    Attributes:
        name: `stem`, `stage 3`, `head`, `classifier`.
        kind: of its blocks; `conv` for stem and head, `linear` for the classifier.
        label: what it is, as the papers write it.
        repeats: blocks; 1 where there are none.
        stride: of the whole part.
        channels, size: of its output (C x size x size).
        in_size: side of its input.
        params, macs, activations: sums over its layers, for one image.
        live_bytes: the most that is alive at once in it, weights apart.
        field: what its output sees; None behind the global pool, which sees everything.
    """

    name: str
    kind: str
    label: str
    repeats: int
    stride: int
    channels: int
    size: int
    in_size: int
    params: int
    macs: int
    activations: int
    live_bytes: int
    field: ReceptiveField | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A whole network at one resolution, for one float32 image."""

    spec: NetworkSpec
    cost: NetworkCost
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """What the network is called."""
        return self.spec.name

    def part_of(self, layer: LayerCost) -> str:
        """Return the name of the part that a layer belongs to."""
        return self.parts[_place(layer, self.spec)].name

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        counted = self.cost
        totals = {name: getattr(counted, name) for name in ("resolution", "params", "macs", "activations")}
        return {
            "name": self.name,
            **totals,
            "peak_inference_bytes": counted.peak_inference_bytes,
            "parts": [asdict(part) for part in self.parts],
            "layers": [asdict(layer) | {"part": self.part_of(layer)} for layer in counted.layers],
        }


def anatomy(spec: NetworkSpec, resolution: int | None = None) -> Anatomy:
    """Return the parts of a network with their shapes, costs and receptive fields.

    Args:
        spec: the network.
        resolution: input side in pixels; the spec's own when None.

    Raises:
        InputError: the resolution is impossible.
    """
    counted, unrolled = cost(spec, resolution), unroll(spec, resolution)
    fields = receptive_fields(spec, resolution)
    layers: dict[int, list[LayerCost]] = {}
    for layer in counted.layers:
        layers.setdefault(_place(layer, spec), []).append(layer)
    stem, side, last = spec.stem, unrolled.blocks[0].in_size, unrolled.final_size
    pool = ", max pool" if stem.pool else ""
    label = f"Conv k{stem.kernel}x{stem.kernel}{pool}"
    stride = stem.stride * (2 if stem.pool else 1)
    shapes = [("stem", "conv", label, 1, stride, stem.channels, side, unrolled.resolution)]
    for number, stage in enumerate(spec.stages, 1):
        blocks = [block for block in unrolled.blocks if block.stage == number]
        row = (f"stage {number}", stage.block.kind, str(stage.block), stage.repeats, stage.stride, stage.channels)
        shapes.append((*row, blocks[-1].out_size, blocks[0].in_size))
    if spec.head.channels is not None:
        shapes.append(("head", "conv", "Conv k1x1", 1, 1, spec.head.channels, last, last))
    dropout = f", dropout {spec.head.dropout:g}" if spec.head.dropout else ""
    linear = ("linear", f"pool{dropout}, linear", 1, 1, spec.classes) if spec.classes else None
    shapes.append(("classifier", *(linear or ("linear", "pool", 1, 1, unrolled.features)), 1, last))
    parts = []
    for place, (name, kind, label, repeats, stride, channels, size, in_size) in enumerate(shapes):
        own = layers[place]
        parts.append(
            Part(
                name=name,
                kind=kind,
                label=label,
                repeats=repeats,
                stride=stride,
                channels=channels,
                size=size,
                in_size=in_size,
                params=sum(layer.params for layer in own),
                macs=sum(layer.macs for layer in own),
                activations=sum(layer.activations for layer in own),
                live_bytes=max(layer.live_bytes for layer in own),
                field=fields[place] if place < len(fields) else None,
            )
        )
    return Anatomy(spec=spec, cost=counted, parts=tuple(parts))


def aligned(one: Anatomy, other: Anatomy) -> list[tuple[Part | None, Part | None]]:
    """Return the parts of two networks in pairs: those at the same place of the same scale stand together.

    Order is kept on both sides. A part stands alone where the other network has nothing like it.
    """
    left, right = one.parts, other.parts
    scale = {id(part): stride for network in (one, other) for part, stride in _strides(network)}

    def unlike(a: Part, b: Part) -> float:
        if not (a.name.startswith("stage") and b.name.startswith("stage")):
            return 0.0 if a.name == b.name else _NEVER
        return 2.0 * (scale[id(a)] != scale[id(b)]) + 0.5 * (a.kind != b.kind) + 0.1 * (a.name != b.name)

    # The cheapest way to each pair of ends, and its last step: both parts, the left one, or the right one.
    cheapest: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    for row in range(len(left) + 1):
        for column in range(len(right) + 1):
            ways = []
            if row and column:
                both = unlike(left[row - 1], right[column - 1])
                ways.append((cheapest[row - 1, column - 1][0] + both, (1, 1)))
            if row:
                ways.append((cheapest[row - 1, column][0] + _ALONE, (1, 0)))
            if column:
                ways.append((cheapest[row, column - 1][0] + _ALONE, (0, 1)))
            if ways:
                cheapest[row, column] = min(ways)
    pairs: list[tuple[Part | None, Part | None]] = []
    row, column = len(left), len(right)
    while row or column:
        own, others = cheapest[row, column][1]
        pairs.append((left[row - 1] if own else None, right[column - 1] if others else None))
        row, column = row - own, column - others
    return pairs[::-1]


def changes(one: Part, other: Part) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two parts that stand together: label, repeats, stride, channels, size."""
    names = ("label", "repeats", "stride", "channels", "size")
    return {
        name: (getattr(one, name), getattr(other, name)) for name in names if getattr(one, name) != getattr(other, name)
    }


def _strides(network: Anatomy) -> list[tuple[Part, int]]:
    stride, found = 1, []
    for part in network.parts:
        stride *= part.stride
        found.append((part, stride))
    return found


def _place(layer: LayerCost, spec: NetworkSpec) -> int:
    """Return the number of the part that a layer belongs to."""
    name = layer.name.split(".")
    if name[0] == "features":
        return int(name[1])
    return len(spec.stages) + 1 + (spec.head.channels is not None)

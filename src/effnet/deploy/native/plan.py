"""A network as a list of steps between feature maps: what the native engine runs, before any processor is known.

`plan` is to the native engine what `build` is to torch: it maps over `unroll(spec)` and decides nothing itself. Sizes
are fixed, so that every loop of the engine has known ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from effnet.deploy.document import AGAIN, build, dumps, loads, mapping, plain, require_count, require_text, sequence
from effnet.deploy.native.proof import prove, shapes_of
from effnet.errors import WeightsError
from effnet.spec import Activation, BlockKind, NetworkSpec, Padding
from effnet.unrolling import Block, strided, unroll

Kind = Literal["convolution", "depthwise", "squeeze", "sum_rows", "mean", "max_pool"]
StepActivation = Activation | Literal["none"]

KINDS: tuple[Kind, ...] = get_args(Kind)
ACTIVATIONS: tuple[StepActivation, ...] = ("none", *get_args(Activation))
"""In the order of the enumerations in `plan.h` and `vectors.h`."""

ROWS = 8
"""Rows of a map whose sum is one entry of its map of sums (`depthwise.h`)."""

VERSION = 1
"""Of the JSON form."""

_MAX_SIDE = 1 << 16
_MAX_FLOATS = 1 << 32
_INT32 = 1 << 31

_MAX_KERNEL, _MAX_STRIDE = 31, 8
"""The largest that a `NetworkSpec` has: what windows reach beyond a map is memory that a bundle could ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMap:
    """A feature map of one image: (channels, height, width)."""

    channels: int
    height: int
    width: int

    def __post_init__(self) -> None:
        """Refuse what no map can be."""
        for name in ("channels", "height", "width"):
            require_count(name, getattr(self, name), 1)
            if getattr(self, name) > (_MAX_SIDE if name != "channels" else 1 << 24):
                raise WeightsError(f"{name} is {getattr(self, name)}", where=name, fix=AGAIN)
        sides = sorted((self.channels, self.height, self.width))
        if sides[0] * sides[1] * sides[2] > _MAX_FLOATS or sides[1] * sides[2] >= _INT32:
            raise WeightsError(f"a map of {self.channels} x {self.height} x {self.width}", where="plan", fix=AGAIN)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.height, self.width)

    @property
    def strips(self) -> int:
        """Entries of its map of sums."""
        return -(-self.height // ROWS)

    @property
    def sums(self) -> FeatureMap:
        """Shape of its map of sums."""
        return FeatureMap(channels=self.channels, height=1, width=self.strips)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do. Maps are named by their place in the plan.

    Attributes:
        kind: `convolution` (dense), `depthwise`, `squeeze` (squeeze-and-excitation from sums of rows), `sum_rows`,
            `mean` over the map, `max_pool`.
        input, output: maps read and written.
        layer: prefix of its tensors' names; for `squeeze` of the module that has fc1 and fc2.
        activation: applied at the end.
        kernel, stride: of the window.
        before: rows and columns of zeros above and to the left of the map.
        shortcut: map that is added; before the activation, or after it with `shortcut_last`.
        sums: map of sums that `depthwise` also writes and that `squeeze` reads.
        squeezed: channels inside squeeze-and-excitation.
        gate: map (channels, 1, 1) that the input of a convolution is multiplied by; `squeeze` writes it.
    """

    kind: Kind
    input: int
    output: int
    layer: str = ""
    activation: StepActivation = "none"
    kernel: int = 1
    stride: int = 1
    before: int = 0
    shortcut: int | None = None
    shortcut_last: bool = False
    sums: int | None = None
    squeezed: int = 0
    gate: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no step can be."""
        for name, choices in (("kind", KINDS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in choices:
                raise WeightsError(f"{name} is {getattr(self, name)!r}", where="plan", fix=AGAIN)
        for name, least in (("input", 0), ("output", 0), ("kernel", 1), ("stride", 1), ("before", 0), ("squeezed", 0)):
            require_count(name, getattr(self, name), least)
            if getattr(self, name) > _MAX_SIDE:
                raise WeightsError(f"{name} is {getattr(self, name)}", where="plan", fix=AGAIN)
        for name in ("shortcut", "sums", "gate"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name))
        if not isinstance(self.shortcut_last, bool) or not isinstance(self.layer, str):
            raise WeightsError("a step's values have wrong types", where="plan", fix=AGAIN)
        if self.kind in ("convolution", "depthwise", "squeeze"):
            require_text("layer", self.layer)
        if self.kernel > _MAX_KERNEL or self.stride > _MAX_STRIDE or 2 * self.before >= self.kernel:
            what = f"a window of {self.kernel}, stride {self.stride}, {self.before} rows before it"
            raise WeightsError(what, where=self.layer or self.kind, fix=AGAIN)

    def after(self, size: int) -> int:
        """Return the zeros that its last window needs beyond a side of `size`."""
        return max(0, (strided(size, self.stride) - 1) * self.stride + self.kernel - self.before - size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps between maps; the first map is the image, the last one holds the logits (classes, 1, 1).

    Raises:
        WeightsError: a step reads what no earlier one has written, or shapes do not fit.
    """

    maps: tuple[FeatureMap, ...]
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        """Prove that running the steps in order reads and writes what is there: the engine trusts it."""
        prove(self.maps, self.steps)

    def macs(self, step: Step) -> int:
        """Return the multiply-accumulates of a step for one image."""
        source, target = self.maps[step.input], self.maps[step.output]
        pixels = target.height * target.width * step.kernel**2
        if step.kind == "convolution":
            return pixels * target.channels * source.channels
        if step.kind == "depthwise":
            return pixels * target.channels
        return 2 * source.channels * step.squeezed if step.kind == "squeeze" else 0

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor that the steps need, by name."""
        return {name: shape for step in self.steps for name, shape in shapes_of(self.maps, step).items()}

    def to_json(self) -> str:
        """Return the one text of this plan."""
        return dumps({"version": VERSION, "maps": plain(self.maps), "steps": plain(self.steps)})

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "plan.json") -> Self:
        """Read what `to_json` wrote.

        Raises:
            WeightsError: it is damaged, or from a newer version.
        """
        data = loads(text, where)
        if (version := data.get("version")) != VERSION:
            what = f"is a plan of version {version!r}, this effnet reads {VERSION}"
            raise WeightsError(what, where=where, fix="pip install --upgrade effnet")
        maps = (build(FeatureMap, mapping(m, where), where) for m in sequence(data.get("maps"), where))
        steps = (build(Step, mapping(s, where), where) for s in sequence(data.get("steps"), where))
        return cls(maps=tuple(maps), steps=tuple(steps))


def plan(spec: NetworkSpec, size: int) -> Plan:
    """Return the plan of a network for images of `size` x `size` pixels; norms are taken as folded."""
    writer = _Writer(spec, size)
    writer.stem()
    unrolled = unroll(spec, size)
    for block in unrolled.blocks:
        writer.block(block)
    writer.head(unrolled.features)
    return Plan(maps=tuple(writer.maps), steps=tuple(writer.steps))


class _Writer:
    """Collects maps and steps; `here` is the map that the next step reads."""

    def __init__(self, spec: NetworkSpec, size: int) -> None:
        self.spec = spec
        self.maps = [FeatureMap(channels=spec.in_channels, height=size, width=size)]
        self.steps: list[Step] = []
        self.here = 0
        self.path = ""
        self._position = 0
        self.gate: int | None = None

    def stem(self) -> None:
        stem, conventions = self.spec.stem, self.spec.conventions
        self.convolution("features.0.0", stem.channels, stem.kernel, stem.stride, padding=conventions.padding)
        if stem.pool:
            self._step("max_pool", self._windowed(stem.channels, 2), kernel=3, stride=2, before=1)

    def block(self, block: Block) -> None:
        self.path = f"features.{block.stage}.{block.index}"
        self._position = 0
        entry = self.here
        if block.kind == "mbconv":
            if block.expands:
                self.convolution(self._unit(), block.mid_channels)
            self.depthwise(self._unit(), block)
            self.squeeze(block)
            self.convolution(self._unit(), block.out_channels, act=False, shortcut=entry if block.residual else None)
        elif block.kind == "fused_mbconv":
            self._fused(block, entry)
        else:
            self._resnet(block, entry)

    def head(self, features: int) -> None:
        stages = len(self.spec.stages)
        if self.spec.head.channels is not None:
            self.convolution(f"features.{stages + 1}.0", self.spec.head.channels)
        self._step("mean", FeatureMap(channels=features, height=1, width=1))
        self.convolution("classifier.1", self.spec.classes, act=False)

    def convolution(
        self,
        layer: str,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        padding: Padding = "symmetric",
        act: bool = True,
        shortcut: int | None = None,
        shortcut_last: bool = False,
    ) -> None:
        self._step(
            "convolution",
            self._windowed(channels, stride),
            layer=layer,
            activation=self.spec.conventions.activation if act else "none",
            kernel=kernel,
            stride=stride,
            before=self._before(kernel, stride, padding),
            shortcut=shortcut,
            shortcut_last=shortcut_last,
            gate=self.gate,
        )
        self.gate = None

    def depthwise(self, layer: str, block: Block) -> None:
        target = self._windowed(block.mid_channels, block.stride)
        self._step(
            "depthwise",
            target,
            sums=target.sums if block.squeeze_channels else None,
            layer=layer,
            activation=self.spec.conventions.activation,
            kernel=block.kernel,
            stride=block.stride,
            before=self._before(block.kernel, block.stride, self._padding("mbconv")),
        )

    def squeeze(self, block: Block) -> None:
        """Gate what the next convolution reads, by the sums that were written with it or are made here."""
        if not block.squeeze_channels:
            return
        source, sums = self.here, self.steps[-1].sums if self.steps[-1].output == self.here else None
        if sums is None:
            self._step("sum_rows", self.maps[source].sums)
            sums, self.here = self.here, source
        self.maps.append(FeatureMap(channels=self.maps[source].channels, height=1, width=1))
        self.gate = len(self.maps) - 1
        step = Step(
            kind="squeeze",
            input=source,
            output=self.gate,
            layer=self._unit().removesuffix(".0"),
            activation=self.spec.conventions.activation,
            sums=sums,
            squeezed=block.squeeze_channels,
        )
        self.steps.append(step)

    def _fused(self, block: Block, entry: int) -> None:
        shortcut, padding = entry if block.residual else None, self._padding("fused_mbconv")
        if not block.expands:
            self.squeeze(block)
            layer = self._unit()
            self.convolution(
                layer, block.out_channels, block.kernel, block.stride,
                padding=padding, shortcut=shortcut, shortcut_last=True,
            )  # fmt: skip
            return
        self.convolution(self._unit(), block.mid_channels, block.kernel, block.stride, padding=padding)
        self.squeeze(block)
        self.convolution(self._unit(), block.out_channels, act=False, shortcut=shortcut)

    def _resnet(self, block: Block, entry: int) -> None:
        padding = self._padding(block.kind)
        shortcut = entry if block.residual else None
        if block.projects_shortcut:
            layer = f"{self.path}.shortcut.0"
            self.convolution(layer, block.out_channels, 1, block.stride, padding=padding, act=False)
            shortcut, self.here = self.here, entry
        if block.kind == "bottleneck":
            self.convolution(self._unit(), block.mid_channels)
            self.convolution(self._unit(), block.mid_channels, block.kernel, block.stride, padding=padding)
            self.convolution(self._unit(), block.out_channels, shortcut=shortcut)
            return
        self.convolution(self._unit(), block.mid_channels, block.kernel, block.stride, padding=padding)
        self.convolution(self._unit(), block.out_channels, block.kernel, padding=padding, shortcut=shortcut)

    def _unit(self) -> str:
        """Return the name of the next layer of the block's sequence."""
        position, self._position = self._position, self._position + 1
        return f"{self.path}.block.{position}.0"

    def _padding(self, kind: BlockKind) -> Padding:
        return self.spec.conventions.padding_in(kind)

    def _before(self, kernel: int, stride: int, padding: Padding) -> int:
        if padding == "symmetric" or stride == 1:
            return (kernel - 1) // 2
        size = self.maps[self.here].height
        return max((strided(size, stride) - 1) * stride + kernel - size, 0) // 2

    def _windowed(self, channels: int, stride: int) -> FeatureMap:
        here = self.maps[self.here]
        return FeatureMap(channels=channels, height=strided(here.height, stride), width=strided(here.width, stride))

    def _step(self, kind: Kind, target: FeatureMap, *, sums: FeatureMap | None = None, **values: Any) -> None:
        index = None
        if sums is not None:
            self.maps.append(sums)
            index = len(self.maps) - 1
        self.maps.append(target)
        output = len(self.maps) - 1
        self.steps.append(Step(kind=kind, input=self.here, output=output, sums=index, **values))
        self.here = output

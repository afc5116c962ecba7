"""A network as an immutable, validated value.

`NetworkSpec` says everything that fixes a network's function and cost except its weights: stem, stages of
blocks, head, and the conventions in which published ports differ (padding, norm eps, activation). Scaling
maps a spec to a spec, cost maps it to numbers, `build` maps it to a torch module, a model file carries it.

    >>> import effnet
    >>> b0 = effnet.find("b0")
    >>> b0.with_stage(3, kernel=5, expand_ratio=4).replace(classes=10)
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from effnet.errors import SpecError, UnknownNameError

BlockKind = Literal["mbconv", "fused_mbconv", "basic", "bottleneck"]
Activation = Literal["silu", "relu", "relu6", "hard_swish", "gelu"]
Padding = Literal["symmetric", "same"]

FORMAT = 1
"""Version of the JSON form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpec:
    """What the blocks of one stage are made of.

    Attributes:
        kind: `mbconv` (V1 Table 1), `fused_mbconv` (V2 Figure 2), or ResNet's `basic` and `bottleneck`.
        kernel: side of the spatial convolution, odd.
        expand_ratio: inner channels over the block's *input* channels; for the ResNet kinds, inner channels
            over the block's *output* channels (bottleneck: 0.25).
        se_ratio: squeeze-and-excitation channels over the block's input channels; 0 means no SE.
        skip: whether blocks that keep their shape add their input to their output.
    """

    kind: BlockKind = "mbconv"
    kernel: int = 3
    expand_ratio: float = 6.0
    se_ratio: float = 0.25
    skip: bool = True

    def __post_init__(self) -> None:
        """Refuse blocks that cannot be built."""
        _check_choice("block kind", self.kind, get_args(BlockKind))
        _check_kernel("kernel", self.kernel)
        _check_real("expand_ratio", self.expand_ratio, 0.01, 64)
        _check_real("se_ratio", self.se_ratio, 0, 4)
        _check_bool("skip", self.skip)
        if self.se_ratio and self.kind in ("basic", "bottleneck"):
            raise SpecError(
                f"se_ratio {self.se_ratio:g} on a {self.kind} block", where="se_ratio", fix="use se_ratio 0"
            )

    def __str__(self) -> str:
        """Name the block as the papers do: `MBConv6 k5x5 se0.25`."""
        label = {
            "mbconv": "MBConv",
            "fused_mbconv": "Fused-MBConv",
            "basic": "Basic",
            "bottleneck": "Bottleneck",
        }
        ratio = f"{self.expand_ratio:g}" if self.kind in ("mbconv", "fused_mbconv") else ""
        parts = [f"{label[self.kind]}{ratio}", f"k{self.kernel}x{self.kernel}"]
        if self.se_ratio:
            parts.append(f"se{self.se_ratio:g}")
        if not self.skip:
            parts.append("noskip")
        return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """`repeats` blocks of one kind; only the first has the stride and the change of channels.

    Attributes:
        block: what each block is.
        channels: output channels of every block.
        repeats: number of blocks.
        stride: stride of the first block.
        expand_from: channels that the first block's expand ratio multiplies when they are not its input
            channels (EfficientNet-EdgeTPU stage 1 expands 24 x 4 although it reads 32).
    """

    block: BlockSpec
    channels: int
    repeats: int
    stride: int = 1
    expand_from: int | None = None

    def __post_init__(self) -> None:
        """Refuse stages that cannot be built."""
        if not isinstance(self.block, BlockSpec):
            raise SpecError(f"block is {self.block!r}", where="block", fix="give a BlockSpec")
        _check_int("channels", self.channels, 1, 1 << 17)
        _check_int("repeats", self.repeats, 1, 4096)
        _check_int("stride", self.stride, 1, 8)
        if self.expand_from is not None:
            _check_int("expand_from", self.expand_from, 1, 1 << 17)

    def __str__(self) -> str:
        """Render one line: `MBConv6 k5x5 se0.25 s2 -> 40 x2`."""
        return f"{self.block} s{self.stride} -> {self.channels} x{self.repeats}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StemSpec:
    """The first convolution: `kernel` x `kernel`, norm, activation; `pool` adds ResNet's 3x3 max pool, stride 2.

    Set `stride=1` (and `pool=False`) for small images such as 32x32.
    """

    channels: int
    kernel: int = 3
    stride: int = 2
    pool: bool = False

    def __post_init__(self) -> None:
        """Refuse stems that cannot be built."""
        _check_int("stem channels", self.channels, 1, 1 << 17)
        _check_kernel("stem kernel", self.kernel)
        _check_int("stem stride", self.stride, 1, 8)
        _check_bool("stem pool", self.pool)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """1x1 convolution to `channels` (None: no convolution, as in ResNet), global pool, dropout, linear."""

    channels: int | None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse heads that cannot be built."""
        if self.channels is not None:
            _check_int("head channels", self.channels, 1, 1 << 17)
        _check_real("dropout", self.dropout, 0, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """What published ports of one network disagree about (facts: TF and torch ports, padding and norm tables).

    Attributes:
        activation: after every norm but the projection's, and inside SE.
        padding: `symmetric` pads (k-1)//2 on each side; `same` is TensorFlow's SAME, which pads the right and
            bottom more when stride and size leave an odd rest.
        fused_padding: padding inside Fused-MBConv, if not `padding`. The official EdgeTPU code strides in the 1x1
            projection after a 3x3 convolution without stride; that is the function of a strided 3x3 convolution with
            symmetric padding, at four times its cost, so its SAME networks have `symmetric` here.
        norm_eps: epsilon of batch norm.
        norm_momentum: weight of the new batch in the running statistics (PyTorch's sense, 1 - TF decay).
    """

    activation: Activation = "silu"
    padding: Padding = "symmetric"
    fused_padding: Padding | None = None
    norm_eps: float = 1e-3
    norm_momentum: float = 0.01

    def __post_init__(self) -> None:
        """Refuse conventions that nothing implements."""
        _check_choice("activation", self.activation, get_args(Activation))
        _check_choice("padding", self.padding, get_args(Padding))
        if self.fused_padding is not None:
            _check_choice("fused_padding", self.fused_padding, get_args(Padding))
        _check_real("norm_eps", self.norm_eps, 1e-12, 1)
        _check_real("norm_momentum", self.norm_momentum, 1e-6, 1)

    def padding_in(self, kind: BlockKind) -> Padding:
        """Return the padding of the convolutions of such blocks."""
        return self.fused_padding or self.padding if kind == "fused_mbconv" else self.padding


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRules:
    """How a family rounds and what it leaves alone when it is scaled.

    Attributes:
        divisor: channels are rounded to a multiple of it.
        round_limit: when rounding leaves less than this share of the wanted channels, one divisor is added.
            V1 code uses 0.9, V2 code 0 (never): width 1.2 gives 24 channels in V1-B3 stage 1 and 16 in V2-B3.
        scale_stem: whether width changes the stem (Lite: no).
        scale_head: whether width changes the head convolution (Lite: no).
        scale_ends: whether depth changes the first and the last stage (Lite: no).
    """

    divisor: int = 8
    round_limit: float = 0.9
    scale_stem: bool = True
    scale_head: bool = True
    scale_ends: bool = True

    def __post_init__(self) -> None:
        """Refuse rules that cannot round."""
        _check_int("divisor", self.divisor, 1, 1024)
        _check_real("round_limit", self.round_limit, 0, 1)
        for name in ("scale_stem", "scale_head", "scale_ends"):
            _check_bool(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a scaled spec came from.

    Rounding does not compose (depth x1.2 twice is not x1.44), so scaling a scaled spec starts again from
    `base` with the product of the coefficients.
    """

    base: NetworkSpec
    width: float = 1.0
    depth: float = 1.0
    resolution: float = 1.0

    def __post_init__(self) -> None:
        """Refuse coefficients that are not positive, and a base that is itself scaled."""
        for name in ("width", "depth", "resolution"):
            _check_real(f"{name} coefficient", getattr(self, name), 1e-3, 1e3)
        if not isinstance(self.base, NetworkSpec):
            raise SpecError(f"base is {self.base!r}", where="base", fix="give a NetworkSpec")
        if self.base.origin is not None:
            raise SpecError("an origin's base is itself scaled", where="origin", fix="use base.origin.base")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A whole network. Stages are numbered from 1, as in the papers.

    Attributes:
        name: what to call it.
        family: the published family it belongs to, or `custom`.
        resolution: native input side in pixels for evaluation; `train_resolution` for training (V2 trains smaller).
        drop_path: drop rate that the last block approaches; block i of N drops drop_path * i / N.
        origin: the base and coefficients, when the spec was made by scaling.
    """

    name: str
    stem: StemSpec
    stages: tuple[StageSpec, ...]
    head: HeadSpec
    family: str = "custom"
    in_channels: int = 3
    classes: int = 1000
    resolution: int = 224
    train_resolution: int | None = None
    drop_path: float = 0.0
    conventions: Conventions = field(default_factory=Conventions)
    scaling: ScalingRules = field(default_factory=ScalingRules)
    origin: Origin | None = None

    def __post_init__(self) -> None:
        """Refuse networks that cannot be built; `dataclasses.replace` runs this again."""
        for name in ("name", "family"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise SpecError(f"{name} is {getattr(self, name)!r}", where=name, fix="give a non-empty text")
        for name, kind in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise SpecError(f"{name} is not a {kind.__name__}", where=name, fix=f"give a {kind.__name__}")
        if isinstance(self.stages, list):
            object.__setattr__(self, "stages", tuple(self.stages))
        if not isinstance(self.stages, tuple) or not all(isinstance(s, StageSpec) for s in self.stages):
            raise SpecError("stages are not StageSpec values", where="stages", fix="give a tuple of StageSpec")
        if not 1 <= len(self.stages) <= 64:
            raise SpecError(f"{len(self.stages)} stages", where="stages", fix="give 1 to 64 stages")
        _check_int("in_channels", self.in_channels, 1, 65536)
        _check_int("classes", self.classes, 0, 10_000_000)
        _check_int("resolution", self.resolution, 1, 16384)
        if self.train_resolution is None:
            object.__setattr__(self, "train_resolution", self.resolution)
        _check_int("train_resolution", self.train_resolution, 1, 16384)
        _check_real("drop_path", self.drop_path, 0, 0.999)
        if self.origin is not None and not isinstance(self.origin, Origin):
            raise SpecError("origin is not an Origin", where="origin", fix="leave it out")

    @property
    def blocks(self) -> int:
        """Number of blocks in all stages."""
        return sum(stage.repeats for stage in self.stages)

    @property
    def _architecture(self) -> tuple[object, ...]:
        return self.stem, self.stages, self.head.channels, self.scaling

    @property
    def stride(self) -> int:
        """Input pixels per pixel of the last feature map."""
        stem = self.stem.stride * (2 if self.stem.pool else 1)
        return math.prod((stage.stride for stage in self.stages), start=stem)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with the named fields changed.

        A change of the architecture (stem, stages, head width) makes the result its own base for scaling.

        Raises:
            SpecError: a field does not exist or the result is impossible.
        """
        _check_fields(type(self), changes, "network")
        changed = dataclasses.replace(self, **changes)
        if "origin" in changes or changed._architecture == self._architecture:
            return changed
        return dataclasses.replace(changed, origin=None)

    def with_stage(self, number: int, **changes: Any) -> Self:
        """Return a copy with stage `number` (from 1) changed; takes the fields of `StageSpec` and `BlockSpec`.

        Raises:
            SpecError: no such stage or field, or the result is impossible.
        """
        _check_int("stage number", number, 1, len(self.stages))
        stage = self.stages[number - 1]
        names = {f.name for f in dataclasses.fields(BlockSpec)}
        block = {key: changes.pop(key) for key in list(changes) if key in names}
        _check_fields(StageSpec, changes, f"stage {number}", also=names)
        if block:
            changes["block"] = dataclasses.replace(changes.get("block", stage.block), **block)
        edited = dataclasses.replace(stage, **changes)
        return self.replace(stages=(*self.stages[: number - 1], edited, *self.stages[number:]))

    def with_conventions(self, **changes: Any) -> Self:
        """Return a copy with the named `Conventions` fields changed."""
        _check_fields(Conventions, changes, "conventions")
        return self.replace(conventions=dataclasses.replace(self.conventions, **changes))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"format": FORMAT, **_plain(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            SpecError: unknown or missing fields, wrong types, or an impossible network.
        """
        if not isinstance(data, Mapping):
            raise SpecError("not a JSON object", where="network", fix="give what `effnet summary --spec` prints")
        body = dict(data)
        version = body.pop("format", FORMAT)
        if version != FORMAT:
            raise SpecError(f"format {version!r}", where="network", fix=f"this version reads format {FORMAT}")
        network: Self = _read(cls, body, "network")
        return network

    def to_json(self) -> str:
        """Return indented JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raises SpecError."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"not JSON ({error})", where="network", fix="give the text that to_json wrote") from None
        return cls.from_dict(data)

    def __str__(self) -> str:
        """One line a part: stem, stages, head."""
        stem = self.stem
        pool = ", max pool 3x3 s2" if stem.pool else ""
        head = f"conv 1x1 -> {self.head.channels}, " if self.head.channels else ""
        width = len(str(len(self.stages)))
        lines = [
            f"{self.name}: {self.in_channels} x {self.resolution} x {self.resolution} -> {self.classes} classes",
            f"  stem   conv {stem.kernel}x{stem.kernel} s{stem.stride} -> {stem.channels}{pool}",
            *(f"  stage {i:>{width}} {stage}" for i, stage in enumerate(self.stages, 1)),
            f"  head   {head}pool, dropout {self.head.dropout:g}, linear -> {self.classes}",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """One line: enough to tell two networks apart."""
        stages = ", ".join(str(stage) for stage in self.stages)
        head = f"{self.head.channels} " if self.head.channels else ""
        return (
            f"<NetworkSpec {self.name} {self.resolution}px: stem {self.stem.channels} | {stages} | "
            f"head {head}-> {self.classes}>"
        )


_PARTS: dict[str, type] = {
    "stem": StemSpec,
    "head": HeadSpec,
    "conventions": Conventions,
    "scaling": ScalingRules,
}
_NESTED: dict[tuple[type, str], type] = {
    **{(NetworkSpec, name): kind for name, kind in _PARTS.items()},
    (NetworkSpec, "stages"): StageSpec,
    (NetworkSpec, "origin"): Origin,
    (Origin, "base"): NetworkSpec,
    (StageSpec, "block"): BlockSpec,
}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _read(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise SpecError(f"expected an object, got {type(data).__name__}", where=where, fix="give a JSON object")
    _check_fields(kind, data, where)
    values: dict[str, Any] = {}
    for name, value in data.items():
        nested = _NESTED.get((kind, name))
        place = f"{where}.{name}"
        if nested is None or (value is None and name == "origin"):
            values[name] = value
        elif name == "stages":
            if not isinstance(value, list | tuple):
                raise SpecError("stages are not a list", where=place, fix="give a list of stages")
            values[name] = tuple(_read(nested, item, f"{place}[{i}]") for i, item in enumerate(value, 1))
        else:
            if nested is NetworkSpec and isinstance(value, Mapping) and value.get("origin") is not None:
                # Also the only way in which a spec could nest without end.
                raise SpecError("an origin's base is itself scaled", where=place, fix="use the base of that base")
            values[name] = _read(nested, value, place)
    try:
        return kind(**values)
    except TypeError as error:
        missing = [
            f.name
            for f in dataclasses.fields(kind)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and f.name not in values
        ]
        raise SpecError(f"missing {', '.join(missing) or error}", where=where, fix="add the fields") from None
    except SpecError as error:
        place = f"{where}.{error.where}" if error.where else where
        raise SpecError(error.what, where=place, fix=error.fix) from None


def _check_fields(
    kind: type, names: Mapping[str, Any], where: str, also: set[str] | frozenset[str] = frozenset()
) -> None:
    known = [f.name for f in dataclasses.fields(kind)] + sorted(also)
    for name in names:
        if name not in known:
            hint = UnknownNameError.among("field", str(name), known)
            raise SpecError(hint.what, where=where, fix=hint.fix)


def _check_int(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SpecError(f"{name} is {value!r}", where=name, fix=f"give a whole number from {low} to {high}")


def _check_real(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SpecError(f"{name} is {value!r}", where=name, fix=f"give a number from {low:g} to {high:g}")


def _check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise SpecError(f"{name} is {value!r}", where=name, fix="give true or false")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        hint = UnknownNameError.among(name, str(value), choices, see=f"known: {', '.join(choices)}")
        raise SpecError(hint.what, where=name.split()[-1], fix=hint.fix)


def _check_kernel(name: str, value: Any) -> None:
    _check_int(name, value, 1, 31)
    if value % 2 == 0:
        raise SpecError(f"{name} is {value}", where=name, fix="give an odd number: even kernels shift the image")

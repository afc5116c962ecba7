"""The factorised hierarchical search space (Mnas section 4.1, V2 section 3.2), as data that can be edited.

Every stage of a base network chooses its block kind, kernel, expand ratio, squeeze-and-excitation, width, layers and
skip; all blocks of a stage are alike. A point of the space is a flat mapping from a dimension's name to a value,
`{"stage1.kernel": 5, ...}`, which the space turns into a spec like any other.

    >>> import random
    >>> from effnet.families import find
    >>> space = SearchSpace.around(find("b0"))
    >>> spec = space.spec(space.random(random.Random(0)))
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Self, TypeAlias

from effnet.errors import InputError, SpecError, UnknownNameError
from effnet.scaling import round_channels
from effnet.spec import BlockKind, BlockSpec, NetworkSpec

Value: TypeAlias = str | int | float | bool
Choices: TypeAlias = Mapping[str, Value]
"""One value for every dimension of a space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageChoices:
    """What one stage may be. Each field lists the values; one value fixes the dimension.

    Attributes:
        kind: block kinds.
        kernel: sides of the spatial convolution.
        expand_ratio: inner channels over input channels.
        se_ratio: squeeze channels over input channels; 0 is without.
        width: factors on the base's channels, which are then rounded as the base's family rounds.
        layers: added to the base's repeats; a stage keeps at least one block.
        skip: whether blocks that keep their shape have a shortcut.
    """

    kind: tuple[BlockKind, ...] = ("mbconv", "fused_mbconv")
    kernel: tuple[int, ...] = (3, 5)
    expand_ratio: tuple[float, ...] = (1, 3, 4, 6)
    se_ratio: tuple[float, ...] = (0.0, 0.25)
    width: tuple[float, ...] = (0.75, 1.0, 1.25)
    layers: tuple[int, ...] = (-1, 0, 1)
    skip: tuple[bool, ...] = (True, False)

    def __post_init__(self) -> None:
        """Refuse stages without a choice, doubled values, and values no block takes."""
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)
            if isinstance(values, list):
                values = tuple(values)
                object.__setattr__(self, field.name, values)
            if not isinstance(values, tuple) or not values:
                raise InputError(f"{field.name} is {values!r}", where=field.name, fix="list at least one value")
            if len(set(values)) != len(values):
                raise InputError(f"{field.name} lists a value twice", where=field.name, fix="list each value once")
        for kind in self.kind:
            if kind not in ("mbconv", "fused_mbconv"):
                known = ("mbconv", "fused_mbconv")
                raise UnknownNameError.among("block kind", str(kind), known, see=f"known: {', '.join(known)}")
        for kernel in self.kernel:
            BlockSpec(kernel=kernel)
        for ratio in self.expand_ratio:
            BlockSpec(expand_ratio=ratio)
        for ratio in self.se_ratio:
            BlockSpec(se_ratio=ratio)
        for name, kinds, low, high in (("width", (int, float), 0.01, 100), ("layers", (int,), -4096, 4096)):
            for value in getattr(self, name):
                if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
                    raise InputError(f"{name} lists {value!r}", where=name, fix=f"give numbers from {low} to {high}")
        if not all(isinstance(value, bool) for value in self.skip):
            raise InputError(f"skip lists {list(self.skip)}", where="skip", fix="give true, false or both")


_DIMENSIONS = tuple(field.name for field in dataclasses.fields(StageChoices))


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """A base network and what each of its stages may become.

    Attributes:
        base: gives the strides, the channels and repeats that `width` and `layers` vary, stem, head and resolution.
        stages: one for each stage of the base.
    """

    base: NetworkSpec
    stages: tuple[StageChoices, ...]

    def __post_init__(self) -> None:
        """Refuse a space that does not fit its base."""
        if isinstance(self.stages, list):
            object.__setattr__(self, "stages", tuple(self.stages))
        if len(self.stages) != len(self.base.stages):
            what = f"{len(self.stages)} stages for the {len(self.base.stages)} of {self.base.name}"
            raise InputError(what, where="stages", fix="give one entry a stage")

    @classmethod
    def around(cls, base: NetworkSpec, choices: StageChoices | None = None) -> Self:
        """Return the space in which every stage of `base` has the same choices (default: the papers')."""
        return cls(base=base, stages=(choices or StageChoices(),) * len(base.stages))

    @property
    def dimensions(self) -> dict[str, tuple[Value, ...]]:
        """Every dimension's values, by name: `stage1.kind`, `stage1.kernel`, ..."""
        return {
            f"stage{number}.{name}": getattr(stage, name)
            for number, stage in enumerate(self.stages, 1)
            for name in _DIMENSIONS
        }

    @property
    def size(self) -> int:
        """Number of points; some describe the same network, as a stage of one block cannot lose a layer."""
        return math.prod(len(values) for values in self.dimensions.values())

    def spec(self, choices: Choices, name: str | None = None) -> NetworkSpec:
        """Return the network that `choices` describe; its name is a digest of its shape unless given.

        Raises:
            InputError: a dimension is missing, unknown, or has a value that the space does not list.
        """
        self.require(choices)
        stages = []
        for number, (base, _) in enumerate(zip(self.base.stages, self.stages, strict=True), 1):
            chosen = {field: choices[f"stage{number}.{field}"] for field in _DIMENSIONS}
            width, layers = chosen.pop("width"), chosen.pop("layers")
            stages.append(
                dataclasses.replace(
                    base,
                    block=BlockSpec(**chosen),  # type: ignore[arg-type]  # proved by `require`
                    channels=round_channels(base.channels, float(width), self.base.scaling),
                    repeats=max(1, base.repeats + int(layers)),
                    expand_from=None,
                )
            )
        spec = self.base.replace(stages=tuple(stages), family="custom", name="searched")
        return spec.replace(name=name or f"searched-{digest(spec)}")

    def require(self, choices: Choices) -> None:
        """Refuse choices that are not of this space.

        Raises:
            InputError: a dimension is missing, unknown, or has a value that the space does not list.
        """
        dimensions = self.dimensions
        if wrong := sorted(set(choices) ^ set(dimensions)):
            what = "missing" if wrong[0] in dimensions else "unknown"
            raise InputError(f"dimension {wrong[0]} is {what}", where="choices", fix=f"give {', '.join(_DIMENSIONS)}")
        for name, value in choices.items():
            if value not in dimensions[name]:
                listed = ", ".join(map(str, dimensions[name]))
                raise InputError(f"{name} is {value!r}", where="choices", fix=f"give one of {listed}")

    def random(self, rng: Random) -> dict[str, Value]:
        """Return a point drawn evenly in every dimension."""
        return {name: rng.choice(values) for name, values in self.dimensions.items()}

    def mutated(self, choices: Choices, rng: Random, changes: int = 1) -> dict[str, Value]:
        """Return `choices` with that many dimensions (at most those that have two values) set to another value."""
        open_dimensions = {name: values for name, values in self.dimensions.items() if len(values) > 1}
        changed = dict(choices)
        for name in rng.sample(sorted(open_dimensions), min(changes, len(open_dimensions))):
            changed[name] = rng.choice([value for value in open_dimensions[name] if value != choices[name]])
        return changed

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` reads them."""
        stages = [{name: list(getattr(stage, name)) for name in _DIMENSIONS} for stage in self.stages]
        return {"base": json.loads(self.base.to_json()), "stages": stages}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Read what `to_dict` wrote; a stage may leave out dimensions, which are then as in `StageChoices`.

        Raises:
            EffnetError: an unknown key, a value no block takes, or not as many stages as the base has.
        """
        if not isinstance(data, Mapping) or set(data) != {"base", "stages"} or not isinstance(data["stages"], list):
            raise InputError("not a search space", where="space", fix='write {"base": SPEC, "stages": [{...}, ...]}')
        base = NetworkSpec.from_json(json.dumps(data["base"]))
        return cls(base=base, stages=tuple(_stage(entry, number) for number, entry in enumerate(data["stages"], 1)))


def digest(spec: NetworkSpec) -> str:
    """Return eight characters that tell networks of different shape apart, whatever they are called."""
    shape = repr((spec.stem, spec.stages, spec.head, spec.resolution, spec.conventions))
    return hashlib.sha256(shape.encode()).hexdigest()[:8]


def _stage(entry: Any, number: int) -> StageChoices:
    where = f"stages[{number}]"
    if not isinstance(entry, Mapping):
        raise InputError(f"is {type(entry).__name__}", where=where, fix="give a table of lists")
    for name in entry:
        if name not in _DIMENSIONS:
            raise UnknownNameError.among("dimension", str(name), _DIMENSIONS)
    try:
        return StageChoices(**{name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()})
    except (InputError, SpecError) as error:
        raise InputError(error.what, where=f"{where}.{error.where}", fix=error.fix) from None
    except TypeError:  # values that cannot be compared
        raise InputError("lists of lists", where=where, fix="give lists of plain values") from None

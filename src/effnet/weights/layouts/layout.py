"""What a layout is: how one library names and orders the numbers of the same network.

A layout is one table of correspondence per network, generated from its parts. Both directions read that table, so
they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from effnet.errors import WeightsError
from effnet.spec import NetworkSpec
from effnet.weights.layouts.parts import COUNTER, TENSORS, Kind, Part, parts

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One tensor under both names.

    Attributes:
        part: the layer that owns it.
        native: its name in our networks.
        foreign: its name in the layout; None where the layout has no such tensor (only norms' counters).
        shape: in our networks.
        axes: `foreign.permute(axes)` is the native tensor; None where both are the same.
    """

    part: Part
    native: str
    foreign: str | None
    shape: tuple[int, ...]
    axes: Axes | None = None

    @property
    def is_counter(self) -> bool:
        """Whether it is a norm's batch counter, which a file may leave out."""
        return self.native.endswith(COUNTER)

    @property
    def inverse(self) -> Axes | None:
        """`native.permute(inverse)` is the foreign tensor."""
        if self.axes is None:
            return None
        return tuple(sorted(range(len(self.axes)), key=self.axes.__getitem__))

    @property
    def foreign_shape(self) -> tuple[int, ...]:
        """Shape in the layout."""
        inverse = self.inverse
        return self.shape if inverse is None else tuple(self.shape[axis] for axis in inverse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """How a layout names and orders the tensors of a layer.

    Attributes:
        names: for each kind of layer, the layout's name of each of our tensors; a missing counter does not exist.
        axes: for each kind of layer, how its weight's axes are permuted to become ours.
        separator: between the layer's name and the tensor's.
    """

    names: Mapping[Kind, Mapping[str, str]]
    axes: Mapping[Kind, Axes]
    separator: str


TORCH_TENSORS = Tensors(
    names={kind: {name: name for name in names} for kind, names in TENSORS.items()}, axes={}, separator="."
)
"""Every layout of a PyTorch library: the same tensors under other layer names."""

# A TensorFlow kernel is (height, width, in, out), a depthwise one (height, width, channels, 1), a dense one (in, out).
TENSORFLOW_AXES: Mapping[Kind, Axes] = {
    "conv": (3, 2, 0, 1),
    "gate": (3, 2, 0, 1),
    "depthwise": (2, 3, 0, 1),
    "linear": (1, 0),
}

TENSORFLOW_NAMES: Mapping[Kind, Mapping[str, str]] = {
    "conv": {"weight": "kernel"},
    "gate": {"weight": "kernel", "bias": "bias"},
    "depthwise": {"weight": "depthwise_kernel"},
    "linear": {"weight": "kernel", "bias": "bias"},
    "norm": {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"},
}

TENSORFLOW_TENSORS = Tensors(names=TENSORFLOW_NAMES, axes=TENSORFLOW_AXES, separator="/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one library names the tensors of every network it can express.

    Attributes:
        name: `torchvision`, `timm`, ...
        prefix: the layout's name of a part's layer; None when the library has no such layer.
        tensors: the tensors of each layer.
        marks: regular expressions; a file in this layout has a name that one of them matches in full.
        canonical: turns the names a file has into those of `prefix` and `tensors` (for libraries that vary them): a
            map from the file's name to the canonical one, leaving out what is no weight of the network.
    """

    name: str
    prefix: Callable[[Part, NetworkSpec], str | None]
    tensors: Tensors
    marks: tuple[str, ...]
    canonical: Callable[[tuple[str, ...], NetworkSpec], Mapping[str, str]] | None = None

    def table(self, spec: NetworkSpec) -> tuple[Row, ...]:
        """Return the correspondence of every tensor of `spec`.

        Raises:
            WeightsError: the library has no such network.
        """
        return tuple(row for part in parts(spec) for row in self._rows(part, spec))

    def names_in(self, names: tuple[str, ...], spec: NetworkSpec) -> Mapping[str, str]:
        """Return the canonical name of each name in a file, without those that are no weights of a network."""
        return {name: name for name in names} if self.canonical is None else self.canonical(names, spec)

    def _rows(self, part: Part, spec: NetworkSpec) -> list[Row]:
        prefix = self.prefix(part, spec)
        if prefix is None:
            fix = "use the torchvision layout, which can say everything, or a model file"
            raise WeightsError(f"{self.name} has no layer like {part.native} of this network", where=spec.name, fix=fix)
        names, axes = self.tensors.names[part.kind], self.tensors.axes.get(part.kind)
        return [
            Row(
                part=part,
                native=f"{part.native}.{tensor}",
                foreign=f"{prefix}{self.tensors.separator}{names[tensor]}" if tensor in names else None,
                shape=part.shape_of(tensor),
                axes=axes if tensor == "weight" else None,
            )
            for tensor in TENSORS[part.kind]
        ]

"""State dicts from one layout to another, checked tensor by tensor."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from effnet.errors import UnknownNameError, WeightsError
from effnet.spec import NetworkSpec
from effnet.weights.layouts import keras, lukemelas, tensorflow, timm, torchvision, transformers
from effnet.weights.layouts.layout import Layout, Row

if TYPE_CHECKING:
    from torch import Tensor

LAYOUTS: dict[str, Layout] = {
    module.LAYOUT.name: module.LAYOUT for module in (torchvision, timm, lukemelas, keras, tensorflow, transformers)
}
"""Every layout by name."""

_WRAPPERS = ("module.", "model.", "_orig_mod.")
_TORCH = ("torchvision", "timm", "lukemelas", "transformers")
_BOOKKEEPING = ("n_averaged",)
_SHOWN = 3


def detect(names: Iterable[str]) -> str:
    """Return the layout that a file with these tensor names is in.

    ResNets are called the same by torchvision and timm; they are reported as `torchvision`.

    Raises:
        WeightsError: no layout has such names.
    """
    seen = tuple(unwrapped(tuple(names)))
    for layout in LAYOUTS.values():
        marks = [re.compile(mark) for mark in layout.marks]
        if any(mark.fullmatch(name) for name in seen for mark in marks):
            return layout.name
    expected = "features.0.0.weight, layer1.0.conv1.weight, conv_stem.weight, _conv_stem.weight, stem_conv/kernel"
    raise WeightsError(
        f"its tensors are called {_some(seen)}, which is no known layout" if seen else "holds no tensors",
        fix=f"give a file with one of {expected}, .../stem/conv2d/kernel",
    )


def to_native(state: Mapping[str, Tensor], spec: NetworkSpec, layout: str | None = None) -> dict[str, Tensor]:
    """Return the state dict of our network `spec`, complete and in float32, from one in another layout.

    Args:
        state: tensors by name; wrappers' prefixes (`module.`, `model.`) are stripped.
        spec: the network, with the classes and input channels that the state has.
        layout: `torchvision`, `timm`, `lukemelas`, `keras` or `tensorflow`; None detects it.

    Raises:
        UnknownNameError: no such layout.
        WeightsError: tensors are missing, unexpected, or of another shape or type; it says of which network they are.
    """
    source = _find(detect(state) if layout is None else layout)
    canonical = _canonical(source, state, spec)
    table = source.table(spec)
    _check(canonical, table, spec, source)
    return {row.native: _native(canonical, row) for row in table}


def from_native(state: Mapping[str, Tensor], spec: NetworkSpec, layout: str) -> dict[str, Tensor]:
    """Return the state dict of our network `spec` in another layout; tensors whose axes stay are not copied.

    Raises:
        UnknownNameError: no such layout.
        WeightsError: the layout has no such network, or `state` is not of `spec`.
    """
    target = _find(layout)
    table = target.table(spec)
    _check(dict(state), [_own(row) for row in table], spec, _find("torchvision"))
    moved = {}
    for row in table:
        if row.foreign is not None and row.native in state:
            tensor = state[row.native]
            moved[row.foreign] = tensor if row.inverse is None else tensor.permute(row.inverse).contiguous()
    return moved


def recognise(state: Mapping[str, Tensor], layout: str | None = None) -> tuple[str, ...]:
    """Return the published networks whose names and shapes `state` has, classes and input channels aside."""
    source = _find(detect(state) if layout is None else layout)
    return tuple(name for name in _published() if _fits(state, source, name))


def sizes(state: Mapping[str, Tensor], spec: NetworkSpec, layout: str) -> tuple[int, int]:
    """Return (input channels, classes) that `state` has, where its tensors say so, else those of `spec`.

    A state without a classifier has 0 classes.
    """
    source = _find(layout)
    canonical = _canonical(source, state, spec)
    channels, classes = spec.in_channels, 0
    for row in source.table(spec if spec.classes else spec.replace(classes=1)):
        if row.foreign not in canonical or not row.native.endswith(".weight"):
            continue
        shape = _native_shape(canonical[row.foreign], row)
        if row.part.role == "stem" and row.part.kind == "conv" and len(shape) == 4:
            channels = shape[1]
        elif row.part.role == "classifier" and len(shape) == 2:
            classes = shape[0]
    return channels, classes


def prefixes(names: Iterable[str]) -> tuple[str, ...]:
    """Return every prefix under which a network of a PyTorch layout begins, shortest first."""
    marks = [re.compile(rf"((?:.*\.)?)(?:{mark})") for name in _TORCH for mark in LAYOUTS[name].marks]
    found = {match[1] for name in names for mark in marks if (match := mark.fullmatch(name))}
    return tuple(sorted(found, key=lambda prefix: (len(prefix), prefix)))


def trunk_of(spec: NetworkSpec, layout: str, names: tuple[str, ...]) -> set[str]:
    """Return those of `names` that are tensors of `spec` without its classifier."""
    rows = {row.foreign for row in _find(layout).table(spec.replace(classes=0))}
    return {name for name in names if name in rows}


def classifier_of(spec: NetworkSpec, layout: str) -> str:
    """Return the layout's name of the classifier's layer."""
    rows = _find(layout).table(spec.replace(classes=1))
    name = next(row.foreign for row in rows if row.part.role == "classifier" and row.native.endswith(".weight"))
    return str(name).removesuffix(".weight")


def has_trunk(state: Mapping[str, Tensor], spec: NetworkSpec, layout: str) -> bool:
    """Whether `state` has every tensor of `spec` but its classifier, whatever else it has."""
    try:
        rows = {row.foreign: row for row in _find(layout).table(spec.replace(classes=0)) if row.foreign is not None}
    except WeightsError:
        return False
    return all(row.is_counter or (name in state and _alike(state[name], row)) for name, row in rows.items())


def unwrapped(names: tuple[str, ...]) -> dict[str, str]:
    """Return names without the prefix that wrappers (DataParallel, compile, EMA) put before all of them -> name."""
    found = {name: name for name in names if name not in _BOOKKEEPING}
    while found:
        prefix = next((p for p in _WRAPPERS if all(name.startswith(p) for name in found)), None)
        if prefix is None:
            break
        found = {name.removeprefix(prefix): original for name, original in found.items()}
    return found


def _find(layout: str) -> Layout:
    if layout not in LAYOUTS:
        raise UnknownNameError.among("layout", layout, LAYOUTS, see=f"known: {', '.join(LAYOUTS)}")
    return LAYOUTS[layout]


def _own(row: Row) -> Row:
    return Row(part=row.part, native=row.native, foreign=row.native, shape=row.shape)


def _canonical(layout: Layout, state: Mapping[str, Tensor], spec: NetworkSpec) -> dict[str, Tensor]:
    plain = {name: state[original] for name, original in unwrapped(tuple(state)).items()}
    return {name: plain[original] for original, name in layout.names_in(tuple(plain), spec).items()}


def _native(canonical: Mapping[str, Tensor], row: Row) -> Tensor:
    import torch

    tensor = None if row.foreign is None else canonical.get(row.foreign)
    if tensor is None:  # only counters may be missing, which `_check` has seen to
        return torch.zeros((), dtype=torch.int64)
    if row.is_counter:
        # `{k: v.half()}` halves counters too; beyond 65504 they are infinite, and nothing uses them.
        return tensor.nan_to_num(0, 0, 0).to(torch.int64)
    moved = tensor if row.axes is None else tensor.permute(row.axes)
    return moved.to(torch.float32).contiguous()


def _native_shape(tensor: Tensor, row: Row) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return tuple(shape[axis] for axis in row.axes) if row.axes and len(row.axes) == len(shape) else shape


def _check(canonical: Mapping[str, Tensor], table: Iterable[Row], spec: NetworkSpec, layout: Layout) -> None:
    rows = {row.foreign: row for row in table if row.foreign is not None}
    missing = [name for name, row in rows.items() if name not in canonical and not row.is_counter]
    extra = [name for name in canonical if name not in rows]
    misshaped = [
        f"{name} {_text(canonical[name].shape)}, expected {_text(row.foreign_shape)}"
        for name, row in rows.items()
        if name in canonical and tuple(canonical[name].shape) != row.foreign_shape
    ]
    mistyped = [
        f"{name} ({str(canonical[name].dtype).removeprefix('torch.')})"
        for name, row in rows.items()
        if name in canonical and not _has_type(canonical[name], row)
    ]
    problems = [
        f"{len(found)} {label} ({_some(found)})"
        for label, found in (
            ("missing", missing),
            ("unexpected", extra),
            ("of another shape", misshaped),
            ("not floating-point numbers", mistyped),
        )
        if found
    ]
    if problems:
        fix = _advice(canonical, misshaped, missing, extra, spec, layout)
        raise WeightsError(f"tensors do not fit {spec.name}: {'; '.join(problems)}", fix=fix)


def _has_type(tensor: Tensor, row: Row) -> bool:
    if row.is_counter:
        return not tensor.is_complex()
    return tensor.is_floating_point()


def _advice(
    canonical: Mapping[str, Tensor],
    misshaped: list[str],
    missing: list[str],
    extra: list[str],
    spec: NetworkSpec,
    layout: Layout,
) -> str:
    others = [name for name in _published() if name != spec.name and _fits(canonical, layout, name)]
    if others:
        return f"these are the weights of {' or '.join(others)}: create that network"
    if not missing and not extra and misshaped:
        return "create the network with the number of classes and channels that the file has"
    return "give the file of this network, whole"


def _fits(state: Mapping[str, Tensor], layout: Layout, name: str) -> bool:
    spec = _published()[name]
    try:
        rows = {row.foreign: row for row in layout.table(spec) if row.foreign is not None}
    except WeightsError:
        return False
    canonical = _canonical(layout, state, spec)
    return set(canonical) <= set(rows) and all(
        (foreign in canonical and _alike(canonical[foreign], row)) or row.is_counter or row.part.role == "classifier"
        for foreign, row in rows.items()
    )


def _alike(tensor: Tensor, row: Row) -> bool:
    shape = _native_shape(tensor, row)
    if row.part.role == "classifier":
        return len(shape) == len(row.shape) and shape[1:] == row.shape[1:]
    if row.part.role == "stem" and row.part.kind == "conv":
        return len(shape) == 4 and (shape[0], *shape[2:]) == (row.shape[0], *row.shape[2:])
    return shape == row.shape


@functools.cache
def _published() -> dict[str, NetworkSpec]:
    from effnet.families import catalog

    return {name: catalog.find(name) for name in catalog.names()}


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _text(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"

"""The network among all that a file holds: under whatever prefix it lies, with whatever its trainer kept beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effnet.errors import WeightsError
from effnet.families import catalog
from effnet.spec import NetworkSpec
from effnet.unrolling import unroll
from effnet.weights import layouts

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]

_TRUNK_FIX = "for the trunk without it: create(..., weights=FILE, classes=0), or classes=N for a fresh classifier"
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One network's tensors.

    Attributes:
        tensors: by their names in the layout, without prefix.
        prefix: under which they lay in the file.
        left_out: names of the other tensors.
    """

    tensors: dict[str, Tensor]
    prefix: str = ""
    left_out: tuple[str, ...] = ()


def choose(tensors: State, spec: NetworkSpec | None, *, trunk: bool) -> Chosen:
    """Return the tensors of the one network in `tensors`, its last linear layer as its classifier.

    Args:
        tensors: all that a file holds.
        spec: the network looked for; None for any published one.
        trunk: leave out a head that is not one linear layer, instead of refusing it.

    Raises:
        WeightsError: several different networks, or a head that is not ours.
    """
    found = [one for prefix in layouts.prefixes(tensors) if (one := _under(tensors, prefix, spec)) is not None]
    if not found:
        return _keras_head(tensors, trunk=trunk)
    # Averaged weights are the ones that are evaluated.
    averaged = [one for one in found if re.search(r"(^|[._])(ema|averaged|shadow)([._]|$)", one[0])]
    (prefix, layout, network), *others = averaged or found
    if other := next((one for one in others if not _same(tensors, prefix, one[0])), None):
        what = f"holds several networks: under {prefix or 'no prefix'!r} and under {other[0]!r}"
        raise WeightsError(what, fix="save the state_dict() of one of them")
    inside = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    rows = layouts.trunk_of(network, layout, tuple(inside))
    kept = {name: tensor for name, tensor in inside.items() if name in rows}
    foreign = {name: t for name, t in inside.items() if name not in rows}
    # What lies within a block of the network would change what it computes: the layout's own check names it.
    roots = {name.partition(".")[0] for name in rows} - {"classifier"}
    kept |= {name: t for name, t in foreign.items() if name.partition(".")[0] in roots}
    loose = {name: t for name, t in foreign.items() if name not in kept}
    beside = {n: t for n, t in tensors.items() if not n.startswith(prefix) and not _is_network(n, found)}
    head = layouts.classifier_of(network, layout)
    taken: set[str] = set()
    if f"{head}.weight" in loose and f"{head}.bias" in loose and _alone(loose, head):
        taken = {f"{head}.weight", f"{head}.bias"}
        kept |= {name: loose[name] for name in taken}
    else:
        heads = {**loose, **beside}
        linear = _linear(heads, unroll(network).features, trunk=trunk)
        if linear:
            taken = {f"{linear}.weight", f"{linear}.bias"}
            kept |= {f"{head}.{part}": heads[f"{linear}.{part}"] for part in ("weight", "bias")}
    names = {name: prefix + name if name in inside else name for name in (*loose, *beside)}
    left = [full for name, full in names.items() if name not in taken]
    left += [n for n in tensors if not n.startswith(prefix) and n not in beside]
    return Chosen(tensors=kept, prefix=prefix, left_out=tuple(n for n in left if n != "n_averaged"))


def _keras_head(tensors: State, *, trunk: bool) -> Chosen:
    """Return the tensors of a Keras file with its one Dense layer, whatever it is called, as the classifier."""
    try:
        if layouts.detect(tensors) != "keras":
            return Chosen(tensors=dict(tensors))
    except WeightsError:
        return Chosen(tensors=dict(tensors))
    dense = {}
    for name, tensor in tensors.items():
        layer, _, weight = name.rpartition("/")
        if tensor.ndim == 2 and weight in ("kernel", "kernel:0", "0") and not name.startswith(("optimizer", "vars/")):
            dense[layer] = weight
    if not dense:
        return Chosen(tensors=dict(tensors))
    if len(dense) > 1 and not trunk:
        what = f"has {len(dense)} Dense layers ({', '.join(list(dense)[:_SHOWN])})"
        raise WeightsError(what, fix=_TRUNK_FIX)
    within = {name for name in tensors if name.rpartition("/")[0] in dense}
    kept = {name: tensor for name, tensor in tensors.items() if name not in within}
    if len(dense) > 1:
        return Chosen(tensors=kept, left_out=tuple(sorted(within)))
    ((layer, weight),) = dense.items()
    bias = {"kernel": "bias", "kernel:0": "bias:0", "0": "1"}[weight]
    if f"{layer}/{bias}" not in tensors:
        return Chosen(tensors=dict(tensors))
    classifier = {"predictions/kernel": tensors[f"{layer}/{weight}"], "predictions/bias": tensors[f"{layer}/{bias}"]}
    return Chosen(tensors=kept | classifier)


def said(chosen: Chosen) -> str:
    """Return in words what was left out; empty if nothing."""
    if not chosen.left_out:
        return ""
    more = len(chosen.left_out) - _SHOWN
    shown = ", ".join(chosen.left_out[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"left out: {shown}" + (f" (the network lies under {chosen.prefix!r})" if chosen.prefix else "")


def _under(tensors: State, prefix: str, spec: NetworkSpec | None) -> tuple[str, str, NetworkSpec] | None:
    """Return prefix, layout and network if a network's trunk lies complete under `prefix`."""
    inside = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    try:
        layout = layouts.detect(inside)
    except WeightsError:
        return None
    known = [spec] if spec is not None else [catalog.find(name) for name in catalog.names()]
    network = next((one for one in known if layouts.has_trunk(inside, one, layout)), None)
    return None if network is None else (prefix, layout, network)


def _same(tensors: State, first: str, second: str) -> bool:
    """Whether two prefixes hold the same numbers: one module registered twice."""
    import torch

    pairs = [(n, second + n.removeprefix(first)) for n in tensors if n.startswith(first) and not n.startswith(second)]
    shared = [(a, b) for a, b in pairs if b in tensors and not a.endswith("num_batches_tracked")]
    return bool(shared) and all(torch.equal(tensors[a], tensors[b]) for a, b in shared)


def _is_network(name: str, found: list[tuple[str, str, NetworkSpec]]) -> bool:
    return any(prefix and name.startswith(prefix) for prefix, _, _ in found)


def _alone(loose: State, head: str) -> bool:
    """Whether a classifier under its usual name is the whole head."""
    root = head.partition(".")[0]
    others = [n for n in loose if n.startswith(f"{root}.") and n.rpartition(".")[0] != head]
    return not others


def _linear(heads: State, features: int, *, trunk: bool) -> str | None:
    """Return the name of the one linear layer that stands for the classifier; None where there is no head.

    Raises:
        WeightsError: there are several, or further layers belong to it, unless only the trunk is wanted.
    """
    names = [n.removesuffix(".weight") for n, t in heads.items() if n.endswith(".weight") and t.ndim == 2]
    names = [name for name in names if f"{name}.bias" in heads]
    fitting = [name for name in names if heads[f"{name}.weight"].shape[1] == features]
    problem = ""
    if len(fitting) > 1:
        problem = f"has {len(fitting)} heads ({', '.join(fitting[:_SHOWN])}), and nothing says which is the classifier"
    elif names and not fitting:
        problem = f"has a head of its own ({', '.join(names[:_SHOWN])}) that is no linear layer on {features} features"
    elif fitting:
        parent = fitting[0].rpartition(".")[0] if re.search(r"\.\d+$", fitting[0]) else fitting[0]
        deep = [n for n in heads if n.startswith(f"{parent}.") and n.rpartition(".")[0] != fitting[0]]
        if deep:
            problem = f"has a head of several layers ({fitting[0]}, {', '.join(deep[:_SHOWN])})"
    if problem and not trunk:
        raise WeightsError(problem, fix=_TRUNK_FIX)
    return None if problem or not fitting else fitting[0]

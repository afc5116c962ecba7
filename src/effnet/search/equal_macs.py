"""Depth, width, resolution and compound scaling of one base to equal MACs (V1 Figures 3 and 8, Table 7).

Depth is the coarsest axis, because repeats are whole numbers, so the common target is a MAC count that depth can reach
near the wanted multiple; the other axes are then brought as close to it as channels of eight and whole pixels allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from effnet.cost import cost
from effnet.errors import BudgetError, InputError, SpecError
from effnet.scaling import Coefficients, compound, scale
from effnet.spec import NetworkSpec

Axis = Literal["base", "depth", "width", "resolution", "compound"]

_NEAR = 0.25
"""Share by which the common target may differ from the wanted multiple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledNetwork:
    """One network of the comparison.

    Attributes:
        axis: what was scaled.
        multiple: of the base's MACs that was asked for; 1 for the base.
        depth, width, resolution: the coefficients.
        mismatch: its MACs over the common target, minus 1.
    """

    axis: Axis
    multiple: float
    spec: NetworkSpec
    depth: float
    width: float
    resolution: float
    macs: int
    params: int
    mismatch: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AxesPlan:
    """The base, and for each multiple four networks of equal MACs."""

    networks: tuple[ScaledNetwork, ...]
    tolerance: float

    @property
    def worst_mismatch(self) -> float:
        """Largest share by which two networks that are compared differ in MACs."""
        worst = 0.0
        for multiple in {network.multiple for network in self.networks}:
            macs = [network.macs for network in self.networks if network.multiple == multiple]
            worst = max(worst, max(macs) / min(macs) - 1)
        return worst


def plan(
    base: NetworkSpec,
    multiples: Sequence[float],
    coefficients: Coefficients | None = None,
    *,
    tolerance: float = 0.03,
) -> AxesPlan:
    """Return the networks to compare.

    Args:
        base: scaled from here.
        multiples: of its MACs, each above 1.
        coefficients: bases of compound scaling; None: V1's.
        tolerance: share by which the MACs of two networks that are compared may differ.

    Raises:
        InputError: a multiple is not above 1, or two are alike.
        BudgetError: no four networks near a multiple have MACs that equal; says which axis is farthest off.
    """
    if len(set(multiples)) != len(multiples) or not all(1 < multiple <= 64 for multiple in multiples):
        raise InputError(f"multiples {list(multiples)}", where="multiples", fix="give different numbers above 1")
    bases = coefficients or Coefficients()
    networks = [_made("base", 1.0, base, (1.0, 1.0, 1.0), cost(base).macs)]
    for multiple in sorted(multiples):
        networks += _equal(base, multiple, bases, tolerance)
    return AxesPlan(networks=tuple(networks), tolerance=tolerance)


def _equal(base: NetworkSpec, multiple: float, bases: Coefficients, tolerance: float) -> list[ScaledNetwork]:
    wanted = multiple * cost(base).macs
    curves: dict[Axis, list[tuple[int, tuple[float, float, float], NetworkSpec]]] = {
        "depth": _along(lambda d: (d, 1.0, 1.0), base, _steps(multiple, 400)),
        "width": _along(lambda w: (1.0, w, 1.0), base, _steps(math.sqrt(multiple), 400)),
        "resolution": _along(lambda r: (1.0, 1.0, r), base, _pixels(base, math.sqrt(multiple))),
        "compound": _compound(base, bases, multiple),
    }
    best: tuple[float, list[ScaledNetwork]] | None = None
    for target, _, _ in curves["depth"]:
        if abs(target / wanted - 1) > _NEAR:
            continue
        chosen = []
        for axis, points in curves.items():
            _, factors, spec = min(points, key=lambda point: abs(point[0] - target))
            chosen.append(_made(axis, multiple, spec, factors, target))
        counts = [network.macs for network in chosen]
        # Nearness to the multiple decides only among targets that all four reach equally well.
        badness = max(max(counts) / min(counts) - 1, tolerance / 3) + 0.02 * abs(target / wanted - 1)
        if best is None or badness < best[0]:
            best = badness, chosen
    if best is None:
        what = f"no depth of {base.name} has about {multiple:g} times its MACs"
        raise BudgetError(what, where="depth", fix="ask for a larger multiple, or give a base with more blocks")
    counts = [network.macs for network in best[1]]
    if max(counts) / min(counts) - 1 > tolerance:
        off = max(best[1], key=lambda network: abs(network.mismatch))
        raise BudgetError(
            f"at {multiple:g} times the MACs the nearest four differ by {100 * (max(counts) / min(counts) - 1):.1f} %",
            where=off.axis,
            fix="widen --tolerance, ask for another multiple, or give a base with more blocks or channels",
        )
    return best[1]


def _along(
    factors: Callable[[float], tuple[float, float, float]], base: NetworkSpec, values: Iterable[float]
) -> list[tuple[int, tuple[float, float, float], NetworkSpec]]:
    """Return the different networks along one axis, with their MACs."""
    found: dict[tuple[object, ...], tuple[int, tuple[float, float, float], NetworkSpec]] = {}
    for value in values:
        depth, width, resolution = factors(value)
        try:
            spec = scale(base, depth=depth, width=width, resolution=resolution)
        except SpecError:
            continue
        shape = (spec.stages, spec.stem, spec.head, spec.resolution)
        if shape not in found:
            found[shape] = cost(spec).macs, (depth, width, resolution), spec
    return list(found.values())


def _compound(
    base: NetworkSpec, bases: Coefficients, multiple: float
) -> list[tuple[int, tuple[float, float, float], NetworkSpec]]:
    """Return networks around the phi that the multiple asks for, with the resolution trimmed by a few pixels."""
    middle = math.log(multiple, bases.product)
    found = []
    seen = set()
    for place in range(-60, 61):
        phi = middle + place / 100
        if phi <= 0:
            continue
        width, depth, resolution = bases.at(phi)
        side = round(base.resolution * resolution)
        for pixels in range(max(base.resolution, side - 2), side + 3):
            factor = pixels / base.resolution
            spec = scale(base, depth=depth, width=width, resolution=factor)
            shape = (spec.stages, spec.stem, spec.head, spec.resolution)
            if shape not in seen:
                seen.add(shape)
                named = compound(base, phi, bases.alpha, bases.beta, bases.gamma).name
                found.append((cost(spec).macs, (depth, width, factor), spec.replace(name=named, origin=spec.origin)))
    return found


def _steps(middle: float, count: int) -> list[float]:
    low, high = max(1.0, middle / 2), middle * 2
    return [low + (high - low) * place / count for place in range(count + 1)]


def _pixels(base: NetworkSpec, middle: float) -> list[float]:
    low, high = base.resolution, math.ceil(base.resolution * middle * 1.5)
    return [pixels / base.resolution for pixels in range(low, high + 1)]


def _made(
    axis: Axis, multiple: float, spec: NetworkSpec, factors: tuple[float, float, float], target: int
) -> ScaledNetwork:
    counted = cost(spec)
    depth, width, resolution = factors
    return ScaledNetwork(
        axis=axis,
        multiple=multiple,
        spec=spec,
        depth=depth,
        width=width,
        resolution=resolution,
        macs=counted.macs,
        params=counted.params,
        mismatch=counted.macs / target - 1,
    )

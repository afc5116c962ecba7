"""The compound curve through a base network, and where the released networks lie beside it.

The released coefficients are rounded by hand: B7's width is 2.0 where the equation at phi 7 gives 1.1**7 = 1.949, its
depth 3.1 where it gives 3.583. `placement` says at which phi each coefficient of a network would lie on the curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from effnet.families import catalog
from effnet.scaling import Coefficients
from effnet.spec import NetworkSpec, Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where one scaled network lies. A phi is None when its base is 1, so that no phi changes the dimension.

    Attributes:
        spec: the network.
        width, depth, resolution: its coefficients.
        phi_width, phi_depth, phi_resolution: the phi at which the curve has that coefficient.
    """

    spec: NetworkSpec
    width: float
    depth: float
    resolution: float
    phi_width: float | None
    phi_depth: float | None
    phi_resolution: float | None

    @property
    def product(self) -> float:
        """d * w**2 * r**2: its MACs over the base's, before rounding."""
        return self.depth * self.width**2 * self.resolution**2


def placement(spec: NetworkSpec, coefficients: Coefficients) -> Placement:
    """Return where `spec` lies beside the curve of its own base; a network that was not scaled is at phi 0."""
    origin = spec.origin or Origin(base=spec)
    return Placement(
        spec=spec,
        width=origin.width,
        depth=origin.depth,
        resolution=origin.resolution,
        phi_width=_phi(origin.width, coefficients.beta),
        phi_depth=_phi(origin.depth, coefficients.alpha),
        phi_resolution=_phi(origin.resolution, coefficients.gamma),
    )


def released(base: NetworkSpec) -> tuple[NetworkSpec, ...]:
    """Return the published networks that were made by scaling `base`, itself first; empty for other bases."""
    specs = [catalog.find(name) for name in catalog.names()]
    made = [spec for spec in specs if (spec.origin.base if spec.origin else spec).name == base.name]
    is_published = any(spec == base for spec in made)
    return tuple(made) if is_published else ()


def _phi(coefficient: float, base: float) -> float | None:
    if base == 1:
        return None
    return math.log(coefficient) / math.log(base)

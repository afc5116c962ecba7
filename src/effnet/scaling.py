"""Compound scaling (V1 sections 3 and 5.1): width, depth and resolution of one base network, together or alone.

depth d = alpha ** phi, width w = beta ** phi, resolution r = gamma ** phi,
alpha * beta**2 * gamma**2 ~ 2, so MACs grow by about 2 ** phi.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from effnet.errors import SpecError
from effnet.spec import NetworkSpec, Origin, ScalingRules, StageSpec

# A product such as 25 * 2.2 is 55.000000000000007 in floats; without a tolerance it would grow a 56th block.
_NOISE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """The bases of compound scaling; the defaults are V1's grid-search result for B0.

    Raises:
        SpecError: a base is not a positive finite number.
    """

    alpha: float = 1.2
    """Depth base."""
    beta: float = 1.1
    """Width base."""
    gamma: float = 1.15
    """Resolution base."""

    def __post_init__(self) -> None:
        """Refuse bases whose powers mean nothing."""
        for name in ("alpha", "beta", "gamma"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 100:
                raise SpecError(f"{name} is {value!r}", where=name, fix="give a positive number, 1 or a little more")

    @property
    def product(self) -> float:
        """alpha * beta**2 * gamma**2: the factor by which MACs grow per unit of phi, before rounding."""
        return self.alpha * self.beta**2 * self.gamma**2

    def check(self, target: float = 2.0, tolerance: float = 0.1) -> str | None:
        """Return what is wrong with the bases as V1's constraint states them, or None.

        V1 asks for alpha, beta, gamma >= 1 and a product near 2; its own product is 1.920, so the default
        tolerance is 0.1.
        """
        low = [name for name in ("alpha", "beta", "gamma") if getattr(self, name) < 1]
        if low:
            return f"{', '.join(low)} below 1: a larger phi would shrink that dimension"
        if abs(self.product - target) > tolerance:
            return f"alpha*beta^2*gamma^2 = {self.product:.3f}, not {target:g} within {tolerance:g}"
        return None

    def at(self, phi: float) -> tuple[float, float, float]:
        """Return (width, depth, resolution) coefficients at `phi`.

        Raises:
            SpecError: phi is not finite, or so large that nothing could be built.
        """
        if isinstance(phi, bool) or not isinstance(phi, int | float) or not -40 <= phi <= 40:
            raise SpecError(f"phi is {phi!r}", where="phi", fix="give a number from -40 to 40")
        return self.beta**phi, self.alpha**phi, self.gamma**phi


def round_channels(channels: int, width: float, rules: ScalingRules) -> int:
    """Scale a channel count and round it to a multiple of the divisor (facts: V1 and V2 code differ).

    A width of exactly 1 leaves the count alone, as the released code does when the coefficient is unset.
    """
    if width == 1:
        return channels
    wanted = channels * width
    rounded = math.floor((wanted + rules.divisor / 2 + _NOISE) / rules.divisor) * rules.divisor
    rounded = max(rules.divisor, rounded)
    if rounded < rules.round_limit * wanted - _NOISE:
        rounded += rules.divisor
    return rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scale a block count, rounding up: ceil(depth * repeats)."""
    return max(1, math.ceil(depth * repeats - _NOISE))


def scale(
    spec: NetworkSpec,
    *,
    width: float = 1.0,
    depth: float = 1.0,
    resolution: float = 1.0,
    name: str | None = None,
) -> NetworkSpec:
    """Return `spec` with channels, repeats and input sizes multiplied by the coefficients.

    One coefficient alone is single-axis scaling (V1 Figure 3). A spec that was itself made by scaling is scaled
    again from its base, because rounding does not compose: scale(scale(b0, depth=1.2), depth=1.2) equals
    scale(b0, depth=1.44).

    Raises:
        SpecError: a coefficient is not positive, or the result is too large to build.
    """
    base = spec.origin.base if spec.origin else spec
    before = spec.origin or Origin(base=base)
    for label, value in (("width", width), ("depth", depth), ("resolution", resolution)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise SpecError(f"{label} coefficient is {value!r}", where=label, fix="give a positive number")
    origin = Origin(
        base=base,
        width=before.width * width,
        depth=before.depth * depth,
        resolution=before.resolution * resolution,
    )
    scaled = _scaled_from(origin)
    return scaled.replace(
        name=name or _scaled_name(origin),
        in_channels=spec.in_channels,
        classes=spec.classes,
        conventions=spec.conventions,
        drop_path=spec.drop_path,
        head=dataclasses.replace(scaled.head, dropout=spec.head.dropout),
        origin=origin,
    )


def compound(spec: NetworkSpec, phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> NetworkSpec:
    """Return `spec` under compound scaling with any real `phi` (V1 equation 3); negative phi shrinks.

    Dropout follows the released family, linear from B0's 0.2 at phi 0 to 0.5 at phi 7 (V1 section 5.2), when the
    base uses dropout at all.

    Raises:
        SpecError: a base or phi is out of range.
    """
    width, depth, resolution = Coefficients(alpha=alpha, beta=beta, gamma=gamma).at(phi)
    label = spec.origin.base.name if spec.origin else spec.name
    scaled = scale(spec, width=width, depth=depth, resolution=resolution, name=f"{label}@phi={phi:g}")
    base_dropout = spec.head.dropout
    if not base_dropout:
        return scaled
    dropout = min(max(0.5, base_dropout), max(0.0, base_dropout + 0.3 * phi / 7))
    return scaled.replace(head=dataclasses.replace(scaled.head, dropout=dropout), origin=scaled.origin)


def _scaled_from(origin: Origin) -> NetworkSpec:
    base, rules = origin.base, origin.base.scaling

    def channels(count: int) -> int:
        return round_channels(count, origin.width, rules)

    def stage(number: int, old: StageSpec) -> StageSpec:
        fixed = not rules.scale_ends and number in (0, len(base.stages) - 1)
        return dataclasses.replace(
            old,
            channels=channels(old.channels),
            repeats=old.repeats if fixed else round_repeats(old.repeats, origin.depth),
            expand_from=None if old.expand_from is None else channels(old.expand_from),
        )

    head = base.head
    if rules.scale_head and head.channels is not None:
        head = dataclasses.replace(head, channels=channels(head.channels))
    stem = dataclasses.replace(base.stem, channels=channels(base.stem.channels)) if rules.scale_stem else base.stem
    assert base.train_resolution is not None
    return base.replace(
        stem=stem,
        stages=tuple(stage(i, s) for i, s in enumerate(base.stages)),
        head=head,
        resolution=_pixels(base.resolution, origin.resolution),
        train_resolution=_pixels(base.train_resolution, origin.resolution),
    )


def _pixels(side: int, factor: float) -> int:
    return max(1, round(side * factor))


def _scaled_name(origin: Origin) -> str:
    axes = (("w", origin.width), ("d", origin.depth), ("r", origin.resolution))
    parts = [f"{label}{value:.4g}" for label, value in axes if value != 1]
    return f"{origin.base.name}@{','.join(parts)}" if parts else origin.base.name

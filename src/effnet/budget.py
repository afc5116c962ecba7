"""The best network within limits on parameters, MACs, memory and latency, all at once.

    >>> import effnet
    >>> effnet.fit_budget(effnet.Budget(max_macs=10**9)).phi
    1.03

`fit` looks along the compound curve of a base network (V1 section 3: the largest fractional phi that fits);
`fit_published` among released weights, by the accuracy measured with them. Latency is measured by whoever calls: a
function from a spec to milliseconds (`effnet.inference.latency`), so that this module needs no torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effnet.cost import Dtype, NetworkCost, cost
from effnet.errors import BudgetError, InputError, SpecError
from effnet.families import catalog
from effnet.quantities import count_text, size_text
from effnet.scaling import Coefficients, compound
from effnet.spec import NetworkSpec

if TYPE_CHECKING:
    from effnet.weights.published import Accuracy, PublishedWeights

Latency = Callable[[NetworkSpec], float]
"""Milliseconds that a network takes at its own resolution."""

SMALLEST_PHI, LARGEST_PHI = -10.0, 12.0
"""The part of the curve that is looked at; from B0: 55 px and 2.0 MMACs to 1198 px and 1.2 TMACs."""

# Rounding makes the curve a staircase that a changed shortcut or pad can dent, so a stretch above the first network
# that does not fit is looked at too.
_PRECISION, _WINDOW, _STEP = 1e-6, 0.5, 0.005
# Latency differs from one measurement to the next by more than networks this close differ (3 % of MACs).
_LATENCY_STEP, _STRIDE = 0.05, 2.0
# Between the slowest and the fastest layers of these families on one machine, in MACs per millisecond.
_MOST_SPEEDUP = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits that hold at once; None is no limit.

    Attributes:
        max_params: trainable parameters.
        max_macs: multiply-accumulates for one image.
        max_memory_bytes: weights and the most that is live at once in inference (`total_inference_bytes` of `cost`).
        max_latency_ms: milliseconds a batch, as the caller measures it.
        batch, dtype: at which memory is counted.

    Raises:
        InputError: no limit is given, or one is not positive.
    """

    max_params: int | None = None
    max_macs: int | None = None
    max_memory_bytes: int | None = None
    max_latency_ms: float | None = None
    batch: int = 1
    dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        """Refuse budgets that limit nothing or allow nothing."""
        limits = {name: getattr(self, name) for name in _LIMITS}
        if all(value is None for value in limits.values()):
            raise InputError("a budget without a limit", fix=f"give at least one of {', '.join(limits)}")
        for name, value in limits.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise InputError(f"{name} is {value!r}", where=name, fix="give a positive number")

    def cost(self, spec: NetworkSpec) -> NetworkCost:
        """Return what `spec` costs at its own resolution and this budget's batch and dtype."""
        return cost(spec, batch=self.batch, dtype=self.dtype)

    def excesses(self, counted: NetworkCost, latency_ms: float | None = None) -> tuple[Excess, ...]:
        """Return the limits that a network breaks; latency only when it is given."""
        needs = (counted.params, counted.macs, counted.total_inference_bytes, latency_ms)
        pairs = [(name, getattr(self, name), need) for name, need in zip(_LIMITS, needs, strict=True)]
        return tuple(
            Excess(limit=name, allowed=allowed, needed=need)
            for name, allowed, need in pairs
            if allowed is not None and need is not None and need > allowed
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A limit that a network breaks: the budget's field, what it allows and what the network needs."""

    limit: str
    allowed: float
    needed: float

    def __str__(self) -> str:
        """Say by how much: `0.741M parameters, 7.4 times the limit of 100k`."""
        limit = _LIMITS[self.limit]
        times = self.needed / self.allowed
        more = f"{(times - 1) * 100:.1f} % above" if times < 2 else f"{times:.1f} times"
        return f"{limit.write(self.needed)} {limit.noun}, {more} the limit of {limit.write(self.allowed)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The largest network on a compound curve within a budget.

    Attributes:
        phi: where it lies.
        latency_ms: as measured, when the budget limits it.
        limited_by: limits that the next network up the curve breaks; empty at the end of the curve.
    """

    spec: NetworkSpec
    phi: float
    coefficients: Coefficients
    cost: NetworkCost
    latency_ms: float | None
    limited_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFit:
    """The released weights with the highest measured top-1 within a budget, at the size they were measured at."""

    weights: PublishedWeights
    accuracy: Accuracy
    spec: NetworkSpec
    cost: NetworkCost
    latency_ms: float | None


def fit(
    budget: Budget,
    base: NetworkSpec | None = None,
    coefficients: Coefficients | None = None,
    *,
    latency: Latency | None = None,
) -> Fit:
    """Return the largest network on the compound curve of `base` (default: B0) that keeps every limit.

    Parameters, MACs and memory: no network up to half a phi further along the curve fits. Latency, when limited, is
    measured for at most eighteen networks, few of them large: the one returned was measured within the limit, and one
    at most 0.05 phi larger was measured above it or breaks another limit.

    Raises:
        BudgetError: not even the smallest network fits; says which limits and by how much.
        InputError: latency is limited but not measured, or a coefficient is below 1, so that phi has no direction.
    """
    _require_latency(budget, latency)
    base, bases = base or catalog.find("efficientnet_b0"), coefficients or Coefficients()
    if min(bases.alpha, bases.beta, bases.gamma) < 1 or bases.product == 1:
        raise InputError(
            "a larger phi would not make a larger network",
            where="coefficients",
            fix="give alpha, beta, gamma of at least 1, one of them above it (V1 equation 3)",
        )
    curve = _Curve(budget, base, bases)
    if excesses := curve.excesses(start := curve.start()):
        raise _impossible(f"the smallest, at phi {start:g}", excesses)
    phi, measured = curve.largest(), None
    limited_by, phi = curve.limits_above(phi), curve.simplest(phi)
    if budget.max_latency_ms is not None and latency is not None:
        within, measured = _largest_in_time(curve, phi, budget.max_latency_ms, latency)
        if within != phi:
            phi, limited_by = within, ("max_latency_ms",)
    spec = curve.spec(phi)
    return Fit(
        spec=spec,
        phi=phi,
        coefficients=bases,
        cost=budget.cost(spec),
        latency_ms=measured,
        limited_by=limited_by,
    )


def fit_published(budget: Budget, *, latency: Latency | None = None) -> PublishedFit:
    """Return the released weights with the best top-1 that keep every limit; of equals, the one with fewer MACs.

    Each set counts at every resolution at which its accuracy was published; sets that only TensorFlow reads do not
    count. With a latency limit, candidates are measured from the most accurate down. Within one family, a network
    with more MACs than one that was too slow is taken to be too slow as well, and so is any network that would have
    to do eight times the MACs a millisecond of the cheapest candidate.

    Raises:
        BudgetError: none fits; says which limits the nearest one breaks and by how much.
        InputError: latency is limited but not measured.
    """
    _require_latency(budget, latency)
    candidates = list(_candidates(budget))
    affordable = [c for c in candidates if not budget.excesses(c.cost)]
    if not affordable:
        nearest = min(candidates, key=lambda c: max(e.needed / e.allowed for e in budget.excesses(c.cost)))
        raise _impossible(f"the nearest, {nearest.weights.tag}", budget.excesses(nearest.cost), "published network")
    affordable.sort(key=lambda c: (-c.accuracy.top1, c.cost.macs))
    if budget.max_latency_ms is None or latency is None:
        return affordable[0]
    return _fastest_enough(affordable, budget, budget.max_latency_ms, latency)


@dataclass(frozen=True, slots=True)
class _Curve:
    budget: Budget
    base: NetworkSpec
    bases: Coefficients

    def spec(self, phi: float) -> NetworkSpec:
        return compound(self.base, phi, self.bases.alpha, self.bases.beta, self.bases.gamma)

    def excesses(self, phi: float) -> tuple[Excess, ...]:
        return self.budget.excesses(self.budget.cost(self.spec(phi)))

    def fits(self, phi: float) -> bool:
        return self.possible(phi) and not self.excesses(phi)

    def possible(self, phi: float) -> bool:
        """Whether a spec may be as wide, deep and large as the curve is there."""
        try:
            self.spec(phi)
        except SpecError:
            return False
        return True

    def start(self) -> float:
        """Return the smallest phi: later than usual where steep bases would leave less than a spec may be."""
        return next((phi for phi in range(round(SMALLEST_PHI), 0) if self.possible(phi)), 0.0)

    def largest(self) -> float:
        """Return the largest phi that fits; the smallest is known to."""
        if self.fits(LARGEST_PHI):
            return LARGEST_PHI
        low, high = self.start(), LARGEST_PHI
        while high - low > _PRECISION:
            middle = (low + high) / 2
            low, high = (middle, high) if self.fits(middle) else (low, middle)
        beyond = (high + _STEP * i for i in range(1, round(_WINDOW / _STEP)))
        return max((phi for phi in beyond if phi < LARGEST_PHI and self.fits(phi)), default=low)

    def limits_above(self, phi: float) -> tuple[str, ...]:
        """Return the limits that the next network which does not fit breaks; none at the end of the curve."""
        step = _PRECISION
        while phi + step < LARGEST_PHI and self.possible(phi + step):
            if excesses := self.excesses(phi + step):
                return tuple(excess.limit for excess in excesses)
            step *= 2
        return ()

    def simplest(self, phi: float) -> float:
        """Return the phi with the fewest decimals that makes the same network as `phi`."""
        wanted = _shape(self.spec(phi))
        for decimals in range(6):
            below = math.floor(phi * 10**decimals) / 10**decimals
            for shorter in (round(phi, decimals) + 0.0, below):  # + 0.0 makes -0.0 plain
                if self.possible(shorter) and _shape(self.spec(shorter)) == wanted:
                    return shorter
        return phi


def _largest_in_time(curve: _Curve, phi: float, limit: float, latency: Latency) -> tuple[float, float]:
    """Return the largest phi up to `phi` that is fast enough, and its latency: strides upward, then bisection.

    Upward, because the far end of the curve can take minutes; a stride too far takes about four times the limit.
    """
    low = min(curve.start(), phi)
    best = latency(curve.spec(low))
    if best > limit:
        raise _impossible(
            f"the smallest, at phi {low:g}", (Excess(limit="max_latency_ms", allowed=limit, needed=best),)
        )
    high = phi
    while low < phi:
        ahead = min(low + _STRIDE, phi)
        measured = latency(curve.spec(ahead))
        if measured > limit:
            high = ahead
            break
        low, best = ahead, measured
    while high - low > _LATENCY_STEP:
        middle = round((low + high) / 2, 2)
        measured = latency(curve.spec(middle))
        if measured > limit:
            high = middle
        else:
            low, best = middle, measured
    return low, best


def _candidates(budget: Budget) -> Iterator[PublishedFit]:
    from effnet.weights.published import published

    counted: dict[tuple[str, str, int], NetworkCost] = {}
    for weights in (weights for variant in published() for weights in variant.weights):
        if weights.layout == "tensorflow":  # the same networks are released in forms that need no TensorFlow
            continue
        for accuracy in weights.accuracy:
            spec = weights.network.replace(resolution=accuracy.resolution)
            key = (weights.variant, weights.padding, accuracy.resolution)
            if key not in counted:
                counted[key] = budget.cost(spec)
            yield PublishedFit(weights=weights, accuracy=accuracy, spec=spec, cost=counted[key], latency_ms=None)


def _fastest_enough(candidates: list[PublishedFit], budget: Budget, limit: float, latency: Latency) -> PublishedFit:
    """Return the first of `candidates`, best first, that is fast enough."""
    cheapest = min(candidates, key=lambda c: c.cost.macs)
    measured = {_size(cheapest): latency(cheapest.spec)}
    if excesses := budget.excesses(cheapest.cost, measured[_size(cheapest)]):
        raise _impossible(f"the cheapest, {cheapest.weights.tag}", excesses, "published network")
    most = _MOST_SPEEDUP * cheapest.cost.macs / measured[_size(cheapest)] * limit
    too_slow: dict[str, int] = {}  # family -> fewest MACs that were too slow
    for candidate in candidates:
        if candidate.cost.macs >= min(most, too_slow.get(candidate.spec.family, math.inf)):
            continue
        if _size(candidate) not in measured:
            measured[_size(candidate)] = latency(candidate.spec)
        milliseconds = measured[_size(candidate)]
        if milliseconds <= limit:
            return dataclasses.replace(candidate, latency_ms=milliseconds)
        too_slow[candidate.spec.family] = candidate.cost.macs
    return dataclasses.replace(cheapest, latency_ms=measured[_size(cheapest)])


def _size(candidate: PublishedFit) -> tuple[str, int]:
    return candidate.weights.variant, candidate.spec.resolution


def _shape(spec: NetworkSpec) -> tuple[object, ...]:
    return spec.stem, spec.stages, spec.head.channels, spec.resolution


def _require_latency(budget: Budget, latency: Latency | None) -> None:
    if budget.max_latency_ms is not None and latency is None:
        raise InputError(
            "max_latency_ms without a way to measure it",
            where="latency",
            fix="pass latency=, a function from a spec to milliseconds such as effnet.inference.latency.stopwatch()",
        )


def _impossible(which: str, excesses: tuple[Excess, ...], kind: str = "network on the curve") -> BudgetError:
    needs = " and ".join(str(excess) for excess in excesses)
    raised = ", ".join(f"{e.limit} to {_LIMITS[e.limit].enough(e.needed)}" for e in excesses)
    return BudgetError(f"no {kind} fits: {which}, needs {needs}", fix=f"raise {raised}")


@dataclass(frozen=True, slots=True)
class _Limit:
    noun: str
    write: Callable[[float], str]
    enough: Callable[[float], str]


def _exactly(value: float) -> str:
    return f"{value:.0f}"


_LIMITS = {
    "max_params": _Limit("parameters", lambda value: count_text(round(value)), _exactly),
    "max_macs": _Limit("MACs", lambda value: count_text(round(value)), _exactly),
    "max_memory_bytes": _Limit("of memory", lambda value: size_text(round(value)), _exactly),
    "max_latency_ms": _Limit("a batch", lambda value: f"{value:.3g} ms", lambda value: f"{math.ceil(value)}"),
}

"""The best network within limits, and what is said when there is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.budget import LARGEST_PHI, SMALLEST_PHI, Budget, fit, fit_published
from effnet.cost import cost
from effnet.errors import BudgetError, InputError
from effnet.families import find
from effnet.scaling import Coefficients, compound
from effnet.spec import NetworkSpec
from effnet.weights.published import published

B0 = find("b0")


class Clock:
    """A machine that does 10 GMACs a second and never varies; remembers what it was asked."""

    def __init__(self, overhead_ms: float = 0.0) -> None:
        self.overhead_ms = overhead_ms
        self.asked: list[NetworkSpec] = []

    def __call__(self, spec: NetworkSpec) -> float:
        self.asked.append(spec)
        return self.milliseconds(spec)

    def milliseconds(self, spec: NetworkSpec) -> float:
        return self.overhead_ms + cost(spec).macs / 1e7


def fits(budget: Budget, phi: float) -> bool:
    return not budget.excesses(budget.cost(compound(B0, phi)))


@given(at=st.floats(-8, 8), slack=st.floats(1, 1.3), limit=st.sampled_from(["params", "macs", "memory"]))
@settings(max_examples=12)
def test_it_fits_and_nothing_larger_does(at: float, slack: float, limit: str) -> None:
    """Against a plain scan of the curve."""
    needed = cost(compound(B0, at))
    budget = {
        "params": Budget(max_params=int(needed.params * slack)),
        "macs": Budget(max_macs=int(needed.macs * slack)),
        "memory": Budget(max_memory_bytes=int(needed.total_inference_bytes * slack)),
    }[limit]
    found = fit(budget)
    assert fits(budget, found.phi)
    assert found.phi >= at - 0.2
    larger = [found.phi + step / 40 for step in range(1, 60)]
    assert not any(fits(budget, phi) for phi in larger if cost(compound(B0, phi)) != found.cost)
    assert len(found.limited_by) == 1


def test_every_limit_holds_at_once() -> None:
    limits = {"max_params": 10_000_000, "max_macs": 10**9, "max_memory_bytes": 64_000_000}
    alone = {name: fit(Budget(**{name: limit})).phi for name, limit in limits.items()}
    together = fit(Budget(**limits))
    assert together.phi == min(alone.values())
    assert together.limited_by == (min(alone, key=lambda name: alone[name]),)
    assert together.cost.params <= 10_000_000
    assert together.cost.macs <= 10**9
    assert together.cost.total_inference_bytes <= 64_000_000


def test_a_budget_of_exactly_b0_gives_b0() -> None:
    found = fit(Budget(max_macs=385_814_752))
    assert found.phi == 0
    assert (found.spec.stages, found.spec.resolution) == (B0.stages, 224)


def test_memory_counts_the_batch_and_the_dtype() -> None:
    single, batch = Budget(max_memory_bytes=10**8), Budget(max_memory_bytes=10**8, batch=8)
    half = Budget(max_memory_bytes=10**8, dtype="float16")
    assert fit(batch).phi < fit(single).phi < fit(half).phi


def test_other_bases_and_coefficients() -> None:
    lite = fit(Budget(max_macs=10**9), find("lite0"), Coefficients(alpha=1.3, beta=1.0, gamma=1.2))
    assert lite.spec.family == "efficientnet-lite"
    assert {stage.channels for stage in lite.spec.stages} == {stage.channels for stage in find("lite0").stages}
    assert 0.9 * 10**9 < lite.cost.macs <= 10**9


def test_a_budget_beyond_the_curve_gives_its_end() -> None:
    found = fit(Budget(max_macs=10**15))
    assert (found.phi, found.limited_by) == (LARGEST_PHI, ())


def test_a_curve_that_outgrows_every_spec_ends_earlier() -> None:
    """With gamma 2 the image would be wider than a spec allows long before phi 12."""
    found = fit(Budget(max_params=10**12), coefficients=Coefficients(alpha=1.0, beta=1.0, gamma=2.0))
    assert 8192 < found.spec.resolution <= 16384


@given(limit=st.integers(1, 700_000))
@settings(max_examples=10)
def test_the_impossible_says_which_limit_and_by_how_much(limit: int) -> None:
    with pytest.raises(BudgetError, match=r"parameters, .* the limit of") as caught:
        fit(Budget(max_params=limit, max_macs=10**12))
    assert "MACs" not in str(caught.value)
    enough = re.search(r"raise max_params to (\d+)", str(caught.value))
    assert enough is not None
    assert fit(Budget(max_params=int(enough[1]), max_macs=10**12)).phi <= SMALLEST_PHI + 0.2


def test_every_broken_limit_is_named() -> None:
    with pytest.raises(BudgetError, match=r"parameters.* and .*MACs.* and .*memory.*raise max_params.*max_macs"):
        fit(Budget(max_params=10, max_macs=10, max_memory_bytes=10))


@pytest.mark.parametrize("limit_ms", [5.0, 38.5814752, 100.0, 1000.0])
def test_latency_is_measured_a_few_times_and_kept(limit_ms: float) -> None:
    clock = Clock()
    found = fit(Budget(max_latency_ms=limit_ms), latency=clock)
    assert len(clock.asked) <= 18
    assert max(map(clock.milliseconds, clock.asked)) <= 6 * limit_ms  # what is far too slow is never waited for
    assert found.latency_ms == clock.milliseconds(found.spec) <= limit_ms
    assert clock.milliseconds(compound(B0, found.phi + 0.06)) > limit_ms
    assert found.limited_by == ("max_latency_ms",)


def test_another_limit_can_be_tighter_than_latency() -> None:
    clock = Clock()
    found = fit(Budget(max_macs=10**9, max_latency_ms=1000), latency=clock)
    assert found.phi == fit(Budget(max_macs=10**9)).phi
    assert found.latency_ms == clock.milliseconds(found.spec)
    assert found.limited_by == ("max_macs",)


def test_an_impossible_latency_says_what_the_smallest_takes() -> None:
    with pytest.raises(BudgetError, match=r"7\.34 ms a batch, .*limit of 3 ms.*raise max_latency_ms to 8"):
        fit(Budget(max_latency_ms=3), latency=Clock(overhead_ms=7))


@pytest.mark.parametrize("limits", [{}, {"max_params": 0}, {"max_macs": -1}, {"max_latency_ms": float("nan")}])
def test_budgets_that_limit_nothing_or_allow_nothing_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Budget(**limits)  # type: ignore[arg-type]


def test_latency_needs_a_clock() -> None:
    for search in (fit, fit_published):
        with pytest.raises(InputError, match="stopwatch"):
            search(Budget(max_latency_ms=30))


def test_coefficients_below_one_have_no_largest_network() -> None:
    for bases in (Coefficients(alpha=0.9), Coefficients(alpha=1, beta=1, gamma=1)):
        with pytest.raises(InputError, match="at least 1"):
            fit(Budget(max_params=10**7), coefficients=bases)


def measured_rows() -> list[tuple[float, str, NetworkSpec]]:
    """Every published measurement of weights that can be read: top-1, tag, network at that size."""
    return [
        (row.top1, weights.tag, weights.network.replace(resolution=row.resolution))
        for variant in published()
        for weights in variant.weights
        for row in weights.accuracy
        if weights.layout != "tensorflow"
    ]


@pytest.mark.parametrize(
    "budget",
    [
        Budget(max_macs=400_000_000),
        Budget(max_params=10_000_000),
        Budget(max_memory_bytes=64_000_000),
        Budget(max_params=10_000_000, max_macs=10**9, max_memory_bytes=64_000_000),
        Budget(max_macs=10**12),
    ],
)
def test_the_best_published_network_within_a_budget(budget: Budget) -> None:
    best = max(top1 for top1, _, spec in measured_rows() if not budget.excesses(budget.cost(spec)))
    found = fit_published(budget)
    assert found.accuracy.top1 == best
    assert found.cost == budget.cost(found.spec)
    assert not budget.excesses(found.cost)
    assert (found.accuracy.weights, found.accuracy.resolution) == (found.weights.tag, found.spec.resolution)


@pytest.mark.parametrize("limit_ms", [32.0, 60.0, 500.0, 5000.0])
def test_the_best_published_network_in_time(limit_ms: float) -> None:
    clock = Clock()
    best = max(top1 for top1, _, spec in measured_rows() if clock.milliseconds(spec) <= limit_ms)
    found = fit_published(Budget(max_latency_ms=limit_ms), latency=clock)
    assert found.accuracy.top1 == best
    assert found.latency_ms == clock.milliseconds(found.spec)
    assert len(clock.asked) <= 30


def test_no_published_network_fits() -> None:
    with pytest.raises(BudgetError, match=r"mnasnet|semnasnet.*parameters.*raise max_params to 3887038"):
        fit_published(Budget(max_params=1_000_000))
    with pytest.raises(BudgetError, match=r"ms a batch.*raise max_latency_ms"):
        fit_published(Budget(max_latency_ms=1), latency=Clock())

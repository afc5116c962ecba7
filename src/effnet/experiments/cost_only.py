"""`effnet search --evaluator none`: screening with this device's latency where latency is the cost."""

from __future__ import annotations

from collections.abc import Callable

from effnet.errors import InputError
from effnet.experiments.block_latency import measure_table, specs_to_measure
from effnet.experiments.costs import CostMeter
from effnet.search.entropy import entropy
from effnet.search.objective import CostKind
from effnet.search.screening import Screening, screen
from effnet.search.space import SearchSpace

_MEASURED = 30
"""Networks that the latency table is measured on."""


def screen_with_costs(
    space: SearchSpace,
    cost: CostKind,
    target: float,
    *,
    within: float,
    candidates: int,
    seed: int = 0,
    threads: int | None = None,
    device: str | None = None,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Screening:
    """Return the candidates near the target with the highest entropy.

    Raises:
        InputError: the cost would have to be measured for each candidate, or none is near the target.
    """
    if cost == "step_time":
        fix = "choose macs, params, memory or latency"
        raise InputError("a training step is measured, not computed", where="--cost step_time", fix=fix)
    table = None
    if cost == "latency":
        table = measure_table(specs_to_measure(space, _MEASURED, seed), threads=threads, device=device)
    meter = CostMeter((cost,), latency=table)
    return screen(
        space,
        meter,
        entropy,
        cost=cost,
        target=target,
        within=within,
        candidates=candidates,
        seed=seed,
        progress=progress,
    )

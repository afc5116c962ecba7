"""Scaled networks as data for programs and as tables for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from effnet.budget import Budget, Fit, PublishedFit
from effnet.cli.terminal import width
from effnet.cost import cost
from effnet.curve import placement, released
from effnet.quantities import billions, count_text, millions, size_text
from effnet.report.tables import text_table
from effnet.scaling import Coefficients
from effnet.spec import NetworkSpec, Origin

HAND_ROUNDED = (
    "The released coefficients are rounded by hand and do not lie on the curve: depth lags width and resolution.\n"
    "Nearest is the released network with the most similar MACs; the differences are the curve's over the release's."
)


def scaled_row(spec: NetworkSpec, phi: float | None = None) -> dict[str, Any]:
    """Return a scaled network as plain data: coefficients, sizes, channels, repeats and counts."""
    origin, counted = spec.origin or Origin(base=spec), cost(spec)
    row: dict[str, Any] = {"name": spec.name} if phi is None else {"name": spec.name, "phi": phi}
    return row | {
        "depth": origin.depth,
        "width": origin.width,
        "resolution_factor": origin.resolution,
        "resolution": spec.resolution,
        "params": counted.params,
        "macs": counted.macs,
        "activations": counted.activations,
        "stem_channels": spec.stem.channels,
        "stage_channels": [stage.channels for stage in spec.stages],
        "stage_repeats": [stage.repeats for stage in spec.stages],
        "head_channels": spec.head.channels,
        "blocks": spec.blocks,
    }


def released_rows(base: NetworkSpec, coefficients: Coefficients) -> list[dict[str, Any]]:
    """Return the released networks of this base, with the phi at which each coefficient would lie on the curve."""
    rows = []
    for spec in released(base):
        place = placement(spec, coefficients)
        implied = {"depth": place.phi_depth, "width": place.phi_width, "resolution": place.phi_resolution}
        rows.append(scaled_row(spec) | {"implied_phi": implied, "product": place.product})
    return rows


def with_nearest(row: dict[str, Any], releases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return `row` with the release of the most similar MACs and how far each figure is from it."""
    if len(releases) < 2:
        return row
    near = min(releases, key=lambda other: abs(math.log(row["macs"] / other["macs"])))
    compared = ("depth", "width", "resolution", "params", "macs")
    differences = {name: row[name] / near[name] - 1 for name in compared}
    return row | {
        "nearest_released": {
            "name": near["name"],
            **{name: near[name] for name in compared},
            "differences": differences,
        }
    }


def scaled_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return one line a network; phi and the nearest release where the rows have them."""
    has_phi, has_nearest = "phi" in rows[0], "nearest_released" in rows[0]
    headers = [*(["phi"] if has_phi else []), "depth", "width", "px", "params", "MACs", "blocks", "repeats", "channels"]
    headers += ["nearest", "params", "MACs"] if has_nearest else []
    cells = []
    for row in rows:
        line = [f"{row['phi']:g}"] if has_phi else []
        line += [f"{row['depth']:.3f}", f"{row['width']:.3f}", str(row["resolution"])]
        line += [millions(row["params"]), billions(row["macs"]), str(row["blocks"])]
        channels = [
            row["stem_channels"],
            *row["stage_channels"],
            *([row["head_channels"]] if row["head_channels"] else []),
        ]
        line += [" ".join(map(str, row["stage_repeats"])), " ".join(map(str, channels))]
        if has_nearest:
            near = row["nearest_released"]
            line += [near["name"], *(f"{near['differences'][name]:+.1%}" for name in ("params", "macs"))]
        cells.append(line)
    return text_table(headers, cells, left=0, width=width(), spare=("channels", "repeats", "blocks", "width", "depth"))


def released_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return one line a release: its coefficients, and at which phi each of them would lie on the curve."""
    headers = ("released", "depth", "width", "px", "params", "MACs", "phi of depth", "of width", "of px", "d*w^2*r^2")
    cells = [
        (
            row["name"],
            *(f"{row[name]:g}" for name in ("depth", "width", "resolution")),
            millions(row["params"]),
            billions(row["macs"]),
            *("-" if phi is None else f"{phi:.2f}" for phi in row["implied_phi"].values()),
            f"{row['product']:.2f}",
        )
        for row in rows
    ]
    return text_table(headers, cells, width=width(), spare=("d*w^2*r^2", "params", "MACs"))


def coefficients_row(coefficients: Coefficients) -> dict[str, Any]:
    """Return the bases, their product and what is wrong with it, if anything."""
    bases = {name: getattr(coefficients, name) for name in ("alpha", "beta", "gamma")}
    return bases | {"product": coefficients.product, "warning": coefficients.check()}


def coefficients_text(coefficients: Coefficients) -> str:
    """Return the bases and their product in words, with a warning where V1's constraint does not hold."""
    bases = f"alpha {coefficients.alpha:g}, beta {coefficients.beta:g}, gamma {coefficients.gamma:g}"
    warning = coefficients.check()
    verdict = f"\nwarning: {warning}" if warning else f": MACs grow by about {coefficients.product:.2f} per unit of phi"
    return f"{bases}; alpha * beta^2 * gamma^2 = {coefficients.product:.3f} (V1 asks for about 2){verdict}"


def budget_text(budget: Budget) -> str:
    """Return the limits in words."""
    limits = []
    if budget.max_params is not None:
        limits.append(f"{count_text(budget.max_params)} parameters")
    if budget.max_macs is not None:
        limits.append(f"{count_text(budget.max_macs)} MACs")
    if budget.max_memory_bytes is not None:
        limits.append(f"{size_text(budget.max_memory_bytes)} of weights and live tensors ({budget.dtype})")
    if budget.max_latency_ms is not None:
        limits.append(f"{budget.max_latency_ms:g} ms")
    return f"at most {', '.join(limits)}; batch {budget.batch}"


def fit_row(found: Fit) -> dict[str, Any]:
    """Return the network on the curve as plain data."""
    used = {"memory_bytes": found.cost.total_inference_bytes, "latency_ms": found.latency_ms}
    return scaled_row(found.spec, found.phi) | used | {"limited_by": list(found.limited_by)}


def published_row(found: PublishedFit) -> dict[str, Any]:
    """Return the released network as plain data."""
    return {
        "name": found.weights.variant,
        "weights": found.weights.tag,
        "recipe": found.weights.recipe,
        "top1": found.accuracy.top1,
        "top5": found.accuracy.top5,
        "resolution": found.accuracy.resolution,
        "params": found.cost.params,
        "macs": found.cost.macs,
        "memory_bytes": found.cost.total_inference_bytes,
        "latency_ms": found.latency_ms,
    }


def fit_text(row: dict[str, Any]) -> str:
    """Return the answer on the curve in words."""
    limited = f"; limited by {', '.join(row['limited_by'])}" if row["limited_by"] else "; the end of the curve"
    return (
        f"on the compound curve: phi {row['phi']:g} (depth {row['depth']:.3f}, width {row['width']:.3f}), "
        f"{_used(row)}{limited}"
    )


def published_text(row: dict[str, Any]) -> str:
    """Return the answer among released networks in words."""
    return f"released: {row['weights']}, top-1 {row['top1']:.1f} %, {_used(row)}"


def _used(row: dict[str, Any]) -> str:
    latency = "" if row["latency_ms"] is None else f", {row['latency_ms']:.1f} ms"
    counts = f"{millions(row['params'])} parameters, {billions(row['macs'])} MACs"
    return f"{row['resolution']} px: {counts}, {size_text(row['memory_bytes'])}{latency}"

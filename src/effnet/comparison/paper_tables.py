"""The two tables from which EfficientNet is taught: B0 to B7 (V1 Table 2) and V2-S to V2-L (V2 Table 7).

Beside each printed number stands what is counted here, what the same phi gives on the curve, and what the weights that
this package loads by default scored.

>>> from effnet.comparison.paper_tables import v1_table
>>> v1_table()[1].phi, v1_table()[1].resolution, v1_table()[1].curve_resolution
(1, 240, 258)
"""

from __future__ import annotations

from dataclasses import dataclass

from effnet.comparison.figures import V1_TABLE
from effnet.comparison.others import training_rows
from effnet.comparison.subject import short_label
from effnet.cost import cost
from effnet.families import find
from effnet.scaling import compound
from effnet.weights.published import PublishedVariant, published

NOTES = (
    f"Printed: {V1_TABLE} (single crop, AutoAugment) and arXiv 2104.00298 Table 7 as google/automl quotes it.",
    "B7: 84.3 in that table; 84.4, which lectures quote, is in the paper's Table 4 and in an earlier abstract.",
    "Parameters are counted: the paper's 9.2M of B2 include the running statistics of its norms, and V2-L's 120M"
    " is 118.52M.",
    "phi = n is how B-n is taught. The released coefficients were rounded by hand and lie beside the curve:"
    " `effnet scale b0 --phi 0..7`.",
    "Training: days on 32 TPUv3 cores, and how many times sooner than B7 (5.79 days).",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class V1Row:
    """One of B0 to B7.

    Attributes:
        label: B0 to B7.
        phi: the compound coefficient by which it is taught.
        resolution: its input side in pixels, as published.
        params: trainable parameters, counted.
        printed_params: as the paper prints them.
        curve_resolution, curve_params: what this phi gives on B0's curve (V1 equation 3), in pixels and parameters.
        paper_top1: percent on ImageNet, as the paper prints it.
        top1, top1_resolution: percent of the default weights, and the side in pixels at which it was measured.
        weights: their tag.
    """

    label: str
    phi: int
    resolution: int
    params: int
    printed_params: str | None
    curve_resolution: int
    curve_params: int
    paper_top1: float
    top1: float
    top1_resolution: int
    weights: str


@dataclass(frozen=True, slots=True, kw_only=True)
class V2Row:
    """One of V2-S, V2-M, V2-L.

    Attributes:
        label: V2-S and so on.
        resolution: the side in pixels at which it is judged.
        params: trainable parameters, counted.
        printed_params: as the authors' README prints them.
        paper_top1: percent on ImageNet without other data.
        days: of training on 32 TPUv3 cores.
        sooner: B7's days over these.
        top1, top1_resolution, weights: of the default weights, as in `V1Row`.
    """

    label: str
    resolution: int
    params: int
    printed_params: str | None
    paper_top1: float
    days: float
    sooner: float
    top1: float
    top1_resolution: int
    weights: str


def v1_table() -> tuple[V1Row, ...]:
    """Return B0 to B7 as the first paper's Table 2 has them, with ours beside it."""
    rows = []
    base = find("b0")
    for phi in range(8):
        variant = published(f"efficientnet_b{phi}")
        printed = next(row for row in variant.reported if row.source == V1_TABLE)
        on_curve = compound(base, phi)
        top1, side = _default(variant)
        rows.append(
            V1Row(
                label=short_label(variant.name),
                phi=phi,
                resolution=variant.resolution,
                params=variant.params,
                printed_params=variant.params_text,
                curve_resolution=on_curve.resolution,
                curve_params=cost(on_curve).params,
                paper_top1=printed.top1,
                top1=top1,
                top1_resolution=side,
                weights=variant.default_tag,
            )
        )
    return tuple(rows)


def v2_table() -> tuple[V2Row, ...]:
    """Return V2-S, V2-M and V2-L as the second paper's Table 7 has them, with ours beside it."""
    alone = [row for row in training_rows() if row.extra_data is None]
    b7 = next(row.days for row in alone if row.name == "efficientnet_b7")
    rows = []
    for row in alone:
        if not row.name.startswith("efficientnetv2"):
            continue
        variant = published(row.name)
        top1, side = _default(variant)
        rows.append(
            V2Row(
                label=row.label,
                resolution=variant.resolution,
                params=variant.params,
                printed_params=variant.params_text,
                paper_top1=row.top1,
                days=row.days,
                sooner=b7 / row.days,
                top1=top1,
                top1_resolution=side,
                weights=variant.default_tag,
            )
        )
    return tuple(rows)


def _default(variant: PublishedVariant) -> tuple[float, int]:
    """Return the top-1 in percent of the default weights, and the side in pixels at which it was measured."""
    best = variant.default.accuracy[0]
    return best.top1, best.resolution

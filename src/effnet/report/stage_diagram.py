"""Networks side by side, stage by stage, as one SVG: what each stage is, its shape, and its share of the MACs."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from effnet.cost import cost
from effnet.quantities import billions, millions
from effnet.spec import NetworkSpec
from effnet.unrolling import unroll

_COLUMN, _GAP, _ROW, _TOP = 400, 30, 46, 62


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagramRow:
    """One stage, or the stem or head.

    Attributes:
        label: as the papers name it.
        shape: of its output, `40 x 28 x 28`.
        layers: how many blocks it repeats.
        share: of the network's MACs, 0 to 1.
    """

    label: str
    shape: str
    layers: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagramNetwork:
    """A column."""

    name: str
    facts: str
    rows: tuple[DiagramRow, ...]


def diagram_of(spec: NetworkSpec, name: str | None = None) -> DiagramNetwork:
    """Return a network as a column of the diagram."""
    counted, unrolled = cost(spec), unroll(spec)
    macs: dict[str, int] = {}
    for layer in counted.layers:
        place = layer.name.split(".")
        key = place[1] if place[0] == "features" else "classifier"
        macs[key] = macs.get(key, 0) + layer.macs
    total = max(1, counted.macs)
    stem = spec.stem
    label = f"Conv k{stem.kernel}x{stem.kernel} s{stem.stride}" + (" + pool" if stem.pool else "")
    side = unrolled.blocks[0].in_size
    rows = [DiagramRow(label=label, shape=f"{stem.channels} x {side} x {side}", layers=1, share=macs["0"] / total)]
    for number, stage in enumerate(spec.stages, 1):
        size = [block.out_size for block in unrolled.blocks if block.stage == number][-1]
        stride = f" s{stage.stride}" if stage.stride > 1 else ""
        rows.append(
            DiagramRow(
                label=f"{stage.block}{stride}",
                shape=f"{stage.channels} x {size} x {size}",
                layers=stage.repeats,
                share=macs[str(number)] / total,
            )
        )
    head = macs.get(str(len(spec.stages) + 1), 0) + macs.get("classifier", 0)
    final = unrolled.final_size
    shape = f"{unrolled.features} x {final} x {final}"
    rows.append(DiagramRow(label="Conv k1x1, pool, linear", shape=shape, layers=1, share=head / total))
    facts = f"{spec.resolution} px · {millions(counted.params)} parameters · {billions(counted.macs)} MACs"
    return DiagramNetwork(name=name or spec.name, facts=facts, rows=tuple(rows))


def stage_diagram(networks: Sequence[DiagramNetwork]) -> str:
    """Return the SVG; rows that are not alike in all networks are marked.

    The height of a box grows with the layers, its width with the share of the MACs.
    """
    deep = max(len(network.rows) for network in networks)
    width = len(networks) * _COLUMN + (len(networks) - 1) * _GAP
    height = _TOP + deep * _ROW + 6
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='100%' role='img' "
        "style='max-width:62rem' font-family='system-ui, sans-serif' fill='currentColor'>",
        f"<title>{html.escape(' and '.join(network.name for network in networks))}, stage by stage</title>",
    ]
    for column, network in enumerate(networks):
        left = column * (_COLUMN + _GAP)
        parts.append(f"<text x='{left}' y='20' font-size='17' font-weight='600'>{html.escape(network.name)}</text>")
        parts.append(f"<text x='{left}' y='42' font-size='12.5' opacity='.7'>{html.escape(network.facts)}</text>")
        for place, row in enumerate(network.rows):
            others = [other.rows[place] if place < len(other.rows) else None for other in networks]
            same = all(
                o is not None and (o.label, o.shape, o.layers) == (row.label, row.shape, row.layers) for o in others
            )
            parts.append(_row(row, left, _TOP + place * _ROW, marked=not same and len(networks) > 1))
    parts.append("</svg>")
    return "\n".join(parts)


def _look(row: DiagramRow) -> tuple[str, str, int]:
    return row.label, row.shape, row.layers


def _row(row: DiagramRow, left: int, top: int, *, marked: bool) -> str:
    box = min(_ROW - 8, 14 + 5 * row.layers)
    bar = 4 + (_COLUMN - 12) * row.share
    middle = top + (_ROW - 8) / 2
    above = middle - box / 2
    edge = "stroke='#d55e00' stroke-width='1.6'" if marked else "stroke='currentColor' stroke-opacity='.35'"
    text = f"{row.label}" + (f" · x{row.layers}" if row.layers > 1 else "")
    return (
        f"<rect x='{left + 1}' y='{above:.1f}' width='{_COLUMN - 2}' height='{box}' rx='4' fill='none' {edge}/>"
        f"<rect x='{left + 1}' y='{above:.1f}' width='{bar:.1f}' height='{box}' rx='4' fill='#0072b2' "
        "fill-opacity='.22'/>"
        f"<text x='{left + 9}' y='{middle + 4.5:.1f}' font-size='13'>{html.escape(text)}</text>"
        f"<text x='{left + _COLUMN - 9}' y='{middle + 4.5:.1f}' font-size='12' text-anchor='end' opacity='.75'>"
        f"{html.escape(row.shape)} · {100 * row.share:.0f} %</text>"
    )

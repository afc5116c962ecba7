"""Blocks as the papers draw them (V2 Figure 2, arXiv 1512.03385 Figure 5), with the channels they have in a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effnet.report.anatomy import Anatomy
from effnet.report.svg import INK, QUIET, Drawing, clipped, shrunk
from effnet.spec import NetworkSpec
from effnet.unrolling import Block, unroll

_EDGE, _CELL, _STEP, _BOX, _TITLE = 24, 278, 44, 27, 40
_MOST = 8
_ACTIVATIONS = {"silu": "SiLU", "relu": "ReLU", "relu6": "ReLU6", "hard_swish": "hard swish", "gelu": "GELU"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBlock:
    """A design, and the block that stands for it.

    Attributes:
        network: which of the networks it is of.
        label: of the design.
        places: the stages that are made of it.
        block: its first block that adds a shortcut, or the first at all.
        resolution: pixels of the network's input.
    """

    network: NetworkSpec
    label: str
    places: tuple[int, ...]
    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One box of the drawing; `channels` is how wide it is."""

    text: str
    channels: int


def designs(networks: Sequence[Anatomy]) -> list[DrawnBlock]:
    """Return the different blocks of the networks, at most eight, in the order in which they come."""
    found: dict[str, DrawnBlock] = {}
    for network in networks:
        blocks = unroll(network.spec, network.cost.resolution).blocks
        own: dict[str, list[int]] = {}
        for number, stage in enumerate(network.spec.stages, 1):
            own.setdefault(str(stage.block), []).append(number)
        for label, places in own.items():
            if label not in found:
                candidates = [block for block in blocks if block.stage in places]
                chosen = next((block for block in candidates if block.residual), candidates[0])
                found[label] = DrawnBlock(network=network.spec, label=label, places=tuple(places), block=chosen)
    return list(found.values())[:_MOST]


def units(drawn: DrawnBlock) -> list[Unit]:
    """Return the boxes from input to output."""
    block, act = drawn.block, _ACTIVATIONS[drawn.network.conventions.activation]
    k, stride = block.kernel, f" s{block.stride}" if block.stride > 1 else ""
    mid, out = block.mid_channels, block.out_channels
    gate = [Unit(text=f"SE, squeezed to {block.squeeze_channels}", channels=mid)] if block.squeeze_channels else []
    project = Unit(text=f"conv 1x1, {out}", channels=out)
    if block.kind == "mbconv":
        expand = [Unit(text=f"conv 1x1, {mid}, {act}", channels=mid)] if block.expands else []
        return [*expand, Unit(text=f"depthwise {k}x{k}{stride}, {act}", channels=mid), *gate, project]
    if block.kind == "fused_mbconv":
        if not block.expands:
            return [*gate, Unit(text=f"conv {k}x{k}{stride}, {out}, {act}", channels=out)]
        return [Unit(text=f"conv {k}x{k}{stride}, {mid}, {act}", channels=mid), *gate, project]
    if block.kind == "basic":
        return [
            Unit(text=f"conv {k}x{k}{stride}, {mid}, {act}", channels=mid),
            Unit(text=f"conv {k}x{k}, {out}", channels=out),
        ]
    return [
        Unit(text=f"conv 1x1, {mid}, {act}", channels=mid),
        Unit(text=f"conv {k}x{k}{stride}, {mid}, {act}", channels=mid),
        project,
    ]


def blocks_height(networks: Sequence[Anatomy], width: float) -> float:
    """Return how much room `draw_blocks` takes."""
    rows = _rows(designs(networks), width)
    return _TITLE + sum(_row_height(row) for row in rows) + 16


def draw_blocks(drawing: Drawing, networks: Sequence[Anatomy], top: float, kinds: Mapping[str, str]) -> None:
    """Draw the different blocks of the networks."""
    drawing.text(_EDGE, top + 4, "Blocks", size=15, bold=True)
    known = {str(stage.block) for network in networks for stage in network.spec.stages}
    left_out = f"; {_MOST} of {len(known)} designs" if len(known) > _MOST else ""
    said = f"a norm follows each convolution; boxes are as wide as their channels{left_out}"
    drawing.text(_EDGE + 70, top + 4, said, size=11.5, colour=QUIET)
    y = top + _TITLE
    for row in _rows(designs(networks), drawing.width):
        for number, drawn in enumerate(row):
            _draw(drawing, drawn, _EDGE + number * _CELL, y, kinds[drawn.block.kind])
        y += _row_height(row)


def _rows(drawn: Sequence[DrawnBlock], width: float) -> list[Sequence[DrawnBlock]]:
    across = max(1, int((width - 2 * _EDGE + 10) // _CELL))
    return [drawn[start : start + across] for start in range(0, len(drawn), across)]


def _row_height(row: Sequence[DrawnBlock]) -> float:
    return 62 + max(len(units(drawn)) + 1 for drawn in row) * _STEP + 40


def _draw(drawing: Drawing, drawn: DrawnBlock, left: float, top: float, colour: str) -> None:
    block = drawn.block
    places = ", ".join(map(str, drawn.places))
    drawing.text(left, top, drawn.label, size=shrunk(drawn.label, 13, _CELL - 16, bold=True), bold=True)
    which = f"stage{'s' * (len(drawn.places) > 1)} {places} of {clipped(drawn.network.name, 40)}"
    drawing.text(left, top + 17, which, size=shrunk(which, 11, _CELL - 16), colour=QUIET)
    middle, y = left + 128, top + 44
    drawing.text(middle, y, f"{block.in_channels} x {block.in_size} x {block.in_size}", size=11.5, anchor="middle")
    boxes = units(drawn)
    widest = max([unit.channels for unit in boxes] + [block.in_channels])
    begin = y + 6
    for unit in boxes:
        wide = 136 + 58 * unit.channels / widest
        drawing.line([(middle, y + 6), (middle, y + _STEP - _BOX)], colour=QUIET, arrow=True)
        y += _STEP
        drawing.rect(middle - wide / 2, y - _BOX, wide, _BOX, fill=colour, radius=5, opacity=0.16, stroke=colour)
        drawing.text(middle, y - _BOX / 2 + 4, unit.text, size=11.5, anchor="middle")
        y -= 6
    y += 6
    if block.residual:
        side = middle - 108
        start = begin + 5
        drawing.line([(middle, start), (side, start), (side, y + 20), (middle - 8, y + 20)], colour=INK, width=1.2)
        drawing.circle(middle, y + 20, 8, fill="#ffffff", stroke=INK)
        drawing.text(middle, y + 24.5, "+", size=13, anchor="middle")
        drawing.line([(middle, y), (middle, y + 12)], colour=QUIET)
        y += 22
        if block.projects_shortcut:
            drawing.text(side + 6, y - 7, "conv 1x1", size=10.5, colour=QUIET)
    after = f", {_ACTIVATIONS[drawn.network.conventions.activation]}" if block.kind in ("basic", "bottleneck") else ""
    drawing.line([(middle, y + 6 if block.residual else y), (middle, y + 20)], colour=QUIET, arrow=True)
    text = f"{block.out_channels} x {block.out_size} x {block.out_size}{after}"
    drawing.text(middle, y + 34, text, size=11.5, anchor="middle")

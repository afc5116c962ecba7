"""The anatomy of a network as an SVG: stages with shapes and costs, layers, blocks; or of two side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from effnet.quantities import billions, count_text, millions, size_text
from effnet.report.anatomy import Anatomy, Part, aligned, changes
from effnet.report.block_drawing import blocks_height, draw_blocks
from effnet.report.layer_strips import draw_strips, strips_height
from effnet.report.svg import INK, LINE, QUIET, SOFT, Drawing, clipped, shrunk, text_width

KINDS = {
    "conv": "#7a8494",
    "linear": "#7a8494",
    "mbconv": "#0072b2",
    "fused_mbconv": "#d55e00",
    "basic": "#009e73",
    "bottleneck": "#009e73",
}
"""Colours of the blocks (Okabe-Ito)."""

ONE, OTHER, CHANGED = "#0072b2", "#d55e00", "#b34700"
"""Colours of the two networks that stand side by side, and of what differs."""

_WIDTH, _ROW, _TOP, _EDGE = 1160, 44, 116, 24

METRICS: tuple[tuple[str, Callable[[Part], int], Callable[[int], str]], ...] = (
    ("parameters", lambda part: part.params, count_text),
    ("MACs", lambda part: part.macs, count_text),
    ("activations", lambda part: part.activations, count_text),
    ("live memory", lambda part: part.live_bytes, size_text),
)


def draw_one(network: Anatomy) -> str:
    """Return the picture of one network."""
    drawing = Drawing(_WIDTH)
    _named(drawing, _EDGE, 38, network.name, 22, 1000)
    drawing.text(_EDGE, 62, facts(network), size=13, colour=QUIET)
    drawing.text(_EDGE, 81, _sight(network), size=12, colour=QUIET)
    columns = ("part", "", "what it is", "output", "sees")
    for x, title in zip((_EDGE, 100, 236, 560, 634), columns, strict=True):
        anchor = "end" if title in ("output", "sees") else "start"
        drawing.text(x, _TOP - 10, title, size=11.5, colour=QUIET, anchor=anchor)
    _metric_titles(drawing, 654, 124)
    most = [max(value(part) for part in network.parts) for _, value, _ in METRICS]
    for number, part in enumerate(network.parts):
        top = _TOP + number * _ROW
        _rule(drawing, top)
        _row(drawing, network, part, top, most)
    bottom = _TOP + len(network.parts) * _ROW
    _rule(drawing, bottom)
    strips = bottom + 34
    draw_strips(drawing, [(network, "")], strips, KINDS)
    below = strips + strips_height(1)
    draw_blocks(drawing, [network], below, KINDS)
    drawing.height = below + blocks_height([network], _WIDTH)
    return drawing.render(f"{network.name}, stage by stage")


def draw_two(one: Anatomy, other: Anatomy) -> str:
    """Return the picture of two networks side by side, with what differs marked."""
    drawing = Drawing(_WIDTH)
    for number, (network, colour) in enumerate(((one, ONE), (other, OTHER))):
        left = (_EDGE, 376)[number]
        drawing.rect(left, 24, 14, 14, fill=colour, radius=3)
        _named(drawing, left + 22, 37, network.name, 18, 320)
    drawing.text(_EDGE, 60, facts(one), size=12, colour=QUIET)
    drawing.text(_EDGE, 78, facts(other), size=12, colour=QUIET)
    drawing.text(_EDGE, 99, _ratios(one, other), size=13, bold=True)
    top = 142
    drawing.text(_EDGE, top - 10, "part", size=11.5, colour=QUIET)
    drawing.text(108, top - 10, "the first", size=11.5, colour=ONE)
    drawing.text(376, top - 10, "the second; what differs is bold", size=11.5, colour=CHANGED)
    _metric_titles(drawing, 654, 124, top)
    pairs = aligned(one, other)
    most = [max(value(part) for pair in pairs for part in pair if part is not None) for _, value, _ in METRICS]
    for number, (left_part, right_part) in enumerate(pairs):
        y = top + number * _ROW
        _rule(drawing, y)
        _pair(drawing, left_part, right_part, y, most)
    bottom = top + len(pairs) * _ROW
    _rule(drawing, bottom)
    strips = bottom + 34
    draw_strips(drawing, [(one, ONE), (other, OTHER)], strips, KINDS)
    below = strips + strips_height(2)
    draw_blocks(drawing, [one, other], below, KINDS)
    drawing.height = below + blocks_height([one, other], _WIDTH)
    return drawing.render(f"{one.name} and {other.name}, stage by stage")


def facts(network: Anatomy) -> str:
    """Return size and cost in one line."""
    counted = network.cost
    blocks = network.spec.blocks
    return (
        f"{counted.resolution} px · {blocks} blocks · {millions(counted.params)} parameters · "
        f"{billions(counted.macs)} MACs · {millions(counted.activations)} activations · "
        f"{size_text(counted.peak_inference_bytes)} live at the peak (float32, one image)"
    )


def _sight(network: Anatomy) -> str:
    last = [part.field for part in network.parts if part.field is not None][-1]
    gated = next((p.name for p in network.parts if p.field is not None and p.field.is_global), None)
    gates = f"; from {gated} on, squeeze-and-excitation lets the whole image in (+)" if gated else ""
    return f"a value of the last map sees {last.size} px of the image along each side, padding included{gates}"


def _ratios(one: Anatomy, other: Anatomy) -> str:
    a, b = one.cost, other.cost
    parts = [f"resolution {a.resolution} to {b.resolution} px (x{b.resolution / a.resolution:.2f})"]
    first, second = one.spec.origin, other.spec.origin
    base = (second.base if second else other.spec).stages
    if base == (first.base if first else one.spec).stages and (first or second):
        for name in ("width", "depth"):
            ratio = getattr(second, name, 1.0) / getattr(first, name, 1.0)
            parts.append(f"{name} x{ratio:.3g}")
    parts.append(f"blocks {one.spec.blocks} to {other.spec.blocks}")
    parts += [f"parameters x{b.params / a.params:.2f}", f"MACs x{b.macs / a.macs:.2f}"]
    parts.append(f"activations x{b.activations / a.activations:.2f}")
    return " · ".join(parts)


def _named(drawing: Drawing, x: float, y: float, name: str, size: float, width: float) -> None:
    short = clipped(name, 60)
    drawing.text(x, y, short, size=shrunk(short, size, width, bold=True), bold=True)


def _metric_titles(drawing: Drawing, left: float, step: float, top: float = _TOP) -> None:
    for number, (title, _, _) in enumerate(METRICS):
        drawing.text(left + number * step, top - 10, title, size=11.5, colour=QUIET)


def _rule(drawing: Drawing, y: float) -> None:
    drawing.line([(_EDGE, y), (_WIDTH - _EDGE, y)], colour=SOFT, width=1.5)


def _row(drawing: Drawing, network: Anatomy, part: Part, top: float, most: Sequence[int]) -> None:
    middle = top + _ROW / 2 + 4
    drawing.text(_EDGE, middle, part.name, size=12, colour=QUIET)
    _funnel(drawing, part, network.cost.resolution, top)
    stride = f" s{part.stride}" if part.stride > 1 else ""
    times = f"  x{part.repeats}" if part.repeats > 1 else ""
    size = shrunk(part.label + stride + times, 12.5, 552 - 236 - text_width(shape(part), 12.5))
    drawing.pieces(236, middle, [(part.label + stride, INK, False), (times, INK, True)], size=size)
    drawing.text(560, middle, shape(part), size=12.5, anchor="end")
    if part.field is not None:
        more = "+" if part.field.is_global else ""
        drawing.text(634, middle, f"{part.field.size} px{more}", size=12, colour=QUIET, anchor="end")
    for number, ((title, value, text), top_value) in enumerate(zip(METRICS, most, strict=True)):
        left, own = 654 + number * 124, value(part)
        drawing.rect(
            left, top + 13, 54 * own / max(1, top_value), _ROW - 26, fill=KINDS[part.kind], radius=2, opacity=0.75
        )
        tip_end = left + 54 * own / max(1, top_value) + 5
        drawing.text(tip_end, middle, text(own), size=11)
        del title


def _funnel(drawing: Drawing, part: Part, resolution: int, top: float) -> None:
    """Draw a part as wide as its map (log scale), in as many slices as it has blocks."""

    def half(size: int) -> float:
        return 6 + 50 * (size.bit_length() - 1 + size / (1 << size.bit_length()) * 2 - 1) / max(
            1, resolution.bit_length()
        )

    middle, high = 164.0, _ROW - 4
    slices = min(part.repeats, 20)
    for number in range(slices):
        y, step = top + 2 + number * high / slices, high / slices
        begin, end = half(part.in_size if number == 0 else part.size), half(part.size)
        gap = 0.8 if slices > 1 else 0
        points = [
            (middle - begin, y),
            (middle + begin, y),
            (middle + end, y + step - gap),
            (middle - end, y + step - gap),
        ]
        tip = f"{part.name}: {part.in_size} to {part.size} px, {part.repeats} x {part.label}"
        drawing.polygon(points, fill=KINDS[part.kind], opacity=0.55, tip=tip if number == 0 else "")


def _pair(drawing: Drawing, one: Part | None, other: Part | None, top: float, most: Sequence[int]) -> None:
    differs = changes(one, other) if one is not None and other is not None else {}
    names = [part.name for part in (one, other) if part is not None]
    drawing.text(_EDGE, top + 18, names[0], size=12, colour=QUIET)
    if len(set(names)) > 1:
        drawing.text(_EDGE, top + 34, names[1], size=12, colour=QUIET)
    for left, part, marks in ((108, one, False), (376, other, True)):
        if part is None:
            drawing.text(left, top + 26, "none at this place", size=11.5, colour=LINE)
            continue
        alone = one is None or other is None
        stride = f" s{part.stride}" if part.stride > 1 else ""
        new = CHANGED if marks else INK

        def piece(
            text: str, *fields: str, marks: bool = marks, new: str = new, alone: bool = alone
        ) -> tuple[str, str, bool]:
            changed = marks and (alone or any(field in differs for field in fields))
            return (text, new, True) if changed else (text, INK, False)

        size = shrunk(part.label + stride, 12, 258, bold=True)
        drawing.pieces(left, top + 18, [piece(part.label + stride, "label", "stride")], size=size)
        side = f" x {part.size} x {part.size}" if part.kind != "linear" else ""
        words = [piece(f"{part.channels}", "channels"), piece(side, "size")]
        if part.repeats > 1 or "repeats" in differs:
            words += [("  ·  ", QUIET, False), piece(f"x{part.repeats}", "repeats")]
        drawing.pieces(left, top + 35, words, size=12)
    for number, ((_, value, text), top_value) in enumerate(zip(METRICS, most, strict=True)):
        left = 654 + number * 124
        for y, part, colour in ((top + 6, one, ONE), (top + 23, other, OTHER)):
            if part is None:
                continue
            long = 54 * value(part) / max(1, top_value)
            drawing.rect(left, y, long, 12, fill=colour, radius=2, opacity=0.75)
            drawing.text(left + long + 5, y + 10, text(value(part)), size=10.5)


def shape(part: Part) -> str:
    """Return a part's output as people write it."""
    return f"{part.channels}" if part.kind == "linear" else f"{part.channels} x {part.size} x {part.size}"

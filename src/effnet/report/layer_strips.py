"""Layers as bars: what each costs, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from effnet.cost import LayerCost
from effnet.quantities import count_text, size_text
from effnet.report.anatomy import Anatomy
from effnet.report.svg import LINE, QUIET, SOFT, Drawing, text_width

_LEFT, _EDGE, _HIGH, _GAP, _TITLE = 150, 24, 52, 12, 26
_STRIPS: tuple[tuple[str, Callable[[LayerCost], int], Callable[[int], str]], ...] = (
    ("parameters", lambda layer: layer.params, count_text),
    ("MACs", lambda layer: layer.macs, count_text),
    ("activations", lambda layer: layer.activations, count_text),
    ("live memory", lambda layer: layer.live_bytes, size_text),
)


def strips_height(networks: int) -> float:
    """Return how much room `draw_strips` takes."""
    return _TITLE + len(_STRIPS) * (networks * (_HIGH if networks == 1 else 40) + _GAP) + networks * 14 + 30


def draw_strips(
    drawing: Drawing, networks: Sequence[tuple[Anatomy, str]], top: float, kinds: Mapping[str, str]
) -> None:
    """Draw a strip a metric and network; bars of one metric have one scale.

    Args:
        networks: with the colour of its bars; empty: the colours of the blocks, `kinds`.
    """
    drawing.text(_EDGE, top, "Layer by layer", size=15, bold=True)
    y = top + _TITLE - 8
    high = _HIGH if len(networks) == 1 else 40
    for title, value, text in _STRIPS:
        most = max(value(layer) for network, _ in networks for layer in network.cost.layers)
        drawing.text(_EDGE, y + 14, title, size=12)
        drawing.text(_EDGE, y + 30, f"most {text(most)}", size=11, colour=QUIET)
        for network, colour in networks:
            _strip(drawing, network, (y, high), (most, value, text), colour, kinds)
            y += high
        y += _GAP
    for network, colour in networks:
        _axis(drawing, network, y, colour or QUIET)
        y += 14


def _strip(
    drawing: Drawing,
    network: Anatomy,
    room: tuple[float, float],
    metric: tuple[int, Callable[[LayerCost], int], Callable[[int], str]],
    colour: str,
    kinds: Mapping[str, str],
) -> None:
    (top, high), (most, value, text) = room, metric
    layers, step = network.cost.layers, _step(drawing, network)
    parts = {part.name: part for part in network.parts}
    for number, (begin, end) in enumerate(_spans(network).values()):
        shade = SOFT if number % 2 == 0 else "#ffffff"
        drawing.rect(_LEFT + begin * step, top, (end - begin) * step, high, fill=shade)
    for place, layer in enumerate(layers):
        tall = (high - 4) * value(layer) / max(1, most)
        fill = colour or kinds[parts[network.part_of(layer)].kind]
        window = f" {layer.kernel}x{layer.kernel}" if layer.kind in ("conv", "depthwise") else ""
        shape = "x".join(map(str, layer.out_shape))
        tip = f"{layer.name}: {layer.kind.replace('_', ' ')}{window}, {shape}: {value(layer):,} ({text(value(layer))})"
        left, wide = _LEFT + place * step, step - min(1.2, step * 0.2)
        drawing.rect(left, top + high - tall, wide, tall, fill=fill, opacity=0.8, tip=tip)
    drawing.line([(_LEFT, top + high), (drawing.width - _EDGE, top + high)], colour=LINE)


def _axis(drawing: Drawing, network: Anatomy, top: float, colour: str) -> None:
    """Name the parts under their bars, where there is room."""
    step = _step(drawing, network)
    taken: list[tuple[float, float]] = []
    for name, (begin, end) in sorted(_spans(network).items(), key=lambda item: not item[0].startswith("stage ")):
        short = name.removeprefix("stage ")
        middle, wide = _LEFT + (begin + end) / 2 * step, text_width(short, 10.5) + 4
        left, right = middle - wide / 2, middle + wide / 2
        if right < drawing.width and all(right <= before or left >= after for before, after in taken):
            drawing.text(middle, top, short, size=10.5, colour=colour, anchor="middle")
            taken.append((left, right))


def _spans(network: Anatomy) -> dict[str, tuple[int, int]]:
    """Return the first layer and the one after the last of each part."""
    spans: dict[str, tuple[int, int]] = {}
    for place, layer in enumerate(network.cost.layers):
        name = network.part_of(layer)
        spans[name] = (spans.get(name, (place, place))[0], place + 1)
    return spans


def _step(drawing: Drawing, network: Anatomy) -> float:
    return (drawing.width - _LEFT - _EDGE) / len(network.cost.layers)

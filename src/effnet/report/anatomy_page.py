"""The anatomy of one network, or of two, as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence

from effnet.quantities import size_text
from effnet.report.anatomy import Anatomy
from effnet.report.html import page, section, table


def render(networks: Sequence[Anatomy], picture: str) -> str:
    """Return the page.

    Args:
        networks: one or two.
        picture: their SVG.
    """
    title = " and ".join(network.name for network in networks)
    # On white paper also where the page is dark: the colours of the picture are made for it.
    figure = f"<div class='scroll' style='background:#fff;border-radius:.4rem'>{picture}</div>"
    return page(title, [figure, *(_layers(network) for network in networks)])


def _layers(network: Anatomy) -> str:
    rows = [
        [
            layer.name,
            layer.kind.replace("_", " "),
            " x ".join(map(str, layer.out_shape)),
            f"{layer.params:,}",
            f"{layer.macs:,}",
            f"{layer.activations:,}",
            size_text(layer.live_bytes),
        ]
        for layer in network.cost.layers
    ]
    headers = ["layer", "kind", "output", "parameters", "MACs", "activations", "live memory"]
    return section(f"Layers of {network.name}", table(headers, rows, text=(1,)))

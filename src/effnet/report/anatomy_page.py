"""The anatomy of one network, or of two, as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence

from effnet.quantities import size_text
from effnet.report.anatomy import Anatomy
from effnet.report.anatomy_diagram import CHANGED
from effnet.report.html import page, section, table
from effnet.report.svg import INK, LINE, QUIET, SOFT

_COLOURS = {INK: "ink", QUIET: "quiet", LINE: "line", SOFT: "soft", "#ffffff": "paper", CHANGED: "changed"}

_STYLE = f"""
:root {{ --quiet: {QUIET}; --changed: {CHANGED}; }}
@media (prefers-color-scheme: dark) {{ :root {{ --quiet: #a3adbb; --changed: #ff9d5c; }} }}
body {{ max-width: 75rem; }}
"""
"""The picture is wider than other pages, and as wide as there is room; it is never cut."""


def render(networks: Sequence[Anatomy], picture: str) -> str:
    """Return the page.

    Args:
        networks: one or two.
        picture: their SVG.
    """
    title = " and ".join(network.name for network in networks)
    return page(
        title,
        [
            f"<style>{_STYLE}</style>",
            f"<figure>{_themed(picture)}</figure>",
            *(_layers(network) for network in networks),
        ],
    )


def _themed(picture: str) -> str:
    """Return the picture with its ink and paper as the page's, which are dark where the reader's are."""
    for colour, name in _COLOURS.items():
        picture = picture.replace(f"'{colour}'", f"'var(--{name})'")
    return picture


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

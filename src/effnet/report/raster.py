"""An SVG as PNG, by resvg (extra: draw)."""

from __future__ import annotations

from effnet.errors import MissingDependencyError


def png(svg: str, *, zoom: int = 2) -> bytes:
    """Return the picture as PNG bytes.

    Args:
        zoom: pixels for each unit of the SVG.

    Raises:
        MissingDependencyError: resvg-py is not installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise MissingDependencyError.for_extra("resvg-py", "draw", "a PNG picture") from None
    # resvg has no system-ui of its own: the first sans-serif font that is installed stands in.
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom))

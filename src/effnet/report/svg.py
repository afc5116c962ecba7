"""A small writer of SVG: shapes and text by numbers, escaped, on white paper."""

from __future__ import annotations

import html
from collections.abc import Sequence

INK = "#1d2430"
QUIET = "#5d6675"
LINE = "#c9d0da"
SOFT = "#f3f5f8"

_WEIGHT = " font-weight='600'"
_FONTS = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"

# Widths of letters in parts of the font size, of the widest usual sans-serif font (DejaVu Sans), so that text that fits
# here fits with any.
_NARROW, _WIDE = set("iljI.,:;'|![]()ft /-"), set("mwMW@%")


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return about how wide a line of text is, in pixels; never less than it is in a usual font."""
    width = sum(0.42 if letter in _NARROW else 0.98 if letter in _WIDE else 0.64 for letter in text)
    return width * size * (1.09 if bold else 1.0)


def shrunk(text: str, size: float, width: float, *, bold: bool = False) -> float:
    """Return `size`, or the smaller size at which the text is no wider than `width`."""
    return size * min(1.0, width / max(1.0, text_width(text, size, bold=bold)))


def clipped(text: str, most: int) -> str:
    """Return the text with at most so many letters, and nothing that XML cannot hold."""
    sound = "".join(letter if letter.isprintable() else " " for letter in text)
    return sound if len(sound) <= most else sound[: most - 1] + "…"


class Drawing:
    """A picture that grows by one shape at a time; coordinates are pixels from the top left."""

    def __init__(self, width: float, height: float = 0.0) -> None:
        self.width, self.height = width, height
        self._parts: list[str] = []

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "none",
        stroke: str | None = None,
        radius: float = 0,
        opacity: float = 1,
        tip: str = "",
    ) -> None:
        """Add a rectangle; `tip` is shown where the pointer rests."""
        edge = f" stroke='{stroke}'" if stroke else ""
        rounded = f" rx='{radius:g}'" if radius else ""
        faint = f" fill-opacity='{opacity:g}'" if opacity != 1 else ""
        shape = f"x='{_n(x)}' y='{_n(y)}' width='{_n(max(0, width))}' height='{_n(max(0, height))}'"
        self._add("rect", f"{shape}{rounded} fill='{fill}'{faint}{edge}", tip)

    def polygon(self, points: Sequence[tuple[float, float]], *, fill: str, opacity: float = 1, tip: str = "") -> None:
        """Add a filled outline."""
        places = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._add("polygon", f"points='{places}' fill='{fill}' fill-opacity='{opacity:g}'", tip)

    def line(
        self, points: Sequence[tuple[float, float]], *, colour: str = LINE, width: float = 1, arrow: bool = False
    ) -> None:
        """Add a line through the points; `arrow` ends it with a head, for which the last piece must be upright."""
        places = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._add("polyline", f"points='{places}' fill='none' stroke='{colour}' stroke-width='{width:g}'", "")
        if arrow:
            (x, y), (_, before) = points[-1], points[-2]
            back = y - 5 if y > before else y + 5
            self.polygon([(x, y), (x - 3.5, back), (x + 3.5, back)], fill=colour)

    def circle(self, x: float, y: float, radius: float, *, fill: str, stroke: str) -> None:
        """Add a circle."""
        self._add("circle", f"cx='{_n(x)}' cy='{_n(y)}' r='{radius:g}' fill='{fill}' stroke='{stroke}'", "")

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: float = 12,
        colour: str = INK,
        bold: bool = False,
        anchor: str = "start",
    ) -> None:
        """Add one line of text whose baseline is at y."""
        place = f" text-anchor='{anchor}'" if anchor != "start" else ""
        weight = _WEIGHT if bold else ""
        attributes = f"x='{_n(x)}' y='{_n(y)}' font-size='{size:g}' fill='{colour}'{weight}{place}"
        self._parts.append(f"<text {attributes}>{html.escape(content, quote=False)}</text>")

    def pieces(self, x: float, y: float, pieces: Sequence[tuple[str, str, bool]], *, size: float = 12) -> None:
        """Add one line of text in pieces of (text, colour, bold)."""
        spans = "".join(
            f"<tspan fill='{colour}'{_WEIGHT if bold else ''}>{html.escape(text, quote=False)}</tspan>"
            for text, colour, bold in pieces
            if text
        )
        self._parts.append(f"<text x='{_n(x)}' y='{_n(y)}' font-size='{size:g}' xml:space='preserve'>{spans}</text>")

    def render(self, title: str) -> str:
        """Return the SVG; `title` is read to those who cannot see it."""
        width, height = _n(self.width), _n(self.height)
        head = (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
            f"height='{height}' role='img' font-family='{_FONTS}'>"
        )
        paper = f"<rect width='{width}' height='{height}' fill='#ffffff'/>"
        return (
            "\n".join([head, f"<title>{html.escape(clipped(title, 200))}</title>", paper, *self._parts, "</svg>"])
            + "\n"
        )

    def _add(self, tag: str, attributes: str, tip: str) -> None:
        inner = f"><title>{html.escape(tip)}</title></{tag}>" if tip else "/>"
        self._parts.append(f"<{tag} {attributes}{inner}")


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

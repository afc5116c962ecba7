"""A picture as values: lines, dots and texts in pixels, written as SVG without any library, or as PNG by matplotlib.

Widths of text are DejaVu Sans', which is wider than the fonts that usually stand in for it, so what fits here fits
there.
"""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from effnet.errors import MissingDependencyError

Anchor = Literal["start", "middle", "end"]

_FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

# Thousandths of the font size, from the space (32) to the tilde (126).
_WIDTHS = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863,
    748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635,
    615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636,
    337, 636, 838,
)  # fmt: skip
_WIDE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Straight pieces through `points`."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1.0
    dash: tuple[float, float] | None = None
    opacity: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A disc with a rim; `title` is what a pointer over it shows."""

    x: float
    y: float
    radius: float
    fill: str
    rim: str
    rim_width: float = 1.0
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words, at their baseline; with a `halo` they are legible over lines."""

    x: float
    y: float
    text: str
    size: float
    colour: str = "#222222"
    anchor: Anchor = "start"
    bold: bool = False
    upward: bool = False
    halo: bool = False


Shape: TypeAlias = Line | Dot | Text


@dataclass(slots=True, kw_only=True)
class Scene:
    """Shapes, the later over the earlier, on white.

    Attributes:
        width, height: pixels.
        title: what a screen reader says of it.
    """

    width: float
    height: float
    title: str
    shapes: list[Shape] = field(default_factory=list)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the pixels that a text is wide."""
    total = sum(_WIDTHS[ord(letter) - 32] if 32 <= ord(letter) < 127 else _WIDE for letter in text)
    return total * size / 1000 * (1.1 if bold else 1.0)


def wrapped(text: str, size: float, width: float) -> list[str]:
    """Return a text as lines that fit in `width` pixels; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def to_svg(scene: Scene) -> str:
    """Return the picture as one SVG element that needs nothing else."""
    body = "\n".join(_svg(shape) for shape in scene.shapes)
    title = html.escape(scene.title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {scene.width:g} {scene.height:g}" '
        f'width="{scene.width:g}" height="{scene.height:g}" role="img" '
        f'style="max-width:100%;height:auto" font-family="{_FONT}">\n<title>{title}</title>\n'
        f'<rect width="{scene.width:g}" height="{scene.height:g}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def to_png(scene: Scene, *, scale: float = 2.0) -> bytes:
    """Return the picture as PNG, `scale` device pixels for each of its pixels.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.patches import Circle
        from matplotlib.patheffects import Normal, Stroke
    except ImportError:
        raise MissingDependencyError.for_extra("matplotlib", "train", "drawing a PNG (SVG needs nothing)") from None
    dots = 100.0
    figure = Figure(figsize=(scene.width / dots, scene.height / dots), dpi=dots, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, scene.width)
    axes.set_ylim(scene.height, 0)
    axes.set_axis_off()
    points = 72 / dots  # matplotlib measures strokes and letters in points
    for order, shape in enumerate(scene.shapes):
        if isinstance(shape, Line):
            style: Any = (0, [part / shape.width for part in shape.dash]) if shape.dash else "-"
            xs, ys = [x for x, _ in shape.points], [y for _, y in shape.points]
            axes.add_line(
                Line2D(
                    xs, ys, color=shape.colour, linewidth=shape.width * points, linestyle=style, alpha=shape.opacity,
                    zorder=order,
                )
            )  # fmt: skip
        elif isinstance(shape, Dot):
            axes.add_patch(
                Circle(
                    (shape.x, shape.y), shape.radius, facecolor=shape.fill, edgecolor=shape.rim,
                    linewidth=shape.rim_width * points, zorder=order,
                )
            )  # fmt: skip
        else:
            halo = [Stroke(linewidth=3 * points, foreground="white"), Normal()] if shape.halo else []
            axes.text(
                shape.x, shape.y, shape.text.replace("$", r"\$"), fontsize=shape.size * points, color=shape.colour,
                ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor], va="baseline",
                fontweight="bold" if shape.bold else "normal", rotation=90 if shape.upward else 0,
                rotation_mode="anchor", zorder=order, path_effects=halo,
            )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots * scale, metadata={"Software": None})
    return buffer.getvalue()


def _svg(shape: Shape) -> str:
    if isinstance(shape, Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        dash = f' stroke-dasharray="{_numbers(shape.dash)}"' if shape.dash else ""
        opacity = f' stroke-opacity="{shape.opacity:g}"' if shape.opacity < 1 else ""
        stroke = f'stroke="{shape.colour}" stroke-width="{shape.width:g}"{dash}{opacity}'
        return f'<polyline points="{points}" fill="none" {stroke}/>'
    if isinstance(shape, Dot):
        title = f"<title>{html.escape(shape.title)}</title>" if shape.title else ""
        return (
            f'<circle cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}" fill="{shape.fill}" '
            f'stroke="{shape.rim}" stroke-width="{shape.rim_width:g}">{title}</circle>'
        )
    bold = ' font-weight="bold"' if shape.bold else ""
    turned = f' transform="rotate(-90 {shape.x:.1f} {shape.y:.1f})"' if shape.upward else ""
    anchor = f' text-anchor="{shape.anchor}"' if shape.anchor != "start" else ""
    halo = ' stroke="#ffffff" stroke-width="3" stroke-linejoin="round" paint-order="stroke"' if shape.halo else ""
    look = f'font-size="{shape.size:g}" fill="{shape.colour}"{anchor}{bold}{turned}{halo}'
    return f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" {look}>{html.escape(shape.text)}</text>'


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)

"""Where the texts of an SVG that effnet drew are, by an estimate of their width that is nobody's but this file's."""

from __future__ import annotations

import re
from html import unescape
from itertools import combinations

# Helvetica's widths at 1000 units, roughly: capitals and digits apart from the narrow letters.
_NARROW, _WIDE = "iljtfrI.,:;'|()[] -", "mwMW%@"


def overlapping_texts(svg: str) -> list[tuple[str, str]]:
    """Return pairs of texts that lie over each other."""
    boxes = [box for box in map(_box, re.finditer(r"<text ([^>]*)>([^<]*)</text>", svg)) if box]
    pairs = combinations(boxes, 2)
    return [(a[0], b[0]) for a, b in pairs if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]]


def _box(match: re.Match[str]) -> tuple[str, float, float, float, float] | None:
    attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', match[1]))
    if "transform" in attributes:
        return None  # the title of the upright axis stands alone at the edge
    text, size = unescape(match[2]), float(attributes["font-size"])
    width = sum(0.33 if c in _NARROW else 0.9 if c in _WIDE else 0.58 for c in text) * size
    x, y = float(attributes["x"]), float(attributes["y"])
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[attributes.get("text-anchor", "start")]
    return text, left, y - 0.75 * size, left + width, y + 0.1 * size

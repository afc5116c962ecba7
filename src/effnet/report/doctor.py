"""The page of a data check, from plain values."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effnet.report.html import bars, cards, note, page, section

_MOST = 20
"""Examples shown of one finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFinding:
    """A finding as the page shows it; `pictures` are (JPEG, caption) of its first images."""

    severity: str
    what: str
    fix: str
    groups: Sequence[Sequence[str]]
    pictures: Sequence[tuple[bytes, str]] = ()


def render(
    title: str,
    findings: Sequence[ShownFinding],
    counts: Mapping[str, Sequence[int]],
    classes: Sequence[str],
    sizes: Sequence[int],
    resolution: int,
) -> str:
    """Return the page, self-contained.

    Args:
        counts: images of each class, by part.
        sizes: shorter side of each image in pixels.
        resolution: the side that the network wants.
    """
    parts = [_finding(finding) for finding in findings]
    if not parts:
        parts.append(section("Nothing found", note("Every image can be read, none is repeated, classes are balanced.")))
    for part, numbers in counts.items():
        rows = [(name, float(number), str(number)) for name, number in zip(classes, numbers, strict=True)]
        parts.append(section(f"Images in {part}", bars(rows)))
    parts.append(section("Shorter sides", bars(_histogram(sizes)), note(f"The network wants {resolution} px.")))
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    images = sum(map(sum, counts.values()))
    return page(title, parts, subtitle=f"{images} images: {errors} errors, {warnings} warnings")


def _finding(finding: ShownFinding) -> str:
    examples = [" = ".join(group) for group in finding.groups[:_MOST]]
    items = "".join(f"<li>{html.escape(example)}</li>" for example in examples)
    rest = len(finding.groups) - len(examples)
    shown = f"<ul>{items}</ul>" if items else ""
    more = note(f"and {rest} more") if rest > 0 else ""
    pictures = cards([(picture, caption, "") for picture, caption in finding.pictures]) if finding.pictures else ""
    return section(
        f"{finding.severity.capitalize()}: {finding.what}", note(f"Fix: {finding.fix}."), shown, more, pictures
    )


def _histogram(sizes: Sequence[int]) -> list[tuple[str, float, str]]:
    edges = (0, 32, 64, 128, 224, 320, 480, 640, 1024, 2048, 1 << 30)
    rows = []
    for low, high in itertools.pairwise(edges):
        count = sum(low <= size < high for size in sizes)
        if count:
            label = f"{low} px or more" if high == edges[-1] else f"{low} to {high - 1} px"
            rows.append((label, float(count), str(count)))
    return rows

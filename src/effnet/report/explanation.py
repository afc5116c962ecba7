"""The page that shows explanations and whether they can be trusted, from plain values."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from effnet.report.html import data_uri, note, page, section, table

_STYLE = """<style>
.maps { display: flex; flex-wrap: wrap; gap: 1rem; }
.maps figure { max-width: 20rem; } .maps img { display: block; max-width: 100%; }
.maps figcaption { overflow-wrap: anywhere; font-size: .85rem; line-height: 1.35; padding: .3rem 0; }
.ramp { display: inline-block; width: 10rem; height: .8rem; vertical-align: middle; margin: 0 .5rem;
        background: linear-gradient(90deg, #000004, #330a5f, #781c6d, #bc3754, #ed6925, #fcb41a, #fcffa4); }
</style>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckShown:
    """What covering the image and losing the weights said of one map.

    Attributes:
        picture: JPEG bytes of the occlusion map over the image.
        rank_correlation: None when the map is the occlusion map.
        randomised: (part, similarity).
    """

    picture: bytes
    rank_correlation: float | None
    deletion: float
    random_deletion: float
    insertion: float
    random_insertion: float
    randomised: Sequence[tuple[str, float]]
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapShown:
    """One map.

    Attributes:
        picture: JPEG bytes.
        low, high: of the map, in logits.
    """

    picture: bytes
    model: str
    label: str
    probability: float
    method: str
    stage: str
    low: float
    high: float
    check: CheckShown | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageShown:
    """One image with its maps.

    Attributes:
        picture: JPEG bytes of the image itself.
    """

    name: str
    picture: bytes
    maps: Sequence[MapShown]


def render(images: Sequence[ImageShown], *, title: str, subtitle: str = "") -> str:
    """Return the page, self-contained."""
    scale = (
        "<p class='note'>least<span class='ramp'></span>most evidence for the class. Each map has its own scale, in "
        "logits; what is nearly black was cut off before the network saw the image.</p>"
    )
    parts = [_STYLE + scale]
    checked = False
    for image in images:
        figures = [_figure(image.picture, [image.name])]
        for shown in image.maps:
            lines = [f"{shown.label}, {shown.probability:.1%}", f"{shown.model}: {shown.method}, {shown.stage}"]
            lines.append(f"{shown.low:.3g} to {shown.high:.3g}")
            figures.append(_figure(shown.picture, lines))
            if shown.check is not None:
                checked = True
                figures.append(_figure(shown.check.picture, [f"{shown.label}: covered in turn", shown.check.verdict]))
        fragments = ["<div class='maps'>" + "\n".join(figures) + "</div>", *_checks(image.maps)]
        parts.append(section(image.name, *fragments))
    if checked:
        parts.append(_meaning())
    return page(title, parts, subtitle=subtitle)


def _figure(picture: bytes, lines: Sequence[str]) -> str:
    texts = [f"<strong>{html.escape(lines[0])}</strong>", *(html.escape(line) for line in lines[1:])]
    alt = html.escape(lines[0], quote=True)
    uri = data_uri(picture, "image/jpeg")
    return f"<figure><img src='{uri}' alt='{alt}'><figcaption>{'<br>'.join(texts)}</figcaption></figure>"


def _checks(maps: Sequence[MapShown]) -> list[str]:
    rows, cascades = [], []
    for shown in maps:
        check = shown.check
        if check is None:
            continue
        agreement = "" if check.rank_correlation is None else f"{check.rank_correlation:+.2f}"
        rows.append(
            [
                f"{shown.label} ({shown.model})",
                agreement,
                f"{check.deletion:.3f}",
                f"{check.random_deletion:.3f}",
                f"{check.insertion:.3f}",
                f"{check.random_insertion:.3f}",
                check.verdict,
            ]
        )
        if check.randomised:
            values = [f"{value:+.2f}" for _, value in check.randomised]
            cascades.append(([part for part, _ in check.randomised], [f"{shown.label} ({shown.model})", *values]))
    fragments = []
    if rows:
        headers = ["map", "with occlusion", "deletion", "random", "insertion", "random", "verdict"]
        fragments.append(table(headers, rows, text=(6,)))
    for parts in dict.fromkeys(tuple(parts) for parts, _ in cascades):
        chosen = [row for own, row in cascades if tuple(own) == parts]
        fragments.append(note("Likeness to the map after the weights were lost from the classifier down to:"))
        headers, *lines = [list(line) for line in zip(*([("part", *parts), *chosen]), strict=True)]
        fragments.append(table(headers, lines))
    return fragments


def _meaning() -> str:
    rows = [
        ["with occlusion", "rank correlation of the map with how far the class's logit falls when a place is covered"],
        ["deletion", "mean probability while the places the map points at are removed first; lower is better"],
        ["insertion", "mean probability while these places are shown first; higher is better"],
        ["random", "the same in random orders: what a map that knows nothing reaches"],
        ["likeness", "near 0 where the map depends on what was learned; a map that stays alike shows the image only"],
    ]
    return section("How to read the checks", table(["figure", "is"], rows, text=(1,)))

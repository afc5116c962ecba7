"""Explanations side by side as one picture: an image a row, a class or a model a column (V1 Figure 7)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from effnet.errors import InputError
from effnet.inference.explain.colours import coloured, reduced
from effnet.inference.explain.explanation import Explanation
from effnet.inference.rendering import printable
from effnet.weights.atomic import atomic_write

CELL = 280
"""Pixels of a picture's longer side."""

_GAP, _MARGIN, _LINE, _TEXT = 14, 16, 19, 14
_INK, _QUIET, _PAPER = (29, 36, 48), (98, 106, 120), (255, 255, 255)
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

# Pillow's own font has Latin letters only; class names in other scripts need one of the system's.
_WIDE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansKR-Regular.otf",
    "AppleSDGothicNeo.ttc",
    "malgun.ttf",
    "DejaVuSans.ttf",
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def sheet(rows: Sequence[Sequence[Explanation]]) -> Image.Image:
    """Return each image, its maps beside it, their classes and probabilities, and the scale of colours.

    Args:
        rows: the explanations of one image each, at least one.
    """
    models = len({explanation.model for row in rows for explanation in row}) > 1
    captions = [[_caption(explanation, models) for explanation in row] for row in rows]
    lines = max(len(caption) for row in captions for caption in row)
    pictures = [[_small(row[0]), *(one.overlay(longest=CELL) for one in row)] for row in rows]
    columns = max(len(row) for row in pictures)
    widths = [max((row[c].width for row in pictures if c < len(row)), default=0) for c in range(columns)]
    widths = [max(width, 190) for width in widths]
    heights = [max(picture.height for picture in row) + 6 + lines * _LINE for row in pictures]
    wide = max(2 * _MARGIN + sum(widths) + _GAP * (columns - 1), 640)
    high = 2 * _MARGIN + sum(heights) + _GAP * len(rows) + 2 * _LINE
    canvas = Image.new("RGB", (wide, high), _PAPER)
    draw = ImageDraw.Draw(canvas)
    top = _MARGIN
    for row, described, explained, height in zip(pictures, captions, rows, heights, strict=True):
        left = _MARGIN
        texts = [[_name(explained[0])], *described]
        for picture, text, width in zip(row, texts, widths, strict=False):
            canvas.paste(picture, (left, top))
            for number, line in enumerate(text):
                place = (left, top + picture.height + 6 + number * _LINE)
                _write(draw, place, line, width, _INK if number == 0 else _QUIET)
            left += width + _GAP
        top += height + _GAP
    _scale(canvas, draw, top, [explanation for row in rows for explanation in row])
    return canvas


def write_sheet(rows: Sequence[Sequence[Explanation]], path: Path) -> None:
    """Write the sheet to a .png or .jpg, whole or not at all.

    Raises:
        InputError: the name has another ending.
        StorageError: it cannot be written.
    """
    kind = sheet_format(path)
    picture = sheet(rows)
    with atomic_write(path) as temporary:
        picture.save(temporary, kind, quality=90)


def sheet_format(path: Path) -> str:
    """Return Pillow's name of the format that a file's ending means; raises InputError for others."""
    if (kind := _FORMATS.get(path.suffix.lower())) is None:
        raise InputError("pictures are .png, .jpg or .html", where=str(path), fix="choose one of these endings")
    return kind


def jpeg(picture: Image.Image) -> bytes:
    """Return a picture as JPEG bytes, for a page."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _caption(explanation: Explanation, models: bool) -> list[str]:
    target = explanation.target
    lines = [f"{printable(target.label)}  {target.probability:.1%}"]
    if models:
        lines.append(explanation.model)
    where = "" if explanation.method == "occlusion" else f", {explanation.stage}"
    low, high = float(explanation.heat.min()), float(explanation.heat.max())
    lines.append(f"{explanation.method}{where}: {low:.3g} to {high:.3g}")
    if (check := explanation.check) is not None:
        agreement = "" if check.rank_correlation is None else f"agrees with occlusion: {check.rank_correlation:+.2f}"
        lines += [line for line in (agreement, check.verdict) if line]
    return lines


def _name(explanation: Explanation) -> str:
    return "image" if explanation.source is None else printable(Path(explanation.source).name)


def _small(explanation: Explanation) -> Image.Image:
    return reduced(explanation.image, None, CELL)[0]


def _scale(canvas: Image.Image, draw: ImageDraw.ImageDraw, top: int, shown: Sequence[Explanation]) -> None:
    """Draw the bar of colours, and what the dark border means where there is one."""
    bar = Image.fromarray(np.repeat(coloured(np.linspace(0, 1, 160))[None], _TEXT, 0))
    left = _MARGIN
    for part in ("least", bar, "most evidence for the class (logits; each map on its own scale)"):
        if isinstance(part, Image.Image):
            canvas.paste(part, (left, top + 2))
            left += part.width + 8
        else:
            left += _write(draw, (left, top), part, canvas.width - left, _QUIET) + 8
    cropped = any(
        one.window[0] > 0.5
        or one.window[1] > 0.5
        or one.window[2] < one.image.width - 0.5
        or one.window[3] < one.image.height - 0.5
        for one in shown
    )
    if cropped:
        draw.rectangle((_MARGIN, top + _LINE + 3, _MARGIN + 22, top + _LINE + 3 + _TEXT), (40, 40, 40))
        _write(draw, (_MARGIN + 30, top + _LINE), "cut off before the network saw the image", canvas.width, _QUIET)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int, colour: tuple[int, int, int]
) -> int:
    """Write one line, cut to `width`; return how wide it became."""
    font = _font(text)
    if draw.textlength(text, font) > width:
        while text and draw.textlength(text + "...", font) > width:
            text = text[:-1]
        text += "..."
    draw.text(place, text, colour, font)
    return round(draw.textlength(text, font))


def _font(text: str) -> Font:
    if max(map(ord, text), default=0) > 0x24F:
        for name in _WIDE_FONTS:
            try:
                return ImageFont.truetype(name, _TEXT)
            except OSError:
                continue
    return ImageFont.load_default(_TEXT)

"""The parts of a page that show how good a classifier is, from plain values."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from effnet.report.html import beside, cards, data_uri, drawing, note, section, table
from effnet.report.training_charts import calibration_chart, confusion_chart

_PAIRS = 10
"""Most confused pairs that are listed."""

_FEW = 1000
"""Images below which one is a tenth of a percent or more, so that a second decimal says nothing."""

_BESIDE = 8
"""Classes up to which the matrix leaves room for the pairs beside it."""

_CHARTED = 200
"""Classes up to which the confusion matrix is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """An image that was taken for something else.

    Attributes:
        picture: JPEG bytes.
        confidence: in the wrong answer, 0 to 1.
        looked_at: JPEG bytes of the picture under the map of where the network saw its answer.
    """

    picture: bytes
    name: str
    truth: str
    answer: str
    confidence: float
    looked_at: bytes | None = None


def sections(figures: Mapping[str, Any], mistakes: Sequence[Mistake], *, on: str) -> list[str]:
    """Return the sections of an evaluation.

    Args:
        figures: what `Evaluation.to_dict` returns.
        mistakes: to show, the most confident first.
        on: which images these are figures of.
    """
    return [summary(figures, on=on), classes(figures), confusion(figures), calibration(figures), shown(mistakes)]


def summary(figures: Mapping[str, Any], *, on: str) -> str:
    """Return the headline figures with their intervals."""
    images = figures["images"]
    low, high = figures["top1_interval"]
    rows = [["top-1", share(figures["top1"], images), f"{low:.1f} to {high:.1f} %"]]
    if figures.get("outputs", len(figures["classes"])) > 5:
        low, high = figures["top5_interval"]
        rows.append(["top-5", share(figures["top5"], images), f"{low:.1f} to {high:.1f} %"])
    rows += [
        ["mean of the classes", share(figures["class_accuracy"], images), ""],
        ["loss", f"{figures['loss']:.4f}", ""],
        ["calibration error (ECE)", share(figures["ece"], images), ""],
    ]
    text = f"On {figures['images']} images of {on}. Intervals are Wilson's, 95 %."
    return section("How good it is", table(["figure", "value", "interval"], rows), note(text))


def classes(figures: Mapping[str, Any]) -> str:
    """Return the table of classes, the worst first."""
    ordered = sorted(figures["classes"], key=lambda score: (score["f1"] is None, score["f1"] or 0.0))
    rows = [
        [score["name"], str(score["images"]), _precision(score), _percent(score["recall"]), _percent(score["f1"])]
        for score in ordered
    ]
    return section("Classes, the hardest first", table(["class", "images", "precision", "recall", "F1"], rows))


def confusion(figures: Mapping[str, Any]) -> str:
    """Return the confusion matrix and the most confused pairs."""
    names = [score["name"] for score in figures["classes"]]
    matrix = figures["confusion"]
    parts = []
    if len(names) <= _CHARTED:
        parts.append(drawing(confusion_chart(matrix, names), "confusion matrix"))
    pairs = [
        (count, truth, answer)
        for truth, row in enumerate(matrix)
        for answer, count in enumerate(row)
        if count and truth != answer
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    rows = [[names[truth], names[answer], str(count)] for count, truth, answer in pairs[:_PAIRS]]
    parts.append(
        table(["truth", "taken for", "images"], rows, text=(1,))
        if rows
        else note("Nothing is taken for anything else.")
    )
    return section("What is taken for what", beside(*parts) if len(names) <= _BESIDE else "\n".join(parts))


def calibration(figures: Mapping[str, Any]) -> str:
    """Return the calibration curve."""
    bins = [(b["images"], b["confidence"], b["accuracy"]) for b in figures["calibration"]]
    text = (
        "Of answers given with 80 % confidence, 80 % should be right. Below the dashed line the network is too sure of"
        " itself; `effnet evaluate --fit-temperature` mends that."
    )
    return section(
        "Does it know when it does not know",
        beside(drawing(calibration_chart(bins), "accuracy against confidence"), note(text)),
    )


def shown(mistakes: Sequence[Mistake]) -> str:
    """Return the mistakes as pictures."""
    items = [
        (
            mistake.picture,
            f"{mistake.answer}, {100 * mistake.confidence:.0f} %",
            f"<br>is {html.escape(mistake.truth)}<br><small>{html.escape(mistake.name)}</small>{_looked_at(mistake)}",
        )
        for mistake in mistakes
    ]
    return section("Most confident mistakes", cards(items) if items else note("There are none."))


def _looked_at(mistake: Mistake) -> str:
    if mistake.looked_at is None:
        return ""
    alt = html.escape(f"where the network saw {mistake.answer}", quote=True)
    uri = data_uri(mistake.looked_at, "image/jpeg")
    return f"<br><small>Where it saw {html.escape(mistake.answer)}:</small><img src='{uri}' alt='{alt}'>"


def share(percent: float, images: int) -> str:
    """Return a percentage with as many digits as that many images carry."""
    return f"{percent:.{1 if images < _FEW else 2}f} %"


def _precision(score: Mapping[str, Any]) -> str:
    return "never answered" if score["precision"] is None and score["images"] else _percent(score["precision"])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} %"

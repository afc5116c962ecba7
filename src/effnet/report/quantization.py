"""What came of making an int8 graph: accuracy, size and latency of every candidate, as a table and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from effnet.quantities import size_text
from effnet.report.html import bars, note, page, picture, section, table
from effnet.report.tables import text_table
from effnet.report.training_charts import BLUE, GREEN, RED, Kind, drawn, figure

_HEADERS = ("graph", "loss", "agrees", "ms", "times", "size", "")
_SHOWN = 20
"""Layers named on the page."""


def summary(figures: Mapping[str, Any]) -> str:
    """Return the table for a terminal, with the verdict under it.

    Args:
        figures: what `Outcome.to_dict` gives.
    """
    verdict = f"chosen    {figures['chosen']}" if figures["passed"] else "refused   nothing passes the gate"
    if (warning := worth(figures)) is not None:
        verdict += f"\nspeed     {warning}"
    notes = "\n".join(f"          {sentence}" for sentence in figures["notes"])
    return f"{text_table(_HEADERS, _rows(figures))}\n\n{verdict}\n{notes.replace('          ', 'notes     ', 1)}"


def worth(figures: Mapping[str, Any]) -> str | None:
    """Return the sentence that says that the chosen graph is no faster than the float one; None where it is."""
    if not figures["passed"] or figures["pays"]:
        return None
    (one,) = (one for one in figures["candidates"] if one["name"] == figures["chosen"])
    gains = figures["float"]["size"] / one["size"]
    return (
        f"int8 does not pay here: {one['latency_ms']:.2f} ms an image, the float graph takes "
        f"{figures['float']['latency_ms']:.2f}. Only the file is smaller ({gains:.1f} times); "
        "where that does not matter, use the float graph (effnet export)"
    )


def render(figures: Mapping[str, Any], command: str) -> str:
    """Return the page, self-contained.

    Args:
        figures: what `Outcome.to_dict` gives.
        command: to do it again.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    gate = figures["gate"]
    allowed = f"at most {gate['max_drop']:g} {'point' if gate['max_drop'] == 1 else 'points'} may be lost"
    if gate["min_agreement"]:
        allowed += f", {gate['min_agreement']:g} % of answers must stay"
    verdict = f"Chosen: {figures['chosen']}." if figures["passed"] else f"Refused: {_reasons(figures)}."
    warnings = [sentence for sentence in (worth(figures),) if sentence is not None]
    chart = picture(front_chart(figures), "image/svg+xml", "points lost against milliseconds, size as area")
    parts = [
        section("In short", note(f"{verdict} The gate: {allowed}."), *map(note, (*warnings, *figures["notes"]))),
        section("Accuracy, latency and size", chart, table(_HEADERS, _rows(figures), text=(0, 6))),
    ]
    layers = figures["sensitivities"][:_SHOWN]
    if layers:
        rows = [(one["title"], one["error"], f"{100 * one['error']:.1f} %") for one in layers]
        said = note("How far the logits move (of their spread) when this layer alone is in int8; worst first.")
        parts.append(section("Layers", said, bars(rows)))
    parts.append(section("To do it again", note(command)))
    return page("int8", parts, subtitle=f"{figures['model']}, {figures['seconds']:.0f} s")


def front_chart(figures: Mapping[str, Any], kind: Kind = "svg") -> bytes:
    """Return points lost against milliseconds; the area of a mark is the size of the file.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    drawing = figure(8.6, 4.6)
    axes = drawing.subplots()
    base = figures["float"]
    unit = 160 / base["size"]
    axes.scatter([base["latency_ms"]], [0], s=[160], marker="s", color="#777777", label="float")
    for passes, colour, label in ((True, GREEN, "passes"), (False, RED, "refused")):
        some = [one for one in figures["candidates"] if one["passes"] is passes]
        if some:
            across, down = [one["latency_ms"] for one in some], [one["drop"] for one in some]
            spread = [one["uncertainty"] for one in some]
            axes.errorbar(across, down, yerr=spread, fmt="none", ecolor=colour, alpha=0.4)
            axes.scatter(across, down, s=[one["size"] * unit for one in some], color=colour, alpha=0.75, label=label)
    front = sorted((one["latency_ms"], one["drop"]) for one in figures["candidates"] if one["on_front"])
    axes.step(*zip(*front, strict=True), where="post", color=BLUE, linewidth=1, label="front")
    axes.axhline(figures["gate"]["max_drop"], color="#777777", linestyle="--", linewidth=1, label="allowed")
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds an image")
    axes.set_ylabel(f"points of {'top-1' if base['top1'] is not None else 'agreement'} lost")
    axes.grid(True, alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return drawn(drawing, kind)


def _rows(figures: Mapping[str, Any]) -> list[list[str]]:
    base = figures["float"]
    first = "float" if base["top1"] is None else f"float ({base['top1']:.2f} %)"
    rows = [[first, "", "", f"{base['latency_ms']:.2f}", "1.00", size_text(base["size"]), ""]]
    for one in figures["candidates"]:
        verdict = "refused"
        if one["name"] == figures["chosen"]:
            verdict = "chosen"
        elif one["passes"]:
            verdict = "passes"
        rows.append(
            [
                one["name"],
                f"{one['drop']:+.2f} ±{one['uncertainty']:.2f}",
                f"{one['agreement']:.2f} %",
                f"{one['latency_ms']:.2f}",
                f"{base['latency_ms'] / one['latency_ms']:.2f}",
                size_text(one["size"]),
                verdict,
            ]
        )
    return rows


def _reasons(figures: Mapping[str, Any]) -> str:
    candidates: Sequence[Mapping[str, Any]] = figures["candidates"]
    best = min(candidates, key=lambda one: (one["drop"], -one["agreement"]))
    return f"{best['name']} is the best, and {'; '.join(best['objections'])}"

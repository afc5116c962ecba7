"""A recommendation as text: the short list, why, the commands, and what speaks against it."""

from __future__ import annotations

from effnet.guide.recommend import Choice, Recommendation
from effnet.quantities import billions, millions, size_text
from effnet.report.tables import text_table

_REASONS = 4
"""Told of each network; --json has all."""


def text(found: Recommendation) -> str:
    """Return all of it in lines."""
    parts = [_table(found)]
    for number, choice in enumerate(found.choices, 1):
        parts.append(_choice(number, choice))
    said = [f"- {advice.text} [{advice.source}]" for advice in found.advice]
    said += [f"- {sentence}" for sentence in found.disagreements]
    if said:
        parts.append("\n".join(["before you decide", *said]))
    if found.left_out:
        why: dict[str, list[str]] = {}
        for entry in found.left_out:
            why.setdefault(entry.why, []).append(entry.name)
        parts.append("\n".join(["left out", *(f"- {', '.join(names)}: {reason}" for reason, names in why.items())]))
    return "\n\n".join(parts)


def _table(found: Recommendation) -> str:
    timed = any(choice.latency_ms is not None for choice in found.choices)
    hours = any(choice.train_hours is not None for choice in found.choices)
    headers = ["", "network", "points", "ImageNet top-1", "params", "MACs", "memory", "px"]
    headers += ["ms/image"] * timed + ["hours"] * hours
    rows = []
    for number, choice in enumerate(found.choices, 1):
        cells = [
            str(number),
            choice.name,
            f"{choice.score:.1f}",
            f"{choice.top1:.1f} %",
            millions(choice.params),
            billions(choice.macs),
            size_text(choice.memory_bytes),
            str(choice.resolution),
        ]
        if timed:
            cells.append("-" if choice.latency_ms is None else f"{choice.latency_ms:.1f}")
        if hours:
            cells.append("-" if choice.train_hours is None else f"{choice.train_hours:.2g}")
        rows.append(cells)
    return text_table(headers, rows, left=2)


def _choice(number: int, choice: Choice) -> str:
    lines = [f"{number}. {choice.label}"]
    lines += [f"   {reason.points:+.1f}  {reason.text} [{reason.source}]" for reason in choice.reasons[:_REASONS]]
    lines += [f"   train   {choice.train}", f"   export  {choice.export}"]
    return "\n".join(lines)

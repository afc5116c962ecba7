"""The fenced blocks of a page of documentation, and the sentence that excuses one from being run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PYTHON = ("python",)
SHELL = ("sh", "bash", "console")
READ = ("json", "toml", "yaml")
TEXT = ("text", "dockerfile", "ini", "mermaid", "promql", "html", "js", "http")

EXCUSE = re.compile(r"\*(?:Not run by the tests|테스트에서 실행하지 않음): (.{10,})\*")
"""Stands alone on the line before a block; a reader sees it too."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[\w-]*)[^\n]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block.

    Attributes:
        page: file, relative to the checkout.
        line: of its first line of content, from 1.
        language: as the fence names it.
        text: without the fences and their indentation.
        excuse: why it cannot be run here; None where it is run.
    """

    page: str
    line: int
    language: str
    text: str
    excuse: str | None


def pages() -> list[str]:
    """Return every page that a person reads: the READMEs, docs/ and the project's own pages."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def blocks(page: str, text: str | None = None) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    lines = (text if text is not None else (ROOT / page).read_text(encoding="utf-8")).splitlines()
    found: list[Block] = []
    number, spoken = 0, ""
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened is None:
            spoken = lines[number].strip() or spoken
            number += 1
            continue
        first = number + 1
        indent = opened["indent"]
        end = next(i for i in range(first, len(lines)) if lines[i].rstrip() == indent + opened["fence"])
        excuse = EXCUSE.fullmatch(spoken)
        found.append(
            Block(
                page=page,
                line=first + 1,
                language=opened["language"],
                text="\n".join(line.removeprefix(indent) for line in lines[first:end]),
                excuse=excuse[1] if excuse else None,
            )
        )
        number, spoken = end + 1, ""
    return found


def commands(page: str, text: str | None = None) -> list[str]:
    """Return the commands that a page names in passing: code spans that begin with `effnet ` and a verb."""
    body = text if text is not None else (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^ *```.*?^ *```", "", body, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"(?<!`)`(effnet [a-z][^`\n]*)`", prose)


def translated_from(page: str) -> str | None:
    """Return the English page whose code a Korean page repeats, comments apart; None where it has its own."""
    original = page.removeprefix("docs/ko/")
    if original == page or not (ROOT / "docs" / original).exists():
        return None

    def code(name: str) -> list[tuple[str, str, bool]]:
        return [(b.language, re.sub(r" *#.*", "", b.text), b.excuse is None) for b in blocks(name)]

    return f"docs/{original}" if code(page) == code(f"docs/{original}") else None

"""What mkdocs does beyond its configuration: links from a page to a source file lead to that file, shown as a page.

On a code host the same relative links lead to the file itself, so pages are written once.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(?<=\]\()(?P<up>(?:\.\./)+)(?P<path>(?!docs/)[\w./-]+)(?P<anchor>#[\w-]*)?(?=\))")
LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml", ".yaml": "yaml", ".md": "markdown", ".sh": "sh"}
_LONGEST = 200_000


def on_config(config: Any) -> Any:
    """Put guides (pages at the top of docs/) that the navigation does not name under Guides."""
    named = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    guides = next(entry["Guides"] for entry in config.nav if "Guides" in entry)
    guides += sorted(path.name for path in Path(config.docs_dir).glob("*.md") if path.name not in named)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add a page for every file outside docs/ that a page links to."""
    for file in list(files.documentation_pages()):
        for path in _linked(file.src_uri, (Path(config.docs_dir) / file.src_uri).read_text(encoding="utf-8")):
            if files.get_file_from_path(_page(path)) is None:
                files.append(File.generated(config, _page(path), content=_shown(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead the links to these pages."""

    def moved(match: re.Match[str]) -> str:
        target = _target(page.file.src_uri, match)
        if target is None:
            return match[0]
        return posixpath.relpath(_page(target), posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(moved, markdown)


def _linked(page: str, text: str) -> list[str]:
    targets = (_target(page, match) for match in LINK.finditer(text))
    return [target for target in dict.fromkeys(targets) if target is not None]


def _target(page: str, match: re.Match[str]) -> str | None:
    """Return the file that a link leads to, relative to the checkout; None where it stays inside docs/."""
    target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), match["up"] + match["path"]))
    return None if target.startswith(("docs/", "..")) or not (ROOT / target).is_file() else target


def _page(path: str) -> str:
    return f"source/{path}.md"


def _shown(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "\n..."
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"# {path}\n\n````{language}\n{shown.rstrip()}\n````\n"

"""Self-contained HTML pages: style, pictures and charts inside one file that can be mailed or archived."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence

_STYLE = """
:root { color-scheme: light dark;
        --ink: #1d2430; --paper: #ffffff; --soft: #f3f5f8; --line: #d9dee6; --accent: #2563a8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --paper: #14181f; --soft: #1d232d; --line: #333c49; --accent: #7fb2ec; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
       max-width: 62rem; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p.note { opacity: .75; font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
td.text, th.text { text-align: left; white-space: normal; overflow-wrap: break-word; }
td.text:last-child { overflow-wrap: anywhere; }
pre { font-size: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
code { white-space: nowrap; }
th { background: var(--soft); } th:first-child, td:first-child { text-align: left; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
.card { background: var(--soft); border-radius: .6rem; overflow: hidden; }
.card img { width: 100%; height: 14rem; object-fit: contain; display: block; }
.card div.body { padding: .7rem 1rem 1rem; }
.bar { display: grid; grid-template-columns: minmax(9rem, max-content) 1fr 5rem; gap: .6rem; align-items: center;
       font-size: .92rem; margin: .25rem 0; }
.bar .track { background: var(--line); border-radius: .3rem; height: .7rem; }
.bar .fill { background: var(--accent); border-radius: .3rem; height: .7rem; }
.bar .value { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 0; } figure img { max-width: 100%; background: #fff; border-radius: .4rem; }
figure svg { display: block; width: 100%; height: auto; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 1rem;
          align-items: start; }
@media (max-width: 40rem) {
  body { padding: 1rem .8rem 3rem; }
  th, td { padding: .3rem .35rem; white-space: normal; font-size: .88rem; } code { white-space: normal; }
  td.text { overflow-wrap: anywhere; min-width: 5rem; }
  td:has(+ td.text) { overflow-wrap: anywhere; min-width: 5rem; }
  .bar { grid-template-columns: minmax(6rem, 40%) 1fr 4rem; }
}
"""


def page(title: str, sections: Sequence[str], *, subtitle: str = "") -> str:
    """Return a whole page; `sections` are HTML fragments made by the functions below."""
    head = f"<p class='note'>{html.escape(subtitle)}</p>" if subtitle else ""
    body = "\n".join(sections)
    return (
        f"<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{head}\n{body}\n</body>\n</html>\n"
    )


def section(title: str, *fragments: str) -> str:
    """Return a titled part of a page."""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n" + "\n".join(fragments) + "\n</section>"


def heading(title: str) -> str:
    """Return the title of a part of a section."""
    return f"<h3>{html.escape(title)}</h3>"


def note(text: str) -> str:
    """Return a quiet paragraph; what stands between `backticks` is code, which is not broken into lines."""
    body = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return f"<p class='note'>{body}</p>"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[int] = ()) -> str:
    """Return a table; every row has as many cells as `headers`.

    The first column is left-aligned, and so are those that `text` numbers (from 0), whose lines also wrap.
    """

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = (" class='text'" if place in text else "" for place in range(len(values)))
        return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, values, strict=True))

    head = cells("th", headers) if any(headers) else ""
    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div class='scroll'><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"


def bars(rows: Sequence[tuple[str, float, str]], *, whole: float | None = None) -> str:
    """Return horizontal bars from (label, value, text).

    Args:
        whole: value of a bar that fills its track, such as 1 for probabilities; None: the largest value.
    """
    top = whole or max((value for _, value, _ in rows), default=0) or 1
    lines = [
        f"<div class='bar'><span>{html.escape(label)}</span>"
        f"<span class='track'><span class='fill' style='display:block;width:{100 * value / top:.1f}%'></span></span>"
        f"<span class='value'>{html.escape(text)}</span></div>"
        for label, value, text in rows
    ]
    return "\n".join(lines)


def cards(items: Sequence[tuple[bytes, str, str]]) -> str:
    """Return a grid of (JPEG bytes, caption, HTML body) cards."""
    cells = [
        f"<div class='card'><img src='{data_uri(picture, 'image/jpeg')}' alt='{html.escape(caption, quote=True)}'>"
        f"<div class='body'><strong>{html.escape(caption)}</strong>{body}</div></div>"
        for picture, caption, body in items
    ]
    return "<div class='cards'>" + "\n".join(cells) + "</div>"


def picture(data: bytes, mime: str, alt: str) -> str:
    """Return an image embedded in the page."""
    return f"<figure><img src='{data_uri(data, mime)}' alt='{html.escape(alt, quote=True)}'></figure>"


def drawing(svg: bytes, alt: str) -> str:
    """Return a chart that matplotlib drew as a part of the page, so that its ink follows the page's colours.

    Its width follows the page's too.
    """
    text = svg.decode("utf-8")
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # What is black has no colour of its own in places and so inherits; paper is left out.
    text = text.replace("fill: #ffffff", "fill: none").replace("stroke: #000000", "stroke: currentColor")
    text = text.replace("<svg ", "<svg fill='currentColor' role='img' ", 1)
    # Names of parts are the same in every chart; what they are of can differ.
    prefix = hashlib.sha256(svg).hexdigest()[:8]
    text = re.sub(r'(\bid="|"#|url\(#)', lambda found: f"{found.group()}c{prefix}-", text)
    return f"<figure>{text.strip().replace('>', f'><title>{html.escape(alt)}</title>', 1)}</figure>"


def beside(*fragments: str) -> str:
    """Return fragments side by side where there is room, below one another where there is not."""
    return "<div class='beside'>" + "\n".join(f"<div>{fragment}</div>" for fragment in fragments) + "</div>"


def data_uri(data: bytes, mime: str) -> str:
    """Return `data` as a data: address."""
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"

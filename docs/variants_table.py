"""Write the variants table into both READMEs: `python docs/variants_table.py`."""

from __future__ import annotations

from pathlib import Path

from effnet.cost import cost
from effnet.families import find, names
from effnet.weights.published import default

ROOT = Path(__file__).parent.parent
HEADERS = {
    "README.md": ("name", "parameters", "MACs (G)", "train / eval px", "top-1 (%) @ px", "default weights"),
    "README.ko.md": ("이름", "매개변수", "MAC (G)", "학습 / 평가 px", "top-1 (%) @ px", "기본 가중치"),
}


def table(headers: tuple[str, ...]) -> str:
    """Return the table in Markdown."""
    lines = ["| " + " | ".join(headers) + " |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for name in names():
        spec, weights = find(name), default(name)
        counted, accuracy = cost(spec), weights.accuracy[0]
        cells = (
            f"`{name}`",
            f"{counted.params:,}",
            f"{counted.macs / 1e9:.3f}",
            f"{spec.train_resolution} / {spec.resolution}",
            f"{accuracy.top1:.1f} @ {accuracy.resolution}",
            f"`{weights.tag}`",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Replace what stands between the two marks."""
    for readme, headers in HEADERS.items():
        path = ROOT / readme
        text = path.read_text(encoding="utf-8")
        before, rest = text.split("<!-- variants:begin -->")
        _, after = rest.split("<!-- variants:end -->")
        body = f"{before}<!-- variants:begin -->\n{table(headers)}\n<!-- variants:end -->{after}"
        path.write_text(body, encoding="utf-8")


if __name__ == "__main__":
    main()

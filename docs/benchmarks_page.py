"""Write the page of benchmarks from the measurements that are committed: `python docs/benchmarks_page.py`.

A results file becomes a section: what was measured, on what, and every figure in it. Nothing is chosen or left out but
raw repetitions, which are summed up as their number, median and range.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"

HEAD = """# Benchmarks

Every figure here was measured by a script in `benchmarks/`, written by it to `benchmarks/results/`, and put on this
page by `docs/benchmarks_page.py`; a test fails where the page and the files differ. Nobody edits the numbers.

How to read them:

- **Ratios hold within one run on one machine.** Rivals are measured interleaved, in the same process or in turn, so
  that a slow minute of the machine hits all. Times of two runs must not be compared.
- Two cores of a shared virtual machine are noisy: differences under about 20 % of a latency are ties unless the range
  says otherwise.
- Small data and short trainings say what happens to small data and short trainings.
- What does not look good stays on the page.
"""

# What a results file is about, where it does not say so itself.
WHAT = {
    "experiment_axes": "Depth, width, resolution and compound scaling at equal MACs, on 600 images of CIFAR-10",
    "experiment_scaling": "The grid search for alpha, beta and gamma, on 600 images of CIFAR-10",
    "experiment_search": "An architecture search for a latency, with random candidates of equal cost as its control",
    "finetune_accuracy_digits": "Fine-tuning Lite0 on scikit-learn's handwritten digits, held-out images",
    "finetune_accuracy_hymenoptera": "Fine-tuning on 244 photographs of ants and bees, held-out images",
    "kill_resume": "Trainings killed at random moments and resumed: how many ended bit for bit as the undisturbed one",
    "latency_model": "How well the latency table predicts networks that it has not seen",
    "progressive_learning": "Progressive learning against a fixed size: Lite0, 1,000 images of CIFAR-10",
    "search_kills": "Workers of a shared study killed every few seconds: units lost or counted twice",
    "supernet_rank": "Whether a supernet ranks candidates as short trainings do (Kendall's tau)",
}

# Where somebody's data lay says nothing to a reader.
_FOLDERS = re.compile(r"(?:(?<=[\s:])|^)(?:\.{0,2}/)(?:[\w.-]+/)*(?=[\w.-]+\.)")

_ROWS = 40
_LIST = 8


def page(results: Mapping[str, Any]) -> str:
    """Return the page for results by file name without ending."""
    sections = [section(name, data) for name, data in sorted(results.items())]
    return "\n".join([HEAD, *sections]).rstrip() + "\n"


def section(name: str, data: Any) -> str:
    """Return one results file as a section."""
    body = dict(data) if isinstance(data, dict) else {"results": data}
    what = str(body.pop("what", "") or WHAT.get(name, ""))
    lines = [f"## {name.replace('_', ' ').capitalize()}", ""]
    if what:
        lines += [f"{what[0].upper()}{what[1:]}.", ""]
    machine = body.pop("machine", None)
    if isinstance(machine, dict):
        lines += [f"*{_machine(machine)}*", ""]
    command = body.pop("command", None)
    if isinstance(command, str):
        lines += [f"`{_FOLDERS.sub('', command)}`", ""]
    tables = {key: value for key, value in body.items() if _is_table(value)}
    rows = [row for key, value in body.items() if key not in tables for row in _leaves(key, value)]
    if rows:
        lines += ["| figure | value |", "| --- | ---: |", *(f"| {key} | {value} |" for key, value in rows), ""]
    for key, value in tables.items():
        lines += [f"**{_words(key)}**", "", *_table(value), ""]
    lines += [f"Source: [`{name}.json`](../benchmarks/results/{name}.json)", ""]
    return "\n".join(lines)


def _machine(machine: Mapping[str, Any]) -> str:
    known = ("processor", "cores", "memory_gb", "system")
    head = f"{machine.get('processor', '?')}, {machine.get('cores', '?')} cores, {machine.get('memory_gb', '?')} GB"
    versions = [f"{name} {value}" for name, value in machine.items() if name not in known and not _nested(value)]
    return ", ".join([head, *versions])


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if set(value) == {"processor", "cores", "memory_gb", "system", *value} and "processor" in value:
            yield _words(name), _machine(value)
            return
        for key, inner in value.items():
            yield from _leaves(f"{name} / {key}", inner)
    elif isinstance(value, list):
        yield _words(name), _list(value)
    elif value is not None and value != "":
        yield _words(name), _value(value)


def _list(values: list[Any]) -> str:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values) > _LIST:
        middle, low, high = (_value(v) for v in (statistics.median(numbers), min(numbers), max(numbers)))
        return f"{len(values)} values, median {middle} ({low} to {high})"
    if any(isinstance(v, dict) for v in values) or len(values) > _LIST:
        return f"{len(values)} entries"
    return ", ".join(_value(v) for v in values)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    flat = [{key: text for name, value in row.items() for key, text in _leaves(str(name), value)} for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(row.get(column, "") for column in columns) + " |" for row in flat[:_ROWS]]
    if len(flat) > _ROWS:
        lines += ["", f"and {len(flat) - _ROWS} more rows in the file."]
    return lines


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("|", "\\|")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def read(folder: Path = RESULTS) -> dict[str, Any]:
    """Return every results file by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(read()), encoding="utf-8")


if __name__ == "__main__":
    main()

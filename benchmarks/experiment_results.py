"""Copies the figures of experiments into `results/`, with the machine they were made on and the command.

    python benchmarks/experiment_results.py search RUN
    python benchmarks/experiment_results.py axes RUN
    python benchmarks/experiment_results.py scaling RUN

The commands that made the committed ones are in docs/search.md.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from machine import describe


def slim(value: Any) -> Any:
    """Return the figures without specs, plans and choices, which a run folder has."""
    if isinstance(value, dict):
        return {key: slim(part) for key, part in value.items() if key not in ("spec", "plan", "choices", "scores")}
    if isinstance(value, list):
        return [slim(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


def without_places(command: str) -> str:
    """Return a command with PHOTOGRAPHS for the place of the data and RUN for the folder: neither is anybody else's."""
    return re.sub(r"(?<=[ :])[^\s:]*/[^\s:]*", "PHOTOGRAPHS", re.sub(r"--run \S+", "--run RUN", command))


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["search", "axes", "scaling"])
    parser.add_argument("run", type=Path)
    arguments = parser.parse_args()
    results = json.loads((arguments.run / "results.json").read_text())
    command = (arguments.run / "command.txt").read_text().strip()
    command = without_places(command)
    written = {"command": command, "machine": describe("torch", "optuna"), **slim(results)}
    file = Path(__file__).parent / "results" / f"experiment_{arguments.kind}.json"
    file.write_text(json.dumps(written, indent=1) + "\n")
    print(file)


if __name__ == "__main__":
    main()

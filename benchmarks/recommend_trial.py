"""`effnet recommend --try` on real photographs: which network it names, how surely, and how long it takes.

    EFFNET_OFFLINE=1 python benchmarks/recommend_trial.py PHOTOGRAPHS --max-minutes 18

Without the network only Lite0-2 have weights (extra: lite); what was left out, and why, is part of the result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe


def main() -> None:
    """Run the command as a person would, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--goal", default="balanced")
    parser.add_argument("--max-minutes", type=float, default=18.0)
    parser.add_argument("--report", type=Path, help="where to keep the page")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    name = Path(arguments.data).name
    options = ["--goal", arguments.goal, "--max-minutes", f"{arguments.max_minutes:g}"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "effnet.cli", "recommend", "--data", arguments.data, "--try", *options]
        began = time.monotonic()
        done = subprocess.run([*command, "--run", str(run), "--json"], stdout=subprocess.PIPE, text=True, check=True)
        minutes = (time.monotonic() - began) / 60
        found = json.loads(done.stdout)
        if arguments.report is not None:
            arguments.report.write_bytes((run / "report.html").read_bytes())
    keep = ("goal", "better", "sure", "take", "sentences", "disagreements", "images", "judged", "train", "export")
    result = {
        "what": "effnet recommend --try: successive halving over the candidates whose weights can be had",
        "command": f"effnet recommend --data {name} --try {' '.join(options)}",
        "machine": describe("torch", "effnet"),
        "minutes": round(minutes, 2),
        **{key: found[key] for key in keep if key in found},
        "finalists": [{k: v for k, v in row.items() if k != "model"} for row in found["finalists"]],
        "trials": [{k: v for k, v in row.items() if k != "model"} for row in found["trials"]],
        "measured": found["measured"],
        "left_out": found["left_out"],
    }
    text = json.dumps(result, indent=2).replace(arguments.data, name)
    output = arguments.output or Path(__file__).parent / "results" / f"recommend_trial_{name}.json"
    output.write_text(text + "\n", "utf-8")
    print(f"{found['better']} in {minutes:.1f} minutes: {output}")


if __name__ == "__main__":
    main()

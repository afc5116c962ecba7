"""One of three workers killed every few seconds for two minutes: no trial lost, none doubled.

    python benchmarks/search_kills.py                      # a journal in a file
    python benchmarks/search_kills.py --storage postgresql://user@host/empty

Each worker does units of a quarter of a second; a killed one is replaced at once. The proof is in the storage: every
unit has exactly one finished trial.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import optuna
from machine import describe
from optuna.trial import TrialState

from effnet.search.storage import database, journal
from effnet.search.study import Study

WORKER = """
import sys, time
from pathlib import Path
from effnet.search.storage import database, journal
from effnet.search.study import Study
where, units = sys.argv[1], int(sys.argv[2])
storage = database(where) if "://" in where else journal(Path(where))
study = Study.open(storage, "kills", plan={}, units=units)
while attempt := study.claim(lambda index, earlier, chance: {"item": index}):
    time.sleep(0.25)
    study.finish(attempt, values=[float(attempt.payload["item"])], result={})
"""


def main() -> None:
    """Kill for a while, let the rest be done, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", help="address of an empty PostgreSQL database")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--units", type=int, default=700)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "search_kills.json")
    arguments = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        where = arguments.storage or str(Path(folder) / "study.journal")
        storage = database(where) if arguments.storage else journal(Path(where))

        def started() -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-c", WORKER, where, str(arguments.units)], start_new_session=True)

        workers = [started() for _ in range(3)]
        began, kills = time.monotonic(), 0
        while time.monotonic() - began < arguments.seconds:
            time.sleep(rng.uniform(2, 5))
            place = rng.randrange(3)
            if workers[place].poll() is None:
                os.killpg(workers[place].pid, signal.SIGKILL)
                workers[place].wait()
                kills += 1
            workers[place] = started()
        for worker in workers:
            worker.wait(timeout=1200)
        seconds = time.monotonic() - began
        study = Study.open(storage, "kills", plan={}, units=arguments.units)
        records = study.records()
        trials = optuna.load_study(study_name="kills", storage=storage).get_trials(deepcopy=False)
    finished = Counter(t.user_attrs.get("unit", t.number) for t in trials if t.state == TrialState.COMPLETE)
    result = {
        "what": "three workers, one killed (SIGKILL) every 2 to 5 seconds and replaced",
        "storage": "PostgreSQL" if arguments.storage else "journal file",
        "machine": describe("optuna"),
        "seconds": round(seconds, 1),
        "kills": kills,
        "units": arguments.units,
        "units_complete": sum(record.state == "complete" for record in records),
        "units_given_up": sum(record.state == "failed" for record in records),
        "units_finished_twice": sum(count > 1 for count in finished.values()),
        "payloads_in_order": [record.payload.get("item") for record in records] == list(range(arguments.units)),
        "attempts": len(trials),
        "units_tried_again": sum(record.attempts > 1 for record in records),
    }
    print(json.dumps(result, indent=2))
    held = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    arguments.output.write_text(json.dumps(held | {result["storage"]: result}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Killing one checkpoint save before each of its system calls, and failing the calls that write.

    python -m tests.faults.syscalls

A child is forked for every case, stopped before it saves, and continued under strace, which kills it on entry to the
n-th call of a name or lets that call fail. Prints what happened as JSON; exits 3 where strace cannot attach.
"""

from __future__ import annotations

import collections
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from effnet.training.checkpoint import CheckpointStore
from effnet.weights.atomic import StorageError
from tests.training.runs import digest

_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_REFUSED = 7


def state(step: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(step)
    return {"step": step, "network": {name: torch.randn(40, 50, generator=generator) for name in "abc"}}


def traced_save(folder: Path, step: int, inject: str | None = None) -> tuple[int, list[tuple[str, str]]]:
    """Save in a child; return its exit status and its system calls as (name, arguments)."""
    child = os.fork()
    if not child:
        os.kill(os.getpid(), signal.SIGSTOP)
        status = 1
        try:
            CheckpointStore(folder).save(state(step), step)
            status = 0
        except StorageError:
            status = _REFUSED
        finally:
            os._exit(status)
    os.waitpid(child, os.WUNTRACED)
    trace = folder.parent / "trace"
    command = [
        "strace",
        "-f",
        "-y",
        "-o",
        str(trace),
        "-p",
        str(child),
        *(["-e", f"inject={inject}"] if inject else []),
    ]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    attached = tracer.stderr.readline()
    os.kill(child, signal.SIGCONT)
    if "attached" not in attached:
        os.kill(child, signal.SIGKILL)
        sys.stderr.write(attached)
        sys.exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    tracer.communicate()
    return status, [match.groups() for line in trace.read_text().splitlines() if (match := _CALL.match(line))]  # type: ignore[misc]


def in_folder(inject: str | None) -> tuple[int, list[tuple[str, str]], int]:
    """Save step 3 beside steps 1 and 2; return status, calls, and the step that is read back afterwards."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "checkpoints"
        for step in (1, 2):
            CheckpointStore(folder).save(state(step), step)
        status, calls = traced_save(folder, 3, inject)
        restored = CheckpointStore(folder).load()
        assert restored is not None and not restored.skipped
        assert digest(restored.state) == digest(state(restored.step))
        if status == _REFUSED:
            assert sorted(p.name for p in folder.iterdir()) == [f"step-{n:09}.safetensors" for n in (1, 2)]
        # The run goes on, whatever was left lying about.
        CheckpointStore(folder).save(state(4), 4)
        after = CheckpointStore(folder).load()
        assert after is not None and after.step == 4
        return status, calls, restored.step


def order(calls: list[tuple[str, str]]) -> list[str]:
    """Return what touches the disk for good, in order."""
    found = []
    for name, arguments in calls:
        if name in ("fsync", "fdatasync"):
            found.append("flush file" if ".tmp" in arguments else "flush folder")
        elif name.startswith("rename") and ".tmp" not in arguments.rpartition(", ")[2]:
            found.append("rename")
        elif name.startswith("unlink") and "step-" in arguments and ".tmp" not in arguments:
            found.append("remove old")
    return found


def main() -> None:
    torch.set_num_threads(1)
    status, calls, step = in_folder(None)
    assert (status, step) == (0, 3)
    outcomes: dict[str, int] = collections.Counter()
    seen: dict[str, int] = collections.Counter()
    for name, _ in calls:
        seen[name] += 1
        if name in ("exit_group", "exit"):
            continue
        status, _, step = in_folder(f"{name}:signal=SIGKILL:when={seen[name]}")
        outcomes["killed" if status == -signal.SIGKILL else "not reached"] += 1
        outcomes[f"step {step} afterwards"] += 1
    refused = {}
    for case in ("write ENOSPC", "write EIO", "fsync EIO", "rename ENOSPC", "rename EIO"):
        name, error = case.split()
        status, _, step = in_folder(f"{name}:error={error}:when=1")
        refused[case] = [status == _REFUSED, step]
    sys.stdout.write(
        json.dumps({"calls": len(calls), "order": order(calls), "outcomes": outcomes, "refused": refused}) + "\n"
    )


if __name__ == "__main__":
    main()

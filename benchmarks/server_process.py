"""`effnet serve` as a process of its own on chosen cores, and the bare engine on the same ones."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BARE = """
import json, sys, time
from pathlib import Path
from effnet.data.decode import decode
from effnet.data.preprocess import to_pixels
from effnet.deploy.predictor import BundlePredictor
bundle, threads, seconds, *paths = sys.argv[1:]
model = BundlePredictor(bundle, threads=int(threads))
images = [Path(path).read_bytes() for path in paths]
def one(data):
    return list(model.name(model.classify([to_pixels(decode(data), model.preprocess)]), 5))
for data in images[:5]:
    one(data)
done, began = 0, time.perf_counter()
while time.perf_counter() - began < float(seconds):
    one(images[done % len(images)])
    done += 1
print(json.dumps({"rate": done / (time.perf_counter() - began)}))
"""


@dataclass(slots=True)
class Server:
    process: subprocess.Popen[bytes]
    port: int
    banner: list[str]

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> float:
        found = re.findall(rf"^{re.escape(name)} (\S+)$", self.get("/metrics"), re.MULTILINE)
        return float(found[0]) if found else 0.0

    def family(self) -> list[int]:
        """Return the process and its children."""
        pids = [self.process.pid]
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            pids += [int(pid) for pid in (task / "children").read_text().split()]
        return pids

    def memory_mb(self) -> float:
        """Return the memory that the process and its children have to themselves, and their part of what is shared."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)[0])
        return total / 1024

    def cpu_seconds(self) -> float:
        """Return the processor time of the process and its living children."""
        ticks = 0
        for pid in self.family():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def serving(bundle: Path, *options: str, cores: Sequence[int] | None = None) -> Iterator[Server]:
    """Start a server, wait until it is ready, and kill what is left of it at the end."""
    command = [sys.executable, "-m", "effnet.cli", "serve", str(bundle), "--port", "0", "--log", "none", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=_on(cores))
    assert process.stderr is not None
    banner: list[str] = []
    try:
        for line in process.stderr:
            banner.append(line.decode().rstrip())
            if "access" in banner[-1]:
                break
        if process.poll() is not None or not banner:
            raise SystemExit("the server does not start: " + " ".join(banner))
        port = int(re.findall(r"http://[^ ]+:(\d+)", " ".join(banner))[0])
        yield Server(process, port, banner)
    finally:
        process.kill()
        process.wait()


def bare_rate(bundle: Path, images: Sequence[Path], *, threads: int, seconds: float, cores: Sequence[int]) -> float:
    """Return images a second of one loop that decodes, prepares, computes and names, one image after the other."""
    command = [sys.executable, "-c", BARE, str(bundle), str(threads), str(seconds), *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=_on(cores))
    return float(json.loads(done.stdout)["rate"])


def wait_ended(server: Server, seconds: float) -> float | None:
    """Return the seconds until the process has ended; None when it has not."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if server.process.poll() is not None:
            return time.perf_counter() - began
        time.sleep(0.05)
    return None


def _on(cores: Sequence[int] | None):  # type: ignore[no-untyped-def]
    if cores is None or not hasattr(os, "sched_setaffinity"):
        return None
    return lambda: os.sched_setaffinity(0, cores)

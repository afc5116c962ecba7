"""A bundle opened and run once in a process of its own: `python -m effnet.deploy.server.trial`.

A running server does this before it opens a new bundle itself: what hangs or crashes there costs the trial, not the
server, and a process can be ended where a thread cannot.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from effnet.deploy.server.bundles import open_served
from effnet.deploy.server.confinement import die_with_parent
from effnet.deploy.server.limited import took_too_long
from effnet.deploy.server.model import measure
from effnet.errors import EffnetError, WeightsError

_REFUSED = 3
"""Exit status when the bundle is refused; the reason is on standard output."""


def try_bundle(
    path: Path, *, seconds: float, engine: str = "auto", threads: int | None = None, spinning: bool = False
) -> None:
    """Open a bundle and run it once, in another process.

    Args:
        path, engine, threads, spinning: as `open_served` takes them.
        seconds: that it may take.

    Raises:
        WeightsError: it cannot be opened or run, takes too long, or ends its process.
    """
    given = json.dumps({"path": os.fspath(path), "engine": engine, "threads": threads, "spinning": spinning})
    command = [sys.executable, "-P", "-m", __name__, given]
    environment = {name: value for name, value in os.environ.items() if name != "EFFNET_TOKEN"}
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise took_too_long(seconds) from None
    except OSError as error:
        raise WeightsError(f"cannot be tried: {error.strerror}", where=str(path)) from None
    if ended.returncode == _REFUSED:
        what, where, fix = json.loads(ended.stdout.splitlines()[-1])
        raise WeightsError(what, where=where, fix=fix)
    if ended.returncode != 0:
        raise WeightsError(
            f"opening it ends a process ({_end(ended.returncode)})", where=str(path), fix="export it again"
        )


def main(given: str) -> int:
    """Open and run once; return the exit status."""
    die_with_parent()
    options = json.loads(given)
    try:
        measure(open_served(Path(options.pop("path")), **options), 1)
    except EffnetError as error:
        sys.stdout.write(json.dumps([error.what, error.where, error.fix]) + "\n")
        return _REFUSED
    return 0


def _end(status: int) -> str:
    try:
        return signal.Signals(-status).name if status < 0 else f"status {status}"
    except ValueError:
        return f"signal {-status}"


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stdout.flush()
    os._exit(status)  # what a runtime does while it is unloaded says nothing about the bundle

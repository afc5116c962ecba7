"""A real PostgreSQL server, for the time of a test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def _programs() -> Path | None:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # Debian's place
    found = shutil.which("initdb")
    places = [*versions, *([Path(found).resolve().parent] if found else [])]
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Start a server of its own on a free port; yield the address of an empty database."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg")
    # PostgreSQL refuses to run as root; any other user will do.
    user = "nobody" if os.geteuid() == 0 else None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="effnet-pg-", dir="/tmp"))  # a short path: sockets need one
    if user:
        shutil.chown(folder, user)
    data = str(folder / "data")
    options = f"-p {port} -k {folder} -h 127.0.0.1"

    def run(*command: str) -> None:
        subprocess.run(command, user=user, check=True, capture_output=True, timeout=120, cwd=folder)

    run(str(programs / "initdb"), "-D", data, "-U", "effnet", "-A", "trust", "--no-sync")
    # pg_ctl's server keeps its outputs open, so they must not be pipes.
    start = [str(programs / "pg_ctl"), "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start"]
    subprocess.run(start, user=user, check=True, stdout=subprocess.DEVNULL, timeout=120, cwd=folder)
    try:
        yield f"postgresql://effnet@127.0.0.1:{port}/postgres"
    finally:
        run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)

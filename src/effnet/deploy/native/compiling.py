"""The library for this processor: compiled once from `source/`, kept under `home()/native`."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from effnet.errors import EffnetError, MissingDependencyError
from effnet.inference.cores import instruction_set
from effnet.weights.atomic import atomic_write, typed_os_errors
from effnet.weights.store import home

_SOURCE = Path(__file__).parent / "source"
_FLAGS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden")
"""Hidden: two libraries for two processors in one process must not find each other's loops."""

_PATIENCE_S = 300


def compiler() -> tuple[str, ...] | None:
    """Return the command of a C++ compiler, or None: `CXX`, else g++ or clang++, else that of the package ziglang."""
    if chosen := os.environ.get("CXX"):
        return tuple(shlex.split(chosen))
    for name in ("g++", "clang++", "c++"):
        if found := shutil.which(name):
            return (found,)
    return (sys.executable, "-m", "ziglang", "c++") if importlib.util.find_spec("ziglang") else None


def library(flags: tuple[str, ...] | None = None) -> ctypes.CDLL:
    """Return the compiled loops, compiled now if they were not before.

    Args:
        flags: what processor to compile for; None: this one.

    Raises:
        MissingDependencyError: there is no C++ compiler.
        EffnetError: it fails, or what it made cannot be loaded.
    """
    command = compiler()
    if command is None:
        raise MissingDependencyError(
            "there is no C++ compiler, which the native engine needs once",
            fix="install g++ or clang++, or: pip install 'effnet[native]'",
        )
    chosen = _for_this_processor() if flags is None else flags
    path = home() / "native" / f"{_key(command, chosen)}.so"
    if not path.is_file():
        with typed_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # another process may be at it
            if not path.is_file():
                _compile(command, chosen, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise EffnetError(f"cannot be loaded: {error}", where=str(path), fix="delete it and try again") from None


def _for_this_processor() -> tuple[str, ...]:
    return ("-mcpu=native",) if platform.machine() in ("aarch64", "arm64") else ("-march=native",)


def _key(command: tuple[str, ...], flags: tuple[str, ...]) -> str:
    """Name what is compiled: by its source, the compiler, the flags and the processor that `native` means."""
    digest = hashlib.sha256("\0".join((*command, *_FLAGS, *flags, platform.machine())).encode())
    digest.update(instruction_set())
    for file in sorted(_SOURCE.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:32]


def _compile(command: tuple[str, ...], flags: tuple[str, ...], path: Path) -> None:
    with atomic_write(path) as temporary, tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "native.so"
        line = [*command, *_FLAGS, *flags, str(_SOURCE / "engine.cpp"), "-o", str(made)]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EffnetError(f"cannot be run: {error}", where=command[0], fix="set CXX to a C++17 compiler") from None
        if done.returncode:
            said = next((text for text in done.stderr.splitlines() if "error" in text), done.stderr[:200])
            what = f"does not compile the native engine: {said.strip()[:300]}"
            raise EffnetError(what, where=command[0], fix="set CXX to a C++17 compiler such as g++ 12 or clang++ 16")
        shutil.copyfile(made, temporary)

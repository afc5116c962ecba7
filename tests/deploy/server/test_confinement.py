"""What a decoder may still do when it is ready: nothing but decode. Each call is tried in a child, for its refusal."""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from effnet.data.decode import decode
from effnet.deploy.server import decoder
from effnet.deploy.server.confinement import forbid_calls, hide_memory, is_filtered
from tests.deploy.server.running import running

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def in_child(call: Callable[[], Any]) -> Any:
    """Return what a call returns in a child process."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        try:
            answer = json.dumps(call())
        except BaseException as error:
            answer = json.dumps(f"{type(error).__name__}: {error}")
        os.write(into, answer.encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    return json.loads(answer)


def can_filter() -> bool:
    return bool(in_child(forbid_calls) is True)


needs_filter = pytest.mark.skipif(not can_filter(), reason="this system cannot take calls from a process")


def refused(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "allowed"


def confined(call: Callable[[], Any]) -> Any:
    def child() -> Any:
        decoder._warm_up()
        decoder._forbid(1 << 30)
        return call()

    return in_child(child)


@needs_filter
def test_a_decoder_may_begin_reach_and_change_nothing(tmp_path: Path) -> None:
    parent, victim, folder = os.getpid(), tmp_path / "victim", tmp_path / "folder"
    victim.write_text("x")
    libc = ctypes.CDLL(None, use_errno=True)

    class Piece(ctypes.Structure):
        _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))

    marker, copy = ctypes.create_string_buffer(b"a token"), ctypes.create_string_buffer(7)
    theirs, ours = Piece(ctypes.addressof(marker), 7), Piece(ctypes.addressof(copy), 7)

    def raw(call: Callable[[], int]) -> Callable[[], None]:
        def checked() -> None:
            if call() < 0:
                raise OSError(ctypes.get_errno(), "refused")

        return checked

    calls: dict[str, Callable[[], object]] = {
        "fork": os.fork,
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "vfork": raw(lambda: libc.syscall(58 if os.uname().machine == "x86_64" else 220, 0x4111, 0, 0, 0, 0)),
        "read parent": raw(
            lambda: libc.process_vm_readv(parent, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, ctypes.c_ulong(0))
        ),
        "trace parent": raw(lambda: libc.ptrace(16, parent, 0, 0)),
        "signal parent": lambda: os.kill(parent, 0),
        "limit parent": lambda: resource.prlimit(parent, resource.RLIMIT_CPU),
        "open": lambda: os.open(victim, os.O_RDONLY),
        "unlink": victim.unlink,
        "rename": lambda: victim.rename(folder),
        "link": lambda: os.link(victim, folder),
        "symlink": lambda: folder.symlink_to(victim),
        "truncate": lambda: os.truncate(victim, 0),
        "chmod": lambda: victim.chmod(0o777),
        "mkdir": folder.mkdir,
        "stat": victim.stat,
        "list": lambda: list(tmp_path.iterdir()),
        "socket": socket.socket,
        "socketpair": socket.socketpair,
        "memfd": lambda: os.memfd_create("x"),
        "pidfd": lambda: os.pidfd_open(parent),
        "chdir": lambda: os.chdir("/"),
        "setuid": lambda: os.setuid(os.getuid()),
    }
    answers = confined(lambda: {name: refused(call) for name, call in calls.items()})
    assert answers == dict.fromkeys(calls, "EPERM")
    assert victim.read_text() == "x"
    assert copy.raw == bytes(7)


@needs_filter
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(40, 30), (2000, 1500)])
def test_a_decoder_decodes_every_format(kind: str, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, kind)
    pixels = list(decode(data.getvalue()).resize((2, 2)).tobytes())
    assert confined(lambda: list(decode(data.getvalue()).resize((2, 2)).tobytes())) == pixels


@needs_filter
def test_a_decoder_may_use_threads_and_its_own_clock_and_limits() -> None:
    def call() -> list[str]:
        done: list[str] = []
        thread = threading.Thread(target=lambda: done.append("thread"))
        thread.start()
        thread.join()
        decoder._allow_processor(1.0)
        time.sleep(0.001)
        return [*done, str(time.process_time() > 0)]

    assert confined(call) == ["thread", "True"]


@needs_filter
def test_a_program_of_another_interface_of_the_kernel_is_refused() -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("there is only one")
    x32_getpid = 0x40000000 | 39
    assert confined(lambda: ctypes.CDLL(None).syscall(x32_getpid)) == -1


@needs_filter
def test_children_of_a_server_are_confined_and_it_says_so() -> None:
    with running("--set", "decoders=1") as server:
        assert "confined=yes" in server.wait_for(" decoders ")
        (child,) = server.children()
        assert is_filtered(child)
        assert not is_filtered(os.getpid())


def test_where_the_system_cannot_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    assert in_child(forbid_calls) is False


def test_a_server_can_not_be_looked_into() -> None:
    def dumpable() -> int:
        hide_memory()
        return int(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE

    if not sys.platform.startswith("linux"):
        pytest.skip("Linux's")
    assert in_child(dumpable) == 0
    with running("--set", "decoders=1") as server:
        assert Path(f"/proc/{server.process.pid}/environ").stat().st_uid == 0


def test_a_decoder_that_works_dies_with_its_parent() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("Linux's")
    working = (
        "from effnet.deploy.server.confinement import die_with_parent\n"
        "die_with_parent(); print(1, flush=True)\n"
        "while True: pass"
    )
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {working!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and ") Z" not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)

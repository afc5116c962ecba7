"""What Linux can take away from a process for good: system calls, new rights, its parent's end, being looked into.

By `ctypes`, as Python has no names for these calls. Where the system lacks one, nothing is raised: `is_filtered` tells
afterwards, from outside, whether a process is held.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import signal
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PDEATHSIG, _DUMPABLE, _SECCOMP, _NO_NEW_PRIVS = 1, 4, 22, 38
_SET_FILTER, _ALL_THREADS, _FILTER_MODE = 1, 1, 2

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions of the packet filter: load a word, compare with a constant, end."""

_ALLOW, _REFUSE, _ABSENT = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_THREAD = 0x00010000
"""CLONE_THREAD: what is begun is a thread of this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """The numbers of one architecture.

    Attributes:
        audit: what the kernel calls it.
        allowed: calls that reach nothing but memory, time, open descriptors and this process.
        clone, clone3, prlimit, seccomp: of these calls.
        foreign: numbers from here on are another interface of the same kernel; None: there is none.
    """

    audit: int
    allowed: tuple[int, ...]
    clone: int
    clone3: int = 435
    prlimit: int
    seccomp: int
    foreign: int | None = None


# In this order: recvfrom, sendmsg, futex, mmap, munmap, brk, mremap, madvise, mprotect, clock_gettime, read, readv,
# pread64, recvmsg, write, writev, sendto, close, lseek, poll/ppoll, select/pselect6, shutdown, exit, exit_group,
# restart_syscall, rt_sigaction, rt_sigprocmask, rt_sigreturn, rt_sigpending, sigaltstack, getpid, gettid, getppid,
# getuid, geteuid, getgid, getegid, getrlimit, getrusage, times, gettimeofday, clock_getres, nanosleep, clock_nanosleep,
# sched_yield, sched_getaffinity, getcpu, uname, sysinfo, getrandom, membarrier, set_robust_list, get_robust_list,
# set_tid_address, rseq, fstat, (time,) setrlimit.
_X86: tuple[int, ...] = (
    45,
    46,
    202,
    9,
    11,
    12,
    25,
    28,
    10,
    228,
    0,
    19,
    17,
    47,
    1,
    20,
    44,
    3,
    8,
    7,
    271,
    23,
    270,
    48,
    60,
    231,
    219,
)
_X86 += (13, 14, 15, 127, 131, 39, 186, 110, 102, 107, 104, 108, 97, 98, 100, 96, 229, 35, 230, 24, 204, 309, 63, 99)
_X86 += (318, 324, 273, 274, 218, 334, 5, 201, 160)
_ARM: tuple[int, ...] = (
    207,
    211,
    98,
    222,
    215,
    214,
    216,
    233,
    226,
    113,
    63,
    65,
    67,
    212,
    64,
    66,
    206,
    57,
    62,
    73,
    72,
    210,
    93,
    94,
    128,
)
_ARM += (134, 135, 139, 136, 132, 172, 178, 173, 174, 175, 176, 177, 163, 165, 153, 169, 114, 101, 115, 124, 123, 168)
_ARM += (160, 179, 278, 283, 99, 100, 96, 293, 80, 164)

_MACHINES = {
    "x86_64": _Machine(audit=0xC000003E, allowed=_X86, clone=56, prlimit=302, seccomp=317, foreign=0x40000000),
    "aarch64": _Machine(audit=0xC00000B7, allowed=_ARM, clone=220, prlimit=261, seccomp=277),
}


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def die_with_parent() -> None:
    """Have the system kill this process when the thread that began it ends, as it does when its process is killed."""
    _prctl(_PDEATHSIG, signal.SIGKILL)


def hide_memory() -> None:
    """Let no other process of the same user look into this one, nor the system write its memory to a file."""
    _prctl(_DUMPABLE, 0)


def forbid_new_rights() -> None:
    """Let no program that this process begins have more rights than it."""
    _prctl(_NO_NEW_PRIVS, 1)


def forbid_calls() -> bool:
    """Leave this process, and its threads, only memory, time and what is open; return whether the system does it.

    From then on every other call fails with EPERM: no file is opened or removed, no socket made, no process begun,
    signalled or looked into. Threads of its own may be begun, as decoders do, and its own limits lowered.
    """
    machine = _MACHINES.get(platform.machine())
    if not sys.platform.startswith("linux") or machine is None or struct.calcsize("P") != 8:
        return False
    forbid_new_rights()  # else only root may
    code = b"".join(_filter(machine))
    program = _Program(len(code) // 8, code)
    pointer = ctypes.byref(program)
    number, kind, which = ctypes.c_long(machine.seccomp), ctypes.c_ulong(_SET_FILTER), ctypes.c_ulong(_ALL_THREADS)
    if _libc().syscall(number, kind, which, pointer) == 0:
        return True
    return bool(_libc().prctl(_SECCOMP, ctypes.c_ulong(_FILTER_MODE), pointer, 0, 0) == 0)


def is_filtered(process: int) -> bool:
    """Whether a process has given up its calls, as the system tells."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    return any(line.split() == ["Seccomp:", str(_FILTER_MODE)] for line in status.splitlines())


def _filter(machine: _Machine) -> Iterator[bytes]:
    yield _step(_LOAD, _ARCHITECTURE)
    yield _step(_EQUAL, machine.audit, otherwise=0, then=1)
    yield _step(_RETURN, _REFUSE)
    yield _step(_LOAD, _NUMBER)
    if machine.foreign is not None:
        yield from _answer(_AT_LEAST, machine.foreign, _REFUSE)
    for number in machine.allowed:
        yield from _answer(_EQUAL, number, _ALLOW)
    yield from _answer(_EQUAL, machine.clone3, _ABSENT)  # its flags cannot be seen; the C library then uses clone
    yield _step(_EQUAL, machine.clone, otherwise=4)
    yield _step(_LOAD, _FIRST_ARGUMENT)
    yield from _answer(_ANY_BIT, _THREAD, _ALLOW)
    yield _step(_RETURN, _REFUSE)
    yield _step(_EQUAL, machine.prlimit, otherwise=3)
    yield _step(_LOAD, _FIRST_ARGUMENT)
    yield from _answer(_EQUAL, 0, _ALLOW)  # of this process
    yield _step(_RETURN, _REFUSE)


def _answer(test: int, value: int, answer: int) -> tuple[bytes, bytes]:
    return _step(test, value, otherwise=1), _step(_RETURN, answer)


def _step(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        _libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)

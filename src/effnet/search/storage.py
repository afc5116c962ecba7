"""Where a study is kept: a journal file for the workers of one machine, or a database for those of many.

journal("runs/search/study.journal")
database("postgresql://user:password@host/effnet")
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from effnet.errors import InputError, MissingDependencyError
from effnet.search.study import storage_errors

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "postgresql+psycopg": None}
_WAIT = 600.0
_TRIES = 5


def journal(path: Path) -> BaseStorage:
    """Open a journal file, or begin one; several processes may share it.

    A line that a killed machine left unfinished is cut off, as nobody was told that it was written.

    Raises:
        MissingDependencyError: optuna is not installed.
        StudyError: the file cannot be written.
    """
    _require("optuna")
    from filelock import FileLock
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with storage_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=_WAIT):
            _mend(path)
        # Optuna's type is private; it calls these two methods.
        return JournalStorage(JournalFileBackend(str(path), lock_obj=cast(Any, _Lock(path))))


def database(url: str) -> BaseStorage:
    """Open a PostgreSQL database, whose tables are made when they are not there.

    Args:
        url: `postgresql://user:password@host:port/name`.

    Raises:
        MissingDependencyError: optuna or psycopg is not installed.
        InputError: not the address of a PostgreSQL database.
        StudyError: the database does not answer.
    """
    _require("optuna")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _DRIVERS:
        fix = "give postgresql://user:password@host/name"
        raise InputError("not the address of a PostgreSQL database", where=f"--storage {scheme}", fix=fix)
    _require("psycopg", extra="postgresql")
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import ArgumentError, IntegrityError, ProgrammingError

    # A connection that the server has closed is noticed before it is used, and opened again.
    options: dict[str, Any] = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
    address = f"{_DRIVERS[scheme] or scheme}://{rest}"
    with storage_errors():
        for tries_left in reversed(range(_TRIES)):
            try:
                return RDBStorage(address, engine_kwargs=options)
            except (IntegrityError, ProgrammingError):
                # Another worker made the same tables at the same moment; the next look finds them.
                if not tries_left:
                    raise
                time.sleep(1 + random.random())
            except (ArgumentError, ValueError):
                fix = "give postgresql://user:password@host:port/name"
                raise InputError("not an address", where="--storage", fix=fix) from None
    raise AssertionError("unreachable")


class _Lock:
    """Unlike Optuna's own locks, one that the system takes back from a killed process at once."""

    def __init__(self, journal: Path) -> None:
        from filelock import FileLock

        self._lock = FileLock(f"{journal}.lock", timeout=_WAIT)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def _mend(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)


def _require(package: str, extra: str = "search") -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingDependencyError.for_extra(package, extra, "a study")

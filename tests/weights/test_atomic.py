"""A file is written whole or not at all, whatever fails and whenever."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections import namedtuple
from pathlib import Path

import pytest

from effnet.errors import EffnetError, InputError
from effnet.weights.atomic import StorageError, atomic_write, make_folder

OLD, NEW = b"old" * 1000, b"new" * 1000
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(OLD)
    return path


def write(path: Path, data: bytes = NEW, **options: int) -> None:
    with atomic_write(path, **options) as temp:
        temp.write_bytes(data)


def only(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def failing(number: int, *, call: int = 1):
    """A stand-in for a system call that fails with `number` at the given call and does nothing before."""
    calls = 0

    def fail(*args: object, **kwargs: object) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(number, os.strerror(number))

    return fail


def test_writes_a_new_file_and_replaces_an_old_one(tmp_path: Path, target: Path) -> None:
    write(tmp_path / "fresh")
    write(target)
    assert (tmp_path / "fresh").read_bytes() == target.read_bytes() == NEW
    assert only(tmp_path) == ["fresh", "model.safetensors"]


def test_the_temporary_file_is_in_the_same_folder_and_hidden(target: Path) -> None:
    with atomic_write(target) as temp:
        assert temp.parent == target.parent
        assert temp.name.startswith(".")
        assert target.read_bytes() == OLD
        temp.write_bytes(NEW)


def test_permissions_follow_the_umask_or_the_old_file(tmp_path: Path, target: Path) -> None:
    target.chmod(0o640)
    before = os.umask(0o027)
    try:
        write(target)
        write(tmp_path / "fresh")
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_is_written_through(tmp_path: Path, target: Path) -> None:
    link = tmp_path / "best"
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_bytes() == NEW


@pytest.mark.parametrize("length", [200, 255])
def test_long_names_work_up_to_the_limit(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("é" * (length // 2) + "x" * (length % 2))
    write(path)
    assert path.read_bytes() == NEW
    assert only(tmp_path) == [path.name]


def test_the_order_is_fsync_rename_fsync_folder(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(handle: int) -> None:
        done.append("fsync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "fsync file")
        fsync(handle)

    def spy_replace(*args: object) -> None:
        done.append("rename")
        replace(*args)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    write(target)
    assert done == ["fsync file", "rename", "fsync folder"]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failing_block_leaves_the_old_file(target: Path, kind: type[BaseException]) -> None:
    with pytest.raises(kind), atomic_write(target) as temp:
        temp.write_bytes(NEW[:10])
        raise kind
    assert target.read_bytes() == OLD
    assert only(target.parent) == [target.name]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file(
    target: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    monkeypatch.setattr(os, call, failing(number))
    with pytest.raises(StorageError) as caught:
        write(target)
    assert target.read_bytes() == OLD
    assert only(target.parent) == [target.name]
    assert str(target) in str(caught.value)
    assert caught.value.fix
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_folder_that_cannot_be_synced_is_reported(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO, call=2))
    with pytest.raises(StorageError, match="disk failed"):
        write(target)
    assert only(target.parent) == [target.name]


def test_a_folder_without_fsync_is_accepted(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL, call=2))
    write(target)
    assert target.read_bytes() == NEW


def test_a_full_disk_names_what_is_needed_and_what_is_free(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 5_000_000))
    with pytest.raises(StorageError) as caught:
        write(target, needs=18_800_000)
    assert "needs 18.8 MB" in str(caught.value)
    assert "5.0 MB free" in str(caught.value)
    assert target.read_bytes() == OLD


def test_enough_room_is_not_refused(target: Path) -> None:
    write(target, needs=len(NEW))
    assert target.read_bytes() == NEW


def test_a_full_disk_reported_by_native_code_is_recognised(target: Path) -> None:
    with pytest.raises(StorageError, match="disk is full"), atomic_write(target):
        raise ValueError("I/O error: No space left on device (os error 28)")
    assert only(target.parent) == [target.name]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_folder_that_is_not_ours(target: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def denied(path: object, *args: object) -> int:
        raise OSError(number, os.strerror(number), os.fspath(path))

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(StorageError, match="cannot be written"):
        write(target)
    assert target.read_bytes() == OLD


def test_a_missing_folder_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mkdir -p"):
        write(tmp_path / "no" / "such" / "file")
    assert only(tmp_path) == []


def test_a_folder_that_vanishes_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(EffnetError, match="folder does not exist"), atomic_write(folder / "file") as temp:
        temp.unlink()
        folder.rmdir()


def test_folders_and_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        write(tmp_path)
    with pytest.raises(InputError, match="regular file"):
        write(Path(os.devnull))
    assert Path(os.devnull).is_char_device()


def test_failures_of_other_files_are_not_explained_away(target: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(target):
        (tmp_path / "labels.txt").read_text()
    assert target.read_bytes() == OLD


@pytest.mark.parametrize("moment", ["block", "fsync", "replace", "after"])
def test_a_kill_leaves_the_old_file_or_the_new_one(target: Path, moment: str) -> None:
    script = f"""
        import os, signal
        from effnet.weights.atomic import atomic_write
        die = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        moment = {moment!r}
        real = os.replace
        if moment == "fsync":
            os.fsync = die
        elif moment == "replace":
            os.replace = die
        elif moment == "after":
            os.replace = lambda *args: (real(*args), die())
        with atomic_write({str(target)!r}) as temp:
            temp.write_bytes(b"new" * 1000)
            if moment == "block":
                die()
    """
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert target.read_bytes() == (NEW if moment == "after" else OLD)

    orphans = [p for p in target.parent.iterdir() if p != target]
    assert len(orphans) == (0 if moment == "after" else 1)
    for orphan in orphans:
        write(target)
        assert orphan.exists(), "a temporary file that may still be in use was removed"
        hours_ago = time.time() - 7200
        os.utime(orphan, (hours_ago, hours_ago))
    write(target)
    assert only(target.parent) == [target.name]


def test_a_real_limit_on_file_size_is_typed(target: Path) -> None:
    script = f"""
        import resource, signal
        from effnet.weights.atomic import StorageError, atomic_write, make_folder
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}))
        try:
            with atomic_write({str(target)!r}) as temp:
                temp.write_bytes(bytes(1 << 20))
        except StorageError as error:
            print(error)
    """
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True)
    assert "disk is full" in child.stdout
    assert target.read_bytes() == OLD
    assert only(target.parent) == [target.name]


def test_a_storage_error_survives_the_way_between_processes() -> None:
    error = StorageError("the disk is full", where="x", fix="free some space")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (StorageError, str(error))


def test_a_folder_is_made_with_those_above_it_or_not_at_all_with_the_reason(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="in the way"):
            make_folder(path)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_disk_that_takes_no_folder_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match=os.strerror(code)):
        make_folder(tmp_path / "a")

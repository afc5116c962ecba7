"""Fetching survives every fault of this machine: kills, full disks, many processes, a cache that is not ours."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from effnet.errors import DownloadError
from effnet.weights import store
from effnet.weights.atomic import StorageError
from effnet.weights.digest import Expected, WrongFileError
from effnet.weights.download import download
from effnet.weights.published import PublishedWeights, find
from tests.faults.faulty_server import BODY, SHA256, Fault, Server, serving

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("EFFNET_OFFLINE", "HF_HUB_OFFLINE", "EFFNET_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# --- this machine -----------------------------------------------------------------------------------------------


def test_too_little_room_is_said_before_the_first_byte(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 1000))
    with pytest.raises(StorageError, match=r"needs 1\.0 MB, 1\.0 kB free"):
        download(server.url(), target, expected=Expected())
    assert names(target.parent) == []


def test_a_disk_that_fills_up_meanwhile(server: Server, target: Path) -> None:
    script = f"""
        import resource, signal
        from pathlib import Path
        from effnet.errors import EffnetError
        from effnet.weights.digest import Expected
        from effnet.weights.download import download
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        try:
            download({server.url()!r}, Path({str(target)!r}), expected=Expected(sha256={SHA256!r}))
        except EffnetError as error:
            print(type(error).__name__, error)
    """
    out = python(script).communicate(timeout=30)[0]
    assert out.startswith("StorageError")
    assert "disk is full" in out
    assert names(target.parent) == [], "it would keep the disk full"


def python(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)


def fetching(url: str, target: Path) -> str:
    return f"""
        from pathlib import Path
        from effnet.weights.digest import Expected
        from effnet.weights.store import fetch_url
        print(fetch_url({url!r}, Path({str(target)!r}), expected=Expected(sha256={SHA256!r})))
    """


def test_a_killed_download_is_resumed(server: Server, target: Path) -> None:
    server.plan = [Fault(stall_after=400_000)]
    child = python(fetching(server.url(), target))
    part = target.parent / "weights.pth.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    child.send_signal(signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    server.release.set()
    assert not target.exists()
    kept = part.stat().st_size

    assert store.fetch_url(server.url(), target, expected=Expected(sha256=SHA256)) == target
    assert target.read_bytes() == BODY
    assert server.ranges == [None, f"bytes={kept}-"]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_after_the_last_byte_costs_no_second_transfer(server: Server, target: Path, moment: str) -> None:
    kill = f"import os, signal; os.{moment} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)"
    child = python(f"{kill}\n{textwrap.dedent(fetching(server.url(), target))}")
    assert child.wait(30) == -signal.SIGKILL
    assert not target.exists()
    store.fetch_url(server.url(), target, expected=Expected(sha256=SHA256))
    assert target.read_bytes() == BODY
    assert len(server.log) == 1


def test_eight_processes_at_once_make_one_download(server: Server, target: Path) -> None:
    server.plan = [Fault(stall_after=500_000)]  # all of them are there before the first is done
    children = [python(fetching(server.url(), target)) for _ in range(8)]
    wait_for(lambda: len(server.log) == 1)
    time.sleep(0.5)
    server.release.set()
    answers = [child.communicate(timeout=60)[0].strip() for child in children]
    assert answers == [str(target)] * 8
    assert all(child.returncode == 0 for child in children)
    assert target.read_bytes() == BODY
    assert len(server.log) == 1, "the file was transferred more than once"


def test_when_the_one_that_downloads_dies_another_goes_on(server: Server, target: Path) -> None:
    server.plan = [Fault(stall_after=400_000)]
    first = python(fetching(server.url(), target))
    part = target.parent / "weights.pth.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    second = python(fetching(server.url(), target))
    time.sleep(0.5)
    first.kill()
    first.wait(10)
    assert second.communicate(timeout=30)[0].strip() == str(target)
    assert target.read_bytes() == BODY
    assert len(server.log) == 2


def test_ctrl_c_keeps_what_has_arrived(server: Server, target: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(server.url(), target, expected=Expected(), progress=interrupt)
    assert not target.exists()
    download(server.url(), target, expected=Expected(sha256=SHA256))
    assert names(target.parent) == [target.name]
    assert server.ranges[1] is not None


# --- the store on top -------------------------------------------------------------------------------------------


@pytest.fixture
def weights(server: Server, monkeypatch: pytest.MonkeyPatch) -> PublishedWeights:
    """Published weights whose digest is that of BODY, with the server as mirror."""
    monkeypatch.setenv("EFFNET_MIRROR", f"http://127.0.0.1:{server.server_port}/mirror/")
    return dataclasses.replace(find("efficientnet_b0.tv_in1k_v1"), sha256=SHA256[:8])


def test_a_mirror_is_asked_instead(server: Server, weights: PublishedWeights) -> None:
    path = store.fetch(weights)
    assert path.read_bytes() == BODY
    assert path == store.home() / "weights" / weights.tag / weights.file
    assert server.log[0][1] == f"/mirror/download.pytorch.org/models/{weights.file}"
    assert store.fetch(weights, offline=True) == path
    assert len(server.log) == 1
    [entry] = store.cached()
    assert (entry.tag, entry.path, entry.size, entry.proved) == (weights.tag, path, len(BODY), True)


def test_a_mirror_with_other_bytes_is_caught(server: Server, weights: PublishedWeights) -> None:
    server.body = BODY[:-1] + b"!"
    with pytest.raises(WrongFileError, match=SHA256[:8]):
        store.fetch(weights)
    assert store.cached() == ()


def test_an_insecure_mirror_is_refused(weights: PublishedWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFNET_MIRROR", "http://mirror.example.com")
    with pytest.raises(DownloadError, match="not a secure address"):
        store.fetch(weights)


def test_a_failure_says_where_the_file_could_be_put(server: Server, weights: PublishedWeights) -> None:
    server.always = Fault(status=404)
    with pytest.raises(DownloadError) as caught:
        store.fetch(weights)
    assert str(store.path_of(weights)) in str(caught.value)
    assert str(weights.url) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written(weights: PublishedWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    home = store.home()
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="EFFNET_HOME"):
        store.fetch(weights)


def test_the_last_size_is_checked_before_the_transfer(server: Server, weights: PublishedWeights) -> None:
    with pytest.raises(WrongFileError, match="expected 7"):
        store.fetch(dataclasses.replace(weights, size=7))
    assert store.cached() == ()


# --- the hub ----------------------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub_process(server: Server, tmp_path: Path, expected: str = "", offline: bool = False) -> subprocess.Popen[str]:
    """Fetch hub weights in a process of their own: the hub's library reads its settings when it is imported."""
    script = f"""
        import dataclasses
        from effnet.errors import EffnetError
        from effnet.weights import store
        from effnet.weights.published import find
        seen = []
        weights = dataclasses.replace(find("tf_efficientnet_b0.in1k"), sha256={expected!r} or None)
        try:
            print(store.fetch(weights, offline={offline}, progress=lambda *step: seen.append(step)))
            print(seen[-1:])
            print(sum(0 < done < total for done, total in seen))
        except EffnetError as error:
            print(type(error).__name__, error)
    """
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def hub(server: Server, tmp_path: Path, expected: str = "", offline: bool = False) -> str:
    child = hub_process(server, tmp_path, expected, offline)
    out, problems = child.communicate(timeout=60)
    assert child.returncode == 0, problems
    assert "%|" not in problems, "the library draws its own progress bar over ours"
    return out


@pytest.fixture
def hub_server(server: Server) -> Server:
    server.etag = f'"{SHA256}"'
    server.always = Fault(headers={"X-Repo-Commit": COMMIT})
    return server


def kept(tmp_path: Path) -> list[str]:
    return [p.name for p in (tmp_path / "home").rglob("*") if p.is_file() and not p.name.endswith(".lock")]


def test_hub_weights_arrive_proved(hub_server: Server, tmp_path: Path) -> None:
    lines = hub(hub_server, tmp_path).splitlines()
    assert Path(lines[0]).read_bytes() == BODY
    assert lines[1] == str([(len(BODY), len(BODY))])
    assert sorted(kept(tmp_path)) == ["model.safetensors", "model.safetensors.sha256"]
    assert f"/{COMMIT}/" in hub_server.log[-1][1], "the version that was promised is the one that is fetched"
    requests = len(hub_server.log)
    assert hub(hub_server, tmp_path, offline=True).splitlines()[0] == lines[0]
    assert len(hub_server.log) == requests


def test_hub_weights_with_other_bytes_than_stated_are_removed(hub_server: Server, tmp_path: Path) -> None:
    hub_server.body = BODY[:-1] + b"!"
    out = hub(hub_server, tmp_path)
    assert out.startswith("WrongFileError")
    assert SHA256 in out
    assert kept(tmp_path) == []


def test_hub_weights_other_than_pinned_are_removed(hub_server: Server, tmp_path: Path) -> None:
    out = hub(hub_server, tmp_path, expected="deadbeef")
    assert out.startswith("WrongFileError")
    assert "deadbeef" in out
    assert kept(tmp_path) == []


def test_a_hub_that_fails_for_a_moment(hub_server: Server, tmp_path: Path) -> None:
    hub_server.head_plan = [Fault(status=503)]
    assert Path(hub(hub_server, tmp_path).splitlines()[0]).read_bytes() == BODY


def test_a_hub_that_hangs_up_before_it_answers(hub_server: Server, tmp_path: Path) -> None:
    hub_server.head_plan = [Fault(hang_up=True)]
    hub_server.plan = [Fault(hang_up=True)]
    assert Path(hub(hub_server, tmp_path).splitlines()[0]).read_bytes() == BODY


def test_hub_weights_report_progress_on_the_way(hub_server: Server, tmp_path: Path) -> None:
    hub_server.plan = [dataclasses.replace(hub_server.always, stall_after=600_000)]
    child = hub_process(hub_server, tmp_path)
    wait_for(lambda: any(command == "GET" for command, *_ in hub_server.log))
    time.sleep(1)
    hub_server.release.set()
    lines = child.communicate(timeout=60)[0].splitlines()
    assert Path(lines[0]).read_bytes() == BODY
    assert int(lines[2]) >= 1


def test_killed_hub_downloads_leave_nothing_that_counts_as_weights(hub_server: Server, tmp_path: Path) -> None:
    hub_server.plan = [dataclasses.replace(hub_server.always, stall_after=600_000)]
    child = hub_process(hub_server, tmp_path)
    wait_for(lambda: any(command == "GET" for command, *_ in hub_server.log))
    time.sleep(0.5)
    child.kill()
    child.wait(10)
    hub_server.release.set()
    assert store.cached() == ()
    assert Path(hub(hub_server, tmp_path).splitlines()[0]).read_bytes() == BODY
    assert sorted(kept(tmp_path)) == ["model.safetensors", "model.safetensors.sha256"]


def test_hub_weights_behind_a_consent_form(hub_server: Server, tmp_path: Path) -> None:
    hub_server.always = Fault(status=403, headers={"X-Error-Code": "GatedRepo", "X-Request-Id": "1"})
    out = hub(hub_server, tmp_path)
    assert out.startswith("DownloadError")
    assert "hf auth login" in out


def test_weights_that_left_the_hub(hub_server: Server, tmp_path: Path) -> None:
    hub_server.always = Fault(status=404, headers={"X-Error-Code": "RepoNotFound", "X-Request-Id": "1"})
    out = hub(hub_server, tmp_path)
    assert out.startswith("DownloadError")
    assert "does not have it" in out
    assert "model.safetensors" in out.split("put it at")[1]


def test_a_hub_out_of_reach(hub_server: Server, tmp_path: Path) -> None:
    hub_server.server_port = 1  # nothing listens there
    out = hub(hub_server, tmp_path)
    assert out.startswith("DownloadError")
    assert out.count("\n") == 1

"""What is available is not what is free, and a container's limit counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from effnet.available_memory import available_memory

GIB = 1 << 30


def machine(root: Path, *, available: int = 16 * GIB, group: str = "0::/\n", **files: str) -> Path:
    """Write what a kernel would show; `files` by path, with `__` for `/`."""
    wanted = {
        "proc/meminfo": f"MemTotal: {32 << 20} kB\nMemFree:  300000 kB\nMemAvailable: {available >> 10} kB\n",
        "proc/self/cgroup": group,
    } | {name.replace("__", "/"): text for name, text in files.items()}
    for name, text in wanted.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_page_cache_is_available(tmp_path: Path) -> None:
    assert available_memory(machine(tmp_path)) == 16 * GIB


@pytest.mark.parametrize("inside", ["", "user.slice/run.scope"])
def test_a_limit_of_version_2_counts_less_what_is_used_but_not_its_idle_files(tmp_path: Path, inside: str) -> None:
    folder = "/".join(["sys/fs/cgroup", inside]).rstrip("/")
    root = machine(tmp_path, group=f"0::/{inside}\n")
    for name, text in (("max", f"{4 * GIB}\n"), ("current", f"{3 * GIB}\n"), ("stat", f"inactive_file {GIB}\n")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"memory.{name}").write_text(text)
    assert available_memory(root) == 2 * GIB


def test_the_tightest_group_on_the_way_up_decides(tmp_path: Path) -> None:
    root = machine(tmp_path, group="0::/outer/inner\n")
    for folder, limit in (("outer", f"{2 * GIB}"), ("outer/inner", "max")):
        (root / "sys/fs/cgroup" / folder).mkdir(parents=True)
        (root / "sys/fs/cgroup" / folder / "memory.max").write_text(limit)
        (root / "sys/fs/cgroup" / folder / "memory.current").write_text(f"{GIB}")
    assert available_memory(root) == GIB


def test_a_limit_of_version_1_counts_and_its_huge_number_is_none(tmp_path: Path) -> None:
    root = machine(tmp_path, group="5:cpu,memory:/docker/abc\n3:pids:/\n")
    folder = root / "sys/fs/cgroup/memory"  # a container sees its own group at the mount, not at the host's path
    folder.mkdir(parents=True)
    (folder / "memory.usage_in_bytes").write_text(f"{GIB}\n")
    (folder / "memory.stat").write_text(f"inactive_file 5\ntotal_inactive_file {GIB // 2}\n")
    (folder / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert available_memory(root) == 16 * GIB
    (folder / "memory.limit_in_bytes").write_text(f"{2 * GIB}\n")
    assert available_memory(root) == 3 * GIB // 2


def test_where_more_is_used_than_allowed_nothing_is_left(tmp_path: Path) -> None:
    root = machine(tmp_path, sys__fs__cgroup__memory_max="x")
    (root / "sys/fs/cgroup/memory.max").write_text("100")
    (root / "sys/fs/cgroup/memory.current").write_text("200")
    assert available_memory(root) == 0


def test_a_system_that_tells_nothing_still_gets_a_number(tmp_path: Path) -> None:
    assert available_memory(tmp_path) > 1 << 20

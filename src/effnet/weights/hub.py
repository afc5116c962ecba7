"""Bring one file from the Hugging Face hub, through its own library (mirrors, tokens and proxies as it has them)."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from effnet.errors import DownloadError, EffnetError
from effnet.weights.atomic import replace, require_room, typed_os_errors
from effnet.weights.digest import Expected, WrongFileError, measure, mismatch
from effnet.weights.download import PAUSE, RETRIES, TRANSIENT, Progress, printable

Answer = TypeVar("Answer")

_POLL = 0.2  # seconds between looks at how much has arrived


def address(repo: str, file: str) -> str:
    """Where a person can get the file with a browser."""
    return f"https://huggingface.co/{repo}/resolve/main/{file}"


def download(repo: str, file: str, path: Path, *, expected: Expected, progress: Progress | None = None) -> str:
    """Bring `file` of the hub repository `repo` to `path` and return the sha256 of what arrived.

    The hub states the digest of a large file before it sends it; what arrives must have that digest, and the one
    `expected` when one is pinned. The caller holds a lock on `path`.

    Raises:
        DownloadError: unreachable or refused; what has arrived is kept for the next attempt.
        WrongFileError: what came back is not what was stated; it is removed.
        StorageError: no room or no permission.
    """
    import huggingface_hub

    stage = path.with_name(f"{path.name}.hub")  # kept when interrupted: the library resumes from it
    with _typed(repo, path), _quiet(progress):
        url = huggingface_hub.hf_hub_url(repo, file)
        metadata = _patiently(lambda: huggingface_hub.get_hf_file_metadata(url))
        if metadata.size is not None:
            require_room(path.parent, metadata.size, where=str(path))
        with _watch(stage, metadata.size, progress):
            arrived = _patiently(
                lambda: huggingface_hub.hf_hub_download(repo, file, revision=metadata.commit_hash, local_dir=stage)
            )
        temp = Path(arrived)
        measured = measure(temp, md5=expected.md5 is not None)
        problem = mismatch(measured, expected) or mismatch(measured, _expected(metadata.etag, metadata.size))
        if problem is not None:
            shutil.rmtree(stage, ignore_errors=True)
            fix = "try again; if it stays wrong, the publisher changed the file: do not use it"
            raise WrongFileError(f"what came back is not what was published: {problem}", where=repo, fix=fix)
        replace(temp, path)
    shutil.rmtree(stage, ignore_errors=True)
    return measured.sha256


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask the hub again after failures that pass: its library bears them only once an answer has begun."""
    for attempt in range(RETRIES):
        try:
            return ask()
        except Exception as error:
            if not _passes(error):
                raise
            time.sleep(PAUSE * 2**attempt)
    return ask()


def _passes(error: Exception) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response is not None and error.response.status_code in TRANSIENT
    # A server may close a kept connection just as the next question goes into it. By name: the library has had three
    # HTTP clients, and it is not ours to say which one it uses.
    return any(base.__name__ in ("TransportError", "ConnectionError") for base in type(error).__mro__)


def _expected(etag: str | None, size: int | None) -> Expected:
    # Large files carry their sha256 as ETag; small ones a git hash, which is of no use here.
    sha256 = etag if etag is not None and re.fullmatch(r"[0-9a-f]{64}", etag) else None
    return Expected(sha256=sha256, size=size)


@contextlib.contextmanager
def _typed(repo: str, path: Path) -> Iterator[None]:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        with typed_os_errors(path):
            yield
    except EffnetError:
        raise
    except GatedRepoError:
        fix = "accept its terms on the hub and log in with `hf auth login`"
        raise DownloadError("the hub asks for consent", where=repo, fix=fix) from None
    except Exception as error:  # the library lets through whatever its HTTP client raises
        gone = isinstance(error, RepositoryNotFoundError | EntryNotFoundError)
        if gone and not isinstance(error, LocalEntryNotFoundError):  # the latter means that the network failed
            fix = "the publisher moved or closed it"
            raise DownloadError("the hub does not have it (any more)", where=repo, fix=fix) from None
        reason = printable(str(error)) or type(error).__name__
        fix = "check the network and run it again: what has arrived is kept"
        raise DownloadError(f"the download failed: {reason}", where=repo, fix=fix) from error


@contextlib.contextmanager
def _quiet(progress: Progress | None) -> Iterator[None]:
    """Switch the library's own progress bars off while ours are on."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if progress is None or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextlib.contextmanager
def _watch(stage: Path, total: int | None, progress: Progress | None) -> Iterator[None]:
    """Report how much lies in `stage` while the block runs: the library tells nobody in a way that is stable."""
    if progress is None:
        yield
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(_POLL):
            done = _bytes_in(stage)
            progress(done if total is None else min(done, total), total)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    progress(total if total is not None else _bytes_in(stage), total)


def _bytes_in(folder: Path) -> int:
    count = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            count += path.stat().st_size if path.is_file() else 0
    return count

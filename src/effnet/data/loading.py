"""From a source's files to batches of pixels, ahead of the network that trains on them.

    loader = Loader(source, preprocess, augmentation=augmentation, seed=0, workers=2)
    for loaded in loader.batches(requests):
        images = normalise(loaded.images.to(device), preprocess)

What a batch holds is decided by its `Request` and the seed alone, so it is the same for any number of workers, and
after a worker has been killed and replaced. A JPEG is decoded at the largest reduction (1/2, 1/4, 1/8) that leaves the
drawn box as large as the stage needs it, so small stages of progressive learning decode faster too.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from effnet.data.augment import Augmentation, Drawn
from effnet.data.decode import decode, decode_array
from effnet.data.policies import RandAugment
from effnet.data.preprocess import affine, to_pixels
from effnet.data.randomness import Purpose, generator
from effnet.data.request import Loaded, Request
from effnet.data.source import Source
from effnet.errors import EffnetError, ImageError
from effnet.preprocessing import Preprocess

Unreadable = Literal["fail", "skip"]

_RESTARTS = 3
"""Times that killed workers are replaced in a run before something must be wrong."""

_AHEAD = 3
"""Batches that each worker prepares ahead."""

_TRIES = 8
"""Images tried in the place of an unreadable one."""

_FULL_REACH = 128
"""Pixels of a side from which RandAugment shifts and cuts by its own number of pixels; smaller images get less."""


class WorkerError(EffnetError):
    """Loader processes die again and again."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a worker returns: pixels, or what went wrong (an exception would lose its type between processes)."""

    images: Tensor
    indices: tuple[int, ...]
    unread: tuple[str, ...]
    error: EffnetError | None = None


class Loader:
    """Loads batches of one source, in the order asked for.

    Attributes:
        skipped: names of the unreadable images met so far.
    """

    def __init__(
        self,
        source: Source,
        preprocess: Preprocess,
        *,
        augmentation: Augmentation | None,
        seed: int,
        workers: int = 0,
        unreadable: Unreadable = "fail",
        most_skipped: int | None = None,
        pin: bool = False,
    ) -> None:
        """Start nothing yet.

        Args:
            source: the images.
            preprocess: of images that are judged; training takes only its colours.
            augmentation: of images that are trained on; None: pixels as for prediction.
            seed: of the run.
            workers: processes; 0 loads in threads of this one.
            unreadable: `fail` raises the error of an image that cannot be read; `skip` puts another image of the source
                in its place, decided by seed, epoch and number, or leaves it out where images are judged.
            most_skipped: images that may be skipped; None: one in a hundred, at least 10.
            pin: keep batches in page-locked memory, for a GPU.
        """
        self._maker = _Maker(source, preprocess, augmentation, seed, unreadable)
        self._labels = torch.as_tensor(np.asarray(source.labels, np.int64))
        self._workers = workers
        self._most_skipped = max(10, len(source) // 100) if most_skipped is None else most_skipped
        self._pin = pin
        self._skipped: dict[str, None] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._restarts = 0

    @property
    def skipped(self) -> tuple[str, ...]:
        """Names of the unreadable images met so far."""
        return tuple(self._skipped)

    def batches(self, requests: Iterable[Request]) -> Iterator[Loaded]:
        """Yield a batch for each request, in order.

        Raises:
            ImageError: an image cannot be read, or too many cannot.
            WorkerError: loader processes were killed more than three times.
        """
        made = self._in_processes(iter(requests)) if self._workers else self._in_threads(iter(requests))
        while True:
            began = time.monotonic()
            batch = next(made, None)
            if batch is None:
                return
            if batch.error:
                raise batch.error
            self._note(batch.unread)
            labels = self._labels[list(batch.indices)]
            waited = time.monotonic() - began
            yield Loaded(images=batch.images, labels=labels, indices=batch.indices, waited=waited)

    def close(self) -> None:
        """End what still runs; loading again starts it anew."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _note(self, names: tuple[str, ...]) -> None:
        self._skipped |= dict.fromkeys(names)
        if len(self._skipped) > self._most_skipped:
            shown = ", ".join(list(self._skipped)[:3])
            raise ImageError(
                f"{len(self._skipped)} images cannot be read ({shown}, ...)",
                where="data",
                fix="effnet data check DATA lists them all",
            )

    def _in_threads(self, requests: Iterator[Request]) -> Iterator[_Batch]:
        # Pillow decodes and resizes without holding the interpreter's lock.
        self._pool = self._pool or ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="load")
        waiting: deque[Future[_Batch]] = deque()
        try:
            for request in requests:
                waiting.append(self._pool.submit(self._maker, request))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _in_processes(self, requests: Iterator[Request]) -> Iterator[_Batch]:
        asked: deque[Request] = deque()  # not answered yet: what a replaced worker has to do again

        def recorded(again: list[Request]) -> Iterator[Request]:
            for request in itertools.chain(again, requests):
                asked.append(request)
                yield request

        while True:
            again = list(asked)
            asked.clear()
            loader: DataLoader[_Batch] = DataLoader(
                self._maker,
                sampler=recorded(again),
                batch_size=None,
                num_workers=self._workers,
                prefetch_factor=_AHEAD,
                pin_memory=False,
            )
            try:
                for batch in _iterate(loader):
                    asked.popleft()
                    yield replace(batch, images=batch.images.pin_memory()) if self._pin else batch
                return
            except (RuntimeError, EOFError, ConnectionError) as error:  # the latter two: killed while it was sending
                if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                    raise
                self._restarts += 1
                if self._restarts > _RESTARTS:
                    reason = str(error).partition("\n")[0] or "loader processes end before they answer"
                    fix = "is memory short? use fewer workers (--workers 0 loads in threads)"
                    raise WorkerError(reason, where="loader", fix=fix) from None


def _iterate(loader: DataLoader[_Batch]) -> Iterator[_Batch]:
    """Return an iterator that raises RuntimeError for a dead worker while a batch is waited for, and only then.

    torch's handler of SIGCHLD raises wherever the main thread is, in the middle of an optimizer's step as well; without
    it the wait itself looks every five seconds whether its workers live.
    """
    if threading.current_thread() is not threading.main_thread():
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    batches = iter(loader)
    signal.signal(signal.SIGCHLD, before)
    return batches


class _Maker(torch.utils.data.Dataset[_Batch]):
    """Makes one batch; what every worker has a copy of."""

    def __init__(
        self,
        source: Source,
        preprocess: Preprocess,
        augmentation: Augmentation | None,
        seed: int,
        unreadable: Unreadable,
    ) -> None:
        self._source = source
        self._preprocess = preprocess
        self._augmentation = augmentation
        self._seed = seed
        self._unreadable = unreadable

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, request: Request) -> _Batch:
        """Return the batch of a request, which is what the sampler of a DataLoader gives here."""
        return self(request)

    def __call__(self, request: Request) -> _Batch:
        """Return the batch, or what went wrong."""
        size = request.image_size
        images = np.empty((len(request.indices), size, size, len(self._preprocess.mean)), np.uint8)
        indices: list[int] = []
        unread: list[str] = []
        pixels = self._judged if self._augmentation is None else self._augmented(self._augmentation, request)
        for wanted in request.indices:
            for index in self._candidates(request.epoch, wanted):
                try:
                    images[len(indices)] = pixels(index, size)
                except EffnetError as error:
                    unread.append(self._source.name(index))
                    if self._unreadable == "fail":
                        failure = ImageError(error.what, where=unread[-1], fix=error.fix)
                        return _Batch(torch.empty(0), (), tuple(unread), failure)
                else:
                    indices.append(index)
                    break
        return _Batch(torch.from_numpy(images[: len(indices)]), tuple(indices), tuple(unread))

    def _candidates(self, epoch: int, wanted: int) -> Iterator[int]:
        yield wanted
        if self._augmentation is not None:
            rng = generator(self._seed, epoch, wanted, purpose=Purpose.REPLACE)
            yield from rng.integers(0, len(self._source), _TRIES).tolist()

    def _judged(self, index: int, size: int) -> NDArray[np.uint8]:
        preprocess = self._preprocess.with_size(size)
        image = decode(self._source.read(index), min_size=preprocess.resize_to, white=preprocess.white)
        return to_pixels(image, preprocess)

    def _augmented(self, augmentation: Augmentation, request: Request) -> Callable[[int, int], NDArray[np.uint8]]:
        if isinstance(augmentation.policy, RandAugment):
            reach = min(1.0, request.image_size / _FULL_REACH)
            policy = augmentation.policy
            policy = replace(
                policy,
                magnitude=request.magnitude,
                translate=policy.translate * reach,
                cutout=policy.cutout * reach,
            )
            augmentation = replace(augmentation, policy=policy)
        grey, white = len(self._preprocess.mean) == 1, self._preprocess.white

        def pixels(index: int, size: int) -> NDArray[np.uint8]:
            rng = generator(self._seed, request.epoch, index)
            drawn: Drawn | None = None

            def needed(width: int, height: int) -> int | None:
                nonlocal drawn
                drawn = augmentation.draw(rng, width, height, size)
                return drawn.min_size

            decoded = decode_array(self._source.read(index), min_size=needed, white=white)
            if drawn is None:  # only a JPEG can be decoded smaller
                height, width, _ = decoded.shape
                drawn = augmentation.draw(rng, width, height, size)
            image = augmentation.apply(decoded, drawn)
            return np.asarray(image.convert("L") if grey else image).reshape(size, size, -1)

        return pixels


def normalise(images: Tensor, preprocess: Preprocess) -> Tensor:
    """Return uint8 pixels as the network's input: (N, H, W, C) -> float32 (N, C, H, W), channels last in memory.

    The arithmetic is that of `to_batch`, on the images' own device.
    """
    mean, scale = (torch.from_numpy(values).to(images.device) for values in affine(preprocess))
    if images.device.type == "cpu":
        # A row of means, one for each number in a row of pixels: the innermost loop would be 3 numbers long otherwise.
        height, width, channels = images.shape[1:]
        rows = images.reshape(-1, width * channels).float().sub_(mean.repeat(width)).mul_(scale.repeat(width))
        return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return images.float().sub_(mean).mul_(scale).permute(0, 3, 1, 2)

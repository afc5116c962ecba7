"""Classifying images: a network with its own preprocessing and labels, fed by a pool of decoding threads.

>>> import effnet
>>> model = effnet.load("lite0")  # doctest: +SKIP
>>> model.predict("cat.jpg").label  # doctest: +SKIP
'tabby'
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from effnet.creation import assemble
from effnet.data.decode import decode, to_rgb
from effnet.data.preprocess import to_batch, to_pixels
from effnet.errors import ImageError, InputError, UnknownNameError, WeightsError
from effnet.families import catalog
from effnet.inference.prediction import Prediction, Score
from effnet.inference.runtime import find_device, for_inference, torch_threads
from effnet.nn import Network
from effnet.preprocessing import Preprocess, mismatch
from effnet.weights.loading import load_weights
from effnet.weights.published import published

if TYPE_CHECKING:
    Pixels: TypeAlias = NDArray[np.uint8]

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
"""A path, a file's bytes, a Pillow image, or uint8 pixels (H, W) or (H, W, 3) in RGB order."""

CPU_BATCH = 8
"""Larger batches are slower on CPUs: their activations outgrow the caches and what the allocator keeps mapped."""

ACCELERATOR_BATCH = 64


class Predictor:
    """Classifies images with one network; `effnet.load` makes one.

    Attributes:
        spec: the network.
        preprocess: how images become inputs; it came with the weights.
        labels: class names in output order; None when the model has none.
        temperature: what logits are divided by before probabilities are taken; it came with the weights.
        device: where the network runs.
        batch: images the network sees at once.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str | None = None,
        threads: int | None = None,
        batch: int | None = None,
        size: int | None = None,
        top: int = 5,
    ) -> None:
        """Take a network that knows its preprocessing; the arguments are those of `load`."""
        self.spec = network.spec
        self.preprocess = _preprocess_of(network, size)
        self.labels = _labels_of(network)
        self.temperature = network.temperature
        self.device = find_device(device)
        usual = CPU_BATCH if self.device.type == "cpu" else ACCELERATOR_BATCH
        self.batch = usual if batch is None else _positive("batch", batch)
        self.top = _positive("top", top)
        self.threads = None if threads is None else _positive("threads", threads)
        self._network = for_inference(network, self.device)

    @overload  # a str is formally a sequence of str, but meant as one path
    def predict(self, source: ImageSource, *, top: int | None = None) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, source: Sequence[ImageSource], *, top: int | None = None) -> list[Prediction]: ...
    def predict(
        self, source: ImageSource | Sequence[ImageSource], *, top: int | None = None
    ) -> Prediction | list[Prediction]:
        """Classify one image, or each of a list.

        An image that cannot be read gives a `Prediction` that carries the error; the others are not affected.

        Args:
            source: a path, a file's bytes, a Pillow image, uint8 pixels (H, W) or (H, W, 3); or a list of these,
                or uint8 pixels (N, H, W, 3).
            top: how many classes to name, if not the predictor's.

        Raises:
            InputError: a source is none of these things.
        """
        if _is_one(source):
            return next(self.predict_iter([cast(ImageSource, source)], top=top))
        return list(self.predict_iter(cast(Sequence[ImageSource], source), top=top))

    def predict_iter(self, sources: Iterable[ImageSource], *, top: int | None = None) -> Iterator[Prediction]:
        """Classify images one after the other, in order, without ever holding more than a few batches of them.

        Threads decode the next images while the network works on these. Arguments and errors as for `predict`.
        """
        if _is_one(sources):
            raise InputError("one image, where a list is expected", fix="use predict, or give a list")
        named = self.top if top is None else _positive("top", top)
        return self._predictions(sources, min(named, self.spec.classes))

    def prepare(self, sources: Iterable[ImageSource]) -> Tensor:
        """Decode, resize and normalise images: -> float32 (N, C, size, size), the input of `logits`.

        Raises:
            ImageError: an image cannot be read.
        """
        pixels = [self._pixels(source) for source in sources]
        if not pixels:
            raise InputError("no images to prepare", fix="give at least one")
        return to_batch(pixels, self.preprocess)

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Run the network: prepared images (N, C, H, W) -> float32 logits (N, classes), on the predictor's device.

        Raises:
            WeightsError: the network's outputs are not finite.
            InputError: the batch does not fit in memory.
        """
        with torch_threads(self.threads), _memory_errors(self):
            logits: Tensor = self._network(images.to(self.device)).float()
        if not logits.isfinite().all():
            raise WeightsError("the network's outputs are not finite", where=self.spec.name, fix="get intact weights")
        return logits

    def _predictions(self, sources: Iterable[ImageSource], top: int) -> Iterator[Prediction]:
        with closing(self._decoded(sources)) as decoded:
            while batch := list(itertools.islice(decoded, self.batch)):
                yield from self._classified(batch, top)

    def _decoded(self, sources: Iterable[ImageSource]) -> Generator[_Decoded]:
        # As many decoders as cores, although the network uses them too: on two cores this measured 1.28 times the
        # speed of decoding first and classifying then, one decoder 1.19 times, one thread for each side 0.87 times.
        ahead = 2 * self.batch
        pending: deque[Future[_Decoded]] = deque()
        pool = ThreadPoolExecutor(min(_cores(), ahead), thread_name_prefix="effnet-decode")
        try:
            for source in sources:
                pending.append(pool.submit(self._decode, source))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _decode(self, source: ImageSource) -> _Decoded:
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else None
        try:
            return _Decoded(source=name, pixels=self._pixels(source))
        except ImageError as error:
            return _Decoded(source=name, error=error)

    def _pixels(self, source: ImageSource) -> Pixels:
        return to_pixels(_image(source), self.preprocess)

    def _classified(self, batch: Sequence[_Decoded], top: int) -> Iterator[Prediction]:
        pixels = [image.pixels for image in batch if image.pixels is not None]
        rows = iter(self._scores(pixels, top) if pixels else ())
        for image in batch:
            scores = () if image.pixels is None else next(rows)
            yield Prediction(source=image.source, scores=scores, error=image.error)

    def _scores(self, pixels: Sequence[Pixels], top: int) -> Iterator[tuple[Score, ...]]:
        logits = self.logits(to_batch(pixels, self.preprocess))
        probabilities = (logits / self.temperature).softmax(dim=1)  # (N, classes)
        best = probabilities.topk(top, dim=1)  # (N, classes) -> (N, top)
        for indices, values in zip(best.indices.tolist(), best.values.tolist(), strict=True):
            yield tuple(
                Score(index=index, label=self._label(index), probability=value)
                for index, value in zip(indices, values, strict=True)
            )

    def _label(self, index: int) -> str:
        return self.labels[index] if self.labels is not None else f"class {index}"


def load(
    model: str | os.PathLike[str] | Network,
    *,
    device: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    size: int | None = None,
    top: int = 5,
    progress: Callable[[int, int | None], None] | None = None,
) -> Predictor:
    """Return a predictor for a model.

    Args:
        model: a published name (`lite0`: its default weights), a tag that `effnet weights list` shows, a model file,
            or a network that knows its preprocessing.
        device: as torch writes it (`cpu`, `cuda:1`); None: the accelerator if there is one.
        threads: CPU threads of the network; None: as many as torch takes.
        batch: images the network sees at once; None: 8 on a CPU, 64 elsewhere.
        size: input side in pixels, if not the one that the weights were evaluated with; warns when it is far off.
        top: how many classes a prediction names.
        progress: called with (bytes done, bytes in all or None) while weights are downloaded.

    Raises:
        UnknownNameError: no such model or tag.
        WeightsError, DownloadError, MissingDependencyError: the weights cannot be had.
        InputError: an argument is impossible, or the network does not know its preprocessing.
    """
    network = model if isinstance(model, Network) else _network(model, progress)
    return Predictor(network, device=device, threads=threads, batch=batch, size=size, top=top)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    source: str | None
    pixels: Pixels | None = None
    error: ImageError | None = None


def _is_one(source: Any) -> bool:
    """Whether this is one image, not a collection of them."""
    if isinstance(source, np.ndarray):
        return source.ndim != 4  # (N, H, W, 3) is a collection, anything else is meant as one image
    return isinstance(source, str | os.PathLike | bytes | Image.Image) or not isinstance(source, Iterable)


def _image(source: ImageSource) -> Image.Image:
    if isinstance(source, str | os.PathLike):
        return decode(Path(source))
    if isinstance(source, bytes):
        return decode(source)
    if isinstance(source, Image.Image):
        return to_rgb(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    raise InputError(
        f"cannot read an image from {type(source).__name__}",
        fix="give a path, a file's bytes, a Pillow image or a uint8 array",
    )


def _from_array(array: NDArray[Any]) -> Image.Image:
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        raise InputError(
            f"an array of {array.dtype} {array.shape} is not an image",
            fix="give uint8 values 0 to 255 of shape (H, W) or (H, W, 3)",
        )
    return Image.fromarray(array.reshape(array.shape[:2]) if grey else array).convert("RGB")


def _network(model: str | os.PathLike[str], progress: Callable[[int, int | None], None] | None) -> Network:
    source = model if isinstance(model, str) else Path(model)
    try:
        return assemble(load_weights(None, source, progress=progress))
    except UnknownNameError:
        known = [*catalog.names(), *(weights.tag for variant in published() for weights in variant.weights)]
        see = "see effnet models, or name a model file"
        raise UnknownNameError.among("model", str(model), known, see=see) from None


def _preprocess_of(network: Network, size: int | None) -> Preprocess:
    channels, preprocess = network.spec.in_channels, network.preprocess
    if network.spec.classes == 0:
        raise InputError("this network has no classifier", where=network.spec.name, fix="give it classes")
    if preprocess is None:
        raise InputError(
            "this network does not know how its weights want images prepared",
            where=network.spec.name,
            fix="load trained weights, or set network.preprocess to an effnet.Preprocess",
        )
    if channels not in (1, 3) or len(preprocess.mean) != channels or len(preprocess.std) != channels:
        raise InputError(
            f"reads {channels} channels, prepared with {len(preprocess.mean)} means; images have 3, or 1 when grey",
            where=network.spec.name,
            fix="use a network for 3 or 1 channels whose preprocessing has as many means",
        )
    if size is None:
        return preprocess
    resized = preprocess.with_size(size)
    if (text := mismatch(preprocess, size)) is not None:
        warnings.warn(text, stacklevel=4)
    return resized


def _labels_of(network: Network) -> tuple[str, ...] | None:
    labels, classes = network.labels, network.spec.classes
    if labels is not None and len(labels) != classes:
        what = f"{len(labels)} labels for {classes} classes"
        raise InputError(what, where=network.spec.name, fix="set network.labels to one name a class, or None")
    return labels


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}", where=name, fix="give a whole number from 1")
    return value


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # what this process may use, in a container too
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _memory_errors(predictor: Predictor) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        what = f"{predictor.batch} images of {predictor.preprocess.size} pixels do not fit in the memory"
        raise InputError(what, where=str(predictor.device), fix="use a smaller batch") from None

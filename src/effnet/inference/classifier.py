"""What every predictor shares, whatever runs its network: decoding in threads in front, naming classes behind.

Nothing here imports torch, so that a bundle is predicted with where torch is not installed.
"""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet.data.decode import decode, to_rgb
from effnet.data.preprocess import to_pixels
from effnet.errors import ImageError, InputError, WeightsError
from effnet.inference.cores import usable_cores
from effnet.inference.prediction import Prediction, Score
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec

Pixels: TypeAlias = NDArray[np.uint8]
Logits: TypeAlias = NDArray[np.float32]

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
"""A path, a file's bytes, a Pillow image, or uint8 pixels (H, W) or (H, W, 3) in RGB order."""


CPU_BATCH = 8
"""Larger batches are slower on CPUs: their activations outgrow the caches and what the allocator keeps mapped."""


class Classifier(ABC):
    """Classifies images with a network that a subclass runs.

    Attributes:
        spec: the network.
        preprocess: how images become inputs; it came with the weights.
        labels: class names in output order; None when the model has none.
        temperature: what logits are divided by before probabilities are taken; it came with the weights.
        batch: images the network sees at once.
        top: how many classes a prediction names.
        flip: whether an image's logits are the mean of its own and those of its mirror image.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        preprocess: Preprocess,
        labels: tuple[str, ...] | None,
        temperature: float,
        *,
        batch: int,
        top: int,
        flip: bool = False,
    ) -> None:
        self.spec = spec
        self.preprocess = preprocess
        self.labels = labels
        self.temperature = temperature
        self.batch = whole("batch", batch)
        self.top = whole("top", top)
        self.flip = flip

    @abstractmethod
    def classify(self, pixels: Sequence[Pixels]) -> Logits:
        """Run the network: N resized and cropped images, uint8 (size, size, C) -> float32 logits (N, classes).

        Raises:
            WeightsError: the network's outputs are not finite.
            InputError: the batch does not fit in memory.
        """

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
        named = self.top if top is None else whole("top", top)
        return self._predictions(sources, min(named, self.spec.classes))

    def pixels(self, source: ImageSource) -> Pixels:
        """Decode, resize and crop one image: -> uint8 (size, size, C), the input of `classify`.

        Raises:
            ImageError: the image cannot be read.
            InputError: `source` is no image.
        """
        return to_pixels(open_image(source, white=self.preprocess.white), self.preprocess)

    def name(self, logits: Logits, top: int) -> Iterator[tuple[Score, ...]]:
        """Return the `top` most probable classes of each row of logits (N, classes), most probable first."""
        probabilities = _softmax(logits, self.temperature)  # (N, classes)
        for row in probabilities:
            # Sorting only the best; equal probabilities come in the order of their classes.
            threshold = np.partition(row, -top)[-top]
            best = sorted(np.flatnonzero(row >= threshold).tolist(), key=lambda index: -row[index])[:top]
            yield tuple(Score(index=i, label=self._label(i), probability=float(row[i])) for i in best)

    def _predictions(self, sources: Iterable[ImageSource], top: int) -> Iterator[Prediction]:
        with closing(self._decoded(sources)) as decoded:
            while batch := list(itertools.islice(decoded, self.batch)):
                yield from self._classified(batch, top)

    def _decoded(self, sources: Iterable[ImageSource]) -> Generator[_Decoded]:
        # As many decoders as cores, although the network uses them too: on two cores this measured 1.28 times the
        # speed of decoding first and classifying then, one decoder 1.19 times, one thread for each side 0.87 times.
        ahead = 2 * self.batch
        pending: deque[Future[_Decoded]] = deque()
        pool = ThreadPoolExecutor(min(usable_cores(), ahead), thread_name_prefix="effnet-decode")
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
            return _Decoded(source=name, pixels=self.pixels(source))
        except ImageError as error:
            return _Decoded(source=name, error=error)

    def _classified(self, batch: Sequence[_Decoded], top: int) -> Iterator[Prediction]:
        pixels = [image.pixels for image in batch if image.pixels is not None]
        rows = self.name(self._logits(pixels), top) if pixels else iter(())
        for image in batch:
            scores = () if image.pixels is None else next(rows)
            yield Prediction(source=image.source, scores=scores, error=image.error)

    def _logits(self, pixels: Sequence[Pixels]) -> Logits:
        logits = self.classify(pixels)
        if not self.flip:
            return logits
        mirrored = self.classify([np.ascontiguousarray(image[:, ::-1]) for image in pixels])
        return (logits + mirrored) / np.float32(2)

    def _label(self, index: int) -> str:
        return self.labels[index] if self.labels is not None else f"class {index}"


def whole(name: str, value: int) -> int:
    """Return `value`, which must be a whole number from 1.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}", where=name, fix="give a whole number from 1")
    return value


def require_logits(logits: Logits, name: str, *, images: int, classes: int) -> Logits:
    """Return `logits`.

    Raises:
        WeightsError: they are not (images, classes), or one of them is not a number or infinite.
    """
    if logits.shape != (images, classes):
        what = f"its graph gives {logits.shape} for {images} images, its manifest says {classes} classes"
        raise WeightsError(what, where=name, fix="export it again")
    if not np.isfinite(logits).all():
        raise WeightsError("the network's outputs are not finite", where=name, fix="get intact weights")
    return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    source: str | None
    pixels: Pixels | None = None
    error: ImageError | None = None


def _softmax(values: Logits, temperature: float) -> Logits:
    # The largest is 0 before it is divided: no temperature makes it anything else.
    raised: Logits = np.exp((values - values.max(axis=1, keepdims=True)) / np.float32(temperature))
    raised /= raised.sum(axis=1, keepdims=True)
    return raised


def _is_one(source: Any) -> bool:
    """Whether this is one image, not a collection of them."""
    if isinstance(source, np.ndarray):
        return source.ndim != 4  # (N, H, W, 3) is a collection, anything else is meant as one image
    return isinstance(source, str | os.PathLike | bytes | Image.Image) or not isinstance(source, Iterable)


def open_image(source: ImageSource, *, white: int | None = None) -> Image.Image:
    """Return the whole image, upright, in RGB; `white` is the brightest value of 16-bit grey, if not 65535.

    Raises:
        ImageError: it cannot be read.
        InputError: `source` is no image.
    """
    if isinstance(source, str | os.PathLike):
        return decode(Path(source), white=white)
    if isinstance(source, bytes):
        return decode(source, white=white)
    if isinstance(source, Image.Image):
        return to_rgb(source, white=white)
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

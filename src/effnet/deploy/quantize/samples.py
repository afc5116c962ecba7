"""The images that ranges are measured on, and the others that the gate judges by: never the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effnet.data.loading import Loader
from effnet.data.preprocess import to_batch
from effnet.data.request import Request
from effnet.data.source import Dataset, Source
from effnet.data.sources import open_dataset
from effnet.data.sources.subset import SubSource
from effnet.errors import EffnetError, InputError
from effnet.inference.sources import expand
from effnet.labels import outputs_for
from effnet.preprocessing import Preprocess

BATCH = 16
CALIBRATION = 256
GATE = 1000
"""Images that are used at most, if nobody says otherwise."""

_FEWEST = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Images of one data set, in two parts.

    Attributes:
        calibration: uint8 (N, size, size, C): ranges are measured on them, and layers compared.
        gate: uint8 (M, size, size, C): held out from all that.
        labels: (M,) the right output for each of them; None where the data does not say.
        source: all images that may be learnt from, with augmentation; none of the gate's is among them.
        preprocess: how they became pixels.
        notes: sentences about where they come from, for people.
    """

    calibration: NDArray[np.uint8]
    gate: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    source: Source
    preprocess: Preprocess
    notes: tuple[str, ...]

    def calibration_batches(self, most: int | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield float32 (N, C, size, size), normalised, at most `most` images."""
        return self._batches(self.calibration[:most])

    def gate_batches(self) -> Iterator[NDArray[np.float32]]:
        """Yield float32 (N, C, size, size), normalised."""
        return self._batches(self.gate)

    def _batches(self, pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(pixels), BATCH):
            yield to_batch(list(pixels[start : start + BATCH]), self.preprocess).numpy()


class Files:
    """Images without labels."""

    def __init__(self, files: tuple[str, ...]) -> None:
        self.classes: tuple[str, ...] = ("unknown",)
        self.labels = np.zeros(len(files), np.int64)
        self._files = files

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._files)

    def read(self, index: int) -> Path:
        """Return the image's file."""
        return Path(self._files[index])

    def name(self, index: int) -> str:
        """Return the image's file."""
        return self._files[index]


def open_samples(
    data: str | Path | Dataset,
    preprocess: Preprocess,
    *,
    names: tuple[str, ...] | None,
    outputs: int,
    seed: int = 0,
    calibration: int = CALIBRATION,
    gate: int = GATE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Samples:
    """Return images of `data`, in a part to calibrate with and a part to judge by.

    The gate's images are the data's test part, or its val part; of data in one part, half, chosen by the seed.

    Args:
        data: as `open_dataset` takes it, or a folder of images without classes.
        names: the model's class names in output order, if it has any.
        outputs: how many it has.
        calibration, gate: images to use at most.
        progress: called with images read and in all.

    Raises:
        EffnetError: there is no such data, an image cannot be read, or there are too few.
    """
    learnt, judged, notes = _parts(data, seed)
    rng = np.random.default_rng(seed)
    chosen = _some(rng, len(learnt), calibration)
    held = _some(rng, len(judged), gate)
    for part, indices in (("to calibrate with", chosen), ("to judge by", held)):
        if len(indices) < _FEWEST:
            what = f"{len(indices)} images {part}, at least {_FEWEST} are needed"
            raise InputError(what, where=str(getattr(data, "name", data)), fix="give more images")
    labels, said = _labels(judged, held, names, outputs)
    pixels = _read(((learnt, chosen), (judged, held)), preprocess, progress)
    notes = (*notes, f"{len(chosen)} images to calibrate with, {len(held)} others to judge by", *said)
    return Samples(
        calibration=pixels[0], gate=pixels[1], labels=labels, source=learnt, preprocess=preprocess, notes=notes
    )


def _parts(data: str | Path | Dataset, seed: int) -> tuple[Source, Source, tuple[str, ...]]:
    dataset = _opened(data)
    for name, part in (("test", dataset.test), ("val", dataset.val)):
        if part is not None and len(part):
            return dataset.train, part, (f"judged by the data's {name} part",)
    order = np.random.default_rng(seed).permutation(len(dataset.train))
    half = len(order) // 2
    learnt, judged = (SubSource(dataset.train, np.sort(indices)) for indices in (order[:half], order[half:]))
    note = "the data is in one part: half of it is held out; if the model was trained on it, it flatters both networks"
    return learnt, judged, (note,)


def _opened(data: str | Path | Dataset) -> Dataset:
    try:
        return open_dataset(data, val_share=None)
    except EffnetError:
        if isinstance(data, Dataset) or not Path(data).is_dir():
            raise
        try:
            files = expand([str(data)])
        except EffnetError:
            files = ()
        if not files:
            raise
        return Dataset(str(data), Files(files))


def _some(rng: np.random.Generator, count: int, most: int) -> NDArray[np.int64]:
    return np.sort(rng.permutation(count)[:most])


def _labels(
    source: Source, indices: NDArray[np.int64], names: tuple[str, ...] | None, outputs: int
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    agreement = "what is judged is agreement with the float network, not accuracy"
    if isinstance(source, Files):
        return None, (f"the images have no labels: {agreement}",)
    try:
        places = np.array(outputs_for(source.classes, names, outputs), np.int64)
    except InputError:
        return None, (f"the data's classes are not the model's: {agreement}",)
    return places[np.asarray(source.labels)[indices]], ()


def _read(
    parts: tuple[tuple[Source, NDArray[np.int64]], ...],
    preprocess: Preprocess,
    progress: Callable[[int, int], None],
) -> list[NDArray[np.uint8]]:
    total, done = sum(len(indices) for _, indices in parts), 0
    result = []
    for source, indices in parts:
        loader = Loader(source, preprocess, augmentation=None, seed=0)
        chunks = [indices[start : start + BATCH].tolist() for start in range(0, len(indices), BATCH)]
        requests = (Request(epoch=0, indices=tuple(chunk), image_size=preprocess.size) for chunk in chunks)
        read = []
        try:
            for loaded in loader.batches(requests):
                read.append(loaded.images.numpy())
                done += len(read[-1])
                progress(done, total)
        finally:
            loader.close()
        result.append(np.concatenate(read))
    return result

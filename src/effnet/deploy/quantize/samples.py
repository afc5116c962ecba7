"""The images that ranges are measured on, and the others that the gate judges by: never the same ones."""

from __future__ import annotations

import hashlib
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
from effnet.data.sources.subset import SubSource, with_validation
from effnet.errors import EffnetError, InputError
from effnet.inference.sources import expand
from effnet.labels import outputs_for
from effnet.preprocessing import Preprocess

BATCH = 16
CALIBRATION = 256
GATE = 1000
"""Images that are used at most, if nobody says otherwise."""

_FEWEST = 8
_KEPT_SHARE = 0.1
"""Of data in one part, what `effnet train` keeps for judging."""

_BATCH_PIXELS = BATCH * 256 * 256
"""Of a batch at most: activations of 16 large images would not fit into the memory of a laptop."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Images of one data set, in two parts.

    Attributes:
        calibration: uint8 (N, size, size, C): ranges are measured on them, and layers compared; in random order,
            so that the first of them are like all.
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
        count = max(2, min(BATCH, _BATCH_PIXELS // self.preprocess.size**2))  # norms need two
        for start in range(0, len(pixels), count):
            yield to_batch(list(pixels[start : start + count]), self.preprocess).numpy()


class Files:
    """Images that are files; a source with the classes and labels of a subclass."""

    def __init__(self, files: tuple[str, ...]) -> None:
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


class Unlabelled(Files):
    """Images without labels."""

    def __init__(self, files: tuple[str, ...]) -> None:
        super().__init__(files)
        self.classes: tuple[str, ...] = ("unknown",)
        self.labels = np.zeros(len(files), np.int64)


def open_samples(
    data: str | Path | Dataset,
    preprocess: Preprocess,
    *,
    names: tuple[str, ...] | None,
    outputs: int,
    seed: int = 0,
    calibration: int = CALIBRATION,
    gate: int = GATE,
    trained_here: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Samples:
    """Return images of `data`, in a part to calibrate with and a part to judge by.

    The gate's images are the data's test part, or its val part; of data in one part, half, chosen by the seed, or the
    tenth that `effnet train` keeps. Images of the gate that are calibrated with too, under other names, are left out.

    Args:
        data: as `open_dataset` takes it, or a folder of images without classes.
        names: the model's class names in output order, if it has any.
        outputs: how many it has.
        calibration, gate: images to use at most.
        trained_here: the model comes from `effnet train`, which has learnt from nine tenths of data in one part.
        progress: called with images read and in all.

    Raises:
        EffnetError: there is no such data, an image cannot be read, or there are too few.
    """
    learnt, judged, notes = _parts(data, seed, trained_here)
    rng = np.random.default_rng(seed)
    chosen = _some(rng, len(learnt), calibration)
    held = _some(rng, len(judged), gate)
    where = str(getattr(data, "name", data))
    _require(len(chosen), "to calibrate with", where)
    _require(len(held), "to judge by", where)
    seen, pixels = _read(((learnt, chosen), (judged, held)), preprocess, progress)
    # They were read in the order of the data, class after class; the first ones, and every batch, shall be of all.
    seen = seen[rng.permutation(len(seen))]
    new = _not_among(seen, pixels)
    if not new.all():
        notes = (*notes, f"{int((~new).sum())} images to judge by are among those to calibrate with and left out")
        held, pixels = held[new], pixels[new]
        _require(len(held), "to judge by that are not calibrated with", where)
    labels, said = _labels(judged, held, names, outputs)
    notes = (*notes, f"{len(chosen)} images to calibrate with, {len(held)} others to judge by", *said)
    return Samples(calibration=seen, gate=pixels, labels=labels, source=learnt, preprocess=preprocess, notes=notes)


def _require(count: int, what: str, where: str) -> None:
    if count < _FEWEST:
        raise InputError(f"{count} images {what}, at least {_FEWEST} are needed", where=where, fix="give more images")


def _not_among(seen: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return (M,) which of `pixels` (M, ...) are not among `seen` (N, ...)."""
    known = {hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in seen}
    return np.array([hashlib.blake2b(image.tobytes(), digest_size=16).digest() not in known for image in pixels])


def _parts(data: str | Path | Dataset, seed: int, trained_here: bool) -> tuple[Source, Source, tuple[str, ...]]:
    dataset, notes = _opened(data)
    for name, part in (("test", dataset.test), ("val", dataset.val)):
        if part is not None and len(part):
            return dataset.train, part, (*notes, f"judged by the data's {name} part")
    if trained_here and not isinstance(dataset.train, Unlabelled):
        kept = with_validation(dataset, seed=seed, share=_KEPT_SHARE)
        if kept.val is not None and len(kept.val) >= _FEWEST:
            note = f"judged by what effnet train keeps of data in one part (seed {seed})"
            return kept.train, kept.val, (*notes, note)
    order = np.random.default_rng(seed).permutation(len(dataset.train))
    half = len(order) // 2
    learnt, judged = (SubSource(dataset.train, np.sort(indices)) for indices in (order[:half], order[half:]))
    note = "the data is in one part: half of it is held out; if the model was trained on it, it flatters both networks"
    return learnt, judged, (*notes, note)


def _opened(data: str | Path | Dataset) -> tuple[Dataset, tuple[str, ...]]:
    try:
        return open_dataset(data, val_share=None), ()
    except EffnetError as error:
        if isinstance(data, Dataset) or not Path(data).is_dir():
            raise
        try:
            files = expand([str(data)])
        except EffnetError:
            files = ()
        if not files:
            raise
        return Dataset(str(data), Unlabelled(files)), (f"taken as images without classes: {error.what}",)


def _some(rng: np.random.Generator, count: int, most: int) -> NDArray[np.int64]:
    return np.sort(rng.permutation(count)[:most])


def _labels(
    source: Source, indices: NDArray[np.int64], names: tuple[str, ...] | None, outputs: int
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    agreement = "what is judged is agreement with the float network, not accuracy"
    if isinstance(source, Unlabelled):
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

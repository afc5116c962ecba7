"""Running a network over labelled images, for everything that judges one."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from effnet.data.decode import decode
from effnet.data.loading import Loader, Unreadable, normalise
from effnet.data.request import Request
from effnet.data.source import Source
from effnet.errors import InputError
from effnet.inference.explain.colours import overlay
from effnet.inference.explain.picture import heat_of
from effnet.inference.metrics import Evaluation
from effnet.inference.runtime import for_inference
from effnet.nn import Network
from effnet.preprocessing import Preprocess, place

THUMBNAIL = 256
"""Pixels of the longer side of a picture in a report."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What a network said of the images that could be read.

    Attributes:
        logits: (N, K).
        labels: (N,) true classes, numbered as in the source.
        indices: (N,) numbers of the images in the source.
        skipped: names of those that could not be read.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    skipped: tuple[str, ...]


@torch.inference_mode()
def answers(
    network: Network,
    source: Source,
    preprocess: Preprocess,
    *,
    device: torch.device,
    batch: int = 32,
    workers: int = 0,
    flip: bool = False,
    unreadable: Unreadable = "fail",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Answers:
    """Run the network over every image of a source.

    Args:
        network: it is not changed.
        preprocess: how images become inputs.
        device: where to compute.
        batch: images at once.
        workers: processes that load images; 0 loads in threads.
        flip: average the logits of each image and of its mirror image, for twice the time.
        unreadable: `fail` at an image that cannot be read, or `skip` it.
        progress: called with images done and in all.

    Raises:
        ImageError: an image cannot be read.
        InputError: there are no images.
    """
    count = len(source)
    if not count:
        raise InputError("no images", where="evaluation", fix="give data with images")
    folded = for_inference(network, device)
    chunks = (range(start, min(start + batch, count)) for start in range(0, count, batch))
    requests = (Request(epoch=0, indices=tuple(chunk), image_size=preprocess.size) for chunk in chunks)
    loader = Loader(source, preprocess, augmentation=None, seed=0, workers=workers, unreadable=unreadable)
    logits: list[NDArray[np.float32]] = []
    indices: list[int] = []
    try:
        for loaded in loader.batches(requests):
            images = normalise(loaded.images.to(device), preprocess)
            output = folded(images).float()
            if flip:
                output = (output + folded(images.flip(3)).float()) / 2
            logits.append(output.cpu().numpy())
            indices.extend(loaded.indices)
            progress(len(indices), count)
    finally:
        loader.close()
    places = np.array(indices, np.int64)
    labels = np.asarray(source.labels, np.int64)[places]
    return Answers(logits=np.concatenate(logits), labels=labels, indices=places, skipped=loader.skipped)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Answers beside the truth.

    Attributes:
        evaluation: the figures.
        answered: the logits (N, K) that were scored; the labels are columns of them.
        names: of the K classes.
        outputs: which output of the network each of them is.
        restricted: `classes` and `outputs` in numbers, where the answers were chosen among fewer classes than the
            network has; else None.
    """

    evaluation: Evaluation
    answered: Answers
    names: tuple[str, ...]
    outputs: tuple[int, ...]
    restricted: dict[str, int] | None


def score(network: Network, answered: Answers, columns: Sequence[int], *, only: bool = False) -> Scored:
    """Return how good answers are among all outputs of the network.

    Args:
        network: that gave them.
        answered: with labels numbered as in their source.
        columns: which output answers for each class of the source.
        only: choose among these outputs instead, which flatters a network that confuses them with others.

    Raises:
        InputError: logits that are not finite.
    """
    total, named = network.spec.classes, network.labels
    outputs = tuple(columns) if only else tuple(range(total))
    names = tuple(f"class {output}" if named is None else named[output] for output in outputs)
    truth = answered.labels if only else np.asarray(columns, np.int64)[answered.labels]
    logits = answered.logits[:, list(outputs)] if only else answered.logits
    scored = dataclasses.replace(answered, logits=logits, labels=truth)
    return Scored(
        evaluation=Evaluation.of(logits, truth, names, network.temperature),
        answered=scored,
        names=names,
        outputs=outputs,
        restricted={"classes": len(outputs), "outputs": total} if only else None,
    )


def most_confident_mistakes(evaluation: Evaluation, answered: Answers, most: int = 12) -> list[int]:
    """Return places in `answered` of the wrong answers, by falling confidence."""
    wrong = np.flatnonzero(evaluation.predicted != answered.labels)
    return [int(place) for place in wrong[np.argsort(-evaluation.confidence[wrong], kind="stable")][:most]]


def thumbnail(source: Source, index: int, *, white: int | None = None) -> bytes:
    """Return a small JPEG of an image; tiny ones are enlarged without smoothing. `white` is as in `Preprocess`."""
    return _jpeg(_small(decode(source.read(index), min_size=THUMBNAIL, white=white)))


def looked_at(network: Network, source: Source, index: int, preprocess: Preprocess, output: int) -> bytes:
    """Return a small JPEG of an image under the map of where the network saw one of its outputs (Grad-CAM)."""
    whole = decode(source.read(index), white=preprocess.white)
    heat = heat_of(network, whole, output, preprocess=preprocess)
    small = _small(whole)
    across, down = small.width / whole.width, small.height / whole.height
    left, top, right, bottom = place(preprocess, *whole.size).window
    return _jpeg(overlay(small, heat, window=(left * across, top * down, right * across, bottom * down)))


def _small(image: Image.Image) -> Image.Image:
    scale = THUMBNAIL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BICUBIC)


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()

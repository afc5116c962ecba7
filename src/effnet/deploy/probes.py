"""The images that a graph is proved with: a person's own, or a few that are always at hand.

Pictures made here come from whole-number arithmetic alone, so every machine makes the same: a certificate can keep what
the network said of them (`Witness`), and whoever receives the bundle can ask the graph again without the network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet.data.decode import decode
from effnet.data.preprocess import to_pixels
from effnet.errors import ImageError, InputError
from effnet.inference.sources import expand
from effnet.preprocessing import Preprocess

MADE = 20
"""Pictures made here, where a person gives none."""

_CROPS = ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.6, 0.6), (0.4, 0.0, 1.0, 0.6), (0.0, 0.4, 0.6, 1.0), (0.4, 0.4, 1.0, 1.0))
"""Left, top, right, bottom of what is cut out of each photograph, as shares of its sides."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probes:
    """Images as a network's preprocessing leaves them.

    Attributes:
        pixels: uint8 (size, size, channels) each.
        origin: what they are, for people.
    """

    pixels: tuple[NDArray[np.uint8], ...]
    origin: str


ImagesToFind: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None
"""What `find_probes` takes."""


def find_probes(images: ImagesToFind, preprocess: Preprocess) -> Probes:
    """Return the images that `images` mean, or those that are at hand.

    Args:
        images: files, folders (searched at any depth) and patterns; None: the photographs that scikit-learn bundles,
            where it is installed, in five crops and mirrored, and 20 made pictures.
        preprocess: how they become pixels.

    Raises:
        InputError: nothing is there, or none of it can be read.
    """
    channels = len(preprocess.mean)
    if images is None:
        photographs = _photographs() if channels in (1, 3) else []
        crops = [to_pixels(turned, preprocess) for photo in photographs for turned in _views(photo)]
        count = len(photographs)
        said = f"{count} photographs of scikit-learn in {len(crops)} views and " if count else ""
        origin = f"{said}{MADE} pictures made by effnet"
        return Probes(pixels=(*crops, *made(MADE, preprocess.size, channels)), origin=origin)
    if channels not in (1, 3):
        raise InputError(f"this network reads {channels} channels", where="images", fix="leave the images out")
    files = expand([images] if isinstance(images, str | os.PathLike) else images)
    pixels, unreadable = [], 0
    for file in files:
        try:
            pixels.append(to_pixels(decode(Path(file), white=preprocess.white), preprocess))
        except ImageError:
            unreadable += 1
    if not pixels:
        raise InputError(f"none of {len(files)} images can be read", where=files[0], fix="name readable images")
    skipped = f" ({unreadable} could not be read)" if unreadable else ""
    return Probes(pixels=tuple(pixels), origin=f"{len(pixels)} images given by the user{skipped}")


def made(count: int, size: int, channels: int) -> tuple[NDArray[np.uint8], ...]:
    """Return `count` pictures (size, size, channels): waves, edges and noise of whole-number arithmetic.

    The same numbers on every machine and with every version of every library.
    """
    rows, columns = (np.arange(size, dtype=np.int64) * 256 // size for _ in range(2))
    pictures = []
    for number in range(count):
        planes = [_plane(rows, columns, number, channel) for channel in range(channels)]
        pictures.append(np.stack(planes, axis=-1).astype(np.uint8))  # (size, size, channels)
    return tuple(pictures)


def _plane(rows: NDArray[np.int64], columns: NDArray[np.int64], number: int, channel: int) -> NDArray[np.int64]:
    """Return one channel (size, size) of values 0 to 255; coordinates run from 0 to 255 whatever the size."""
    seed = 37 * number + 101 * channel + 11
    down, across = rows[:, None], columns[None, :]
    wave = np.abs((down * (1 + seed % 5) + across * (1 + seed % 7) + 29 * number) % 512 - 256)
    edge = ((down // (16 + seed % 48) + across // (16 + seed % 32)) % 2) * (64 + seed % 128)
    mixed = (down * 1103515245 + across * 12345 + (down * across) * 2654435761 + seed * 69069) & 0xFFFFFFFF
    noise = (mixed ^ (mixed >> 13)) % (8 + 16 * (number % 4))
    plane: NDArray[np.int64] = np.clip(wave // 2 + edge + noise, 0, 255)
    return plane


def _photographs() -> list[Image.Image]:
    try:
        from sklearn.datasets import load_sample_images
    except ImportError:
        return []
    return [Image.fromarray(pixels) for pixels in load_sample_images().images]


def _views(photo: Image.Image) -> Sequence[Image.Image]:
    sides = (*photo.size, *photo.size)
    crops = []
    for shares in _CROPS:
        left, top, right, bottom = (int(share * side) for share, side in zip(shares, sides, strict=True))
        crops.append(photo.crop((left, top, right, bottom)))
    return [*crops, *(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for crop in crops)]

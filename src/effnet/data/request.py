"""What a loader is asked for, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One batch to load; all that decides its pixels but the recipe's constants.

    Attributes:
        epoch: from 0; with the seed and the image's number it decides the augmentation.
        indices: numbers of the images in the source, repetitions allowed.
        image_size: side of the images in pixels.
        magnitude: of RandAugment.
    """

    epoch: int
    indices: tuple[int, ...]
    image_size: int
    magnitude: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A batch as the loader gives it, not normalised yet: bytes are a quarter to move.

    Attributes:
        images: uint8 (N, H, W, C).
        labels: int64 (N,).
        indices: numbers of the images in the source; another than asked for where an unreadable image was replaced.
        waited: seconds that the caller waited for it.
    """

    images: Tensor
    labels: Tensor
    indices: tuple[int, ...]
    waited: float

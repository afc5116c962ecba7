"""Mixup and CutMix: images and labels of a batch blended with the same batch in reverse.

    targets = soft_targets(labels, classes=1000, smoothing=0.1)
    drawn = Mixing(mixup_alpha=0.2, cutmix_alpha=0.2).draw(rng, *sizes)
    images, targets = mix(images, targets, drawn)

Mixup (arXiv 1710.09412) takes w * image + (1 - w) * partner, with w the larger of lambda and 1 - lambda, lambda ~
Beta(alpha, alpha): an image keeps at least half of itself. CutMix (arXiv 1905.04899) puts a rectangle of the partner
into the image. Labels follow: by w, or by the area that was really covered after the border cut the rectangle off.

When both are on, the first half of the batch gets mixup and the second CutMix, each half reversed in itself. All of
this is the V2 code (google/automl, efficientnetv2/datasets.py); the V2 paper has no CutMix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from effnet.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """What happens to one batch of N images of `height` x `width` pixels.

    Args:
        height: px.
        width: px.
        blended: the first `blended` images get mixup, the others CutMix.
        own: (N,) share of its own label that each image keeps.
        boxes: (N, 4) rectangle that comes from the partner: left, top, right, bottom, px; empty for mixup.
    """

    height: int
    width: int
    blended: int
    own: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """How strongly batches are mixed.

    Args:
        mixup_alpha: of the Beta distribution of mixup's weight; 0 is off.
        cutmix_alpha: of the Beta distribution of the area that CutMix leaves; 0 is off.
        per: each sample has its own weight or rectangle (the V2 code), or the batch has one (the papers).

    Raises:
        InputError: an alpha is negative or not finite.
    """

    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    per: Literal["sample", "batch"] = "sample"

    def __post_init__(self) -> None:
        """Refuse strengths that mean nothing."""
        for name, alpha in (("mixup_alpha", self.mixup_alpha), ("cutmix_alpha", self.cutmix_alpha)):
            if not 0 <= alpha < math.inf:
                raise InputError(f"{name} {alpha}", where="Mixing", fix="give a finite number, 0 for off")
        if self.per not in ("sample", "batch"):
            raise InputError(f"per {self.per!r}", where="Mixing", fix="use sample or batch")

    def draw(self, rng: np.random.Generator, batch: int, height: int, width: int) -> Mix | None:
        """Draw how a batch is mixed.

        Args:
            rng: the numbers of this batch, `generator(seed, step, rank, purpose=Purpose.MIX)`.
            batch: number of images, 0 or more.
            height: of the images, px.
            width: of the images, px.

        Returns:
            What to do, or None when both alphas are 0.
        """
        if not self.mixup_alpha and not self.cutmix_alpha:
            return None
        blended = batch // 2 if self.mixup_alpha and self.cutmix_alpha else batch if self.mixup_alpha else 0
        own = np.ones(batch)
        boxes = np.zeros((batch, 4), dtype=np.int64)
        if blended:
            share = rng.beta(self.mixup_alpha, self.mixup_alpha, size=self._draws(blended))
            own[:blended] = np.maximum(share, 1 - share)
        if blended < batch:
            boxes[blended:] = self._boxes(rng, batch - blended, height, width)
            left, top, right, bottom = boxes[blended:].T
            own[blended:] = 1 - (right - left) * (bottom - top) / (height * width)
        return Mix(height, width, blended, own, boxes)

    def _boxes(self, rng: np.random.Generator, batch: int, height: int, width: int) -> npt.NDArray[np.int64]:
        # cutmix_mask of the V2 code: halves are rounded down, so a side is even unless the border cuts it.
        draws = self._draws(batch)
        side = np.sqrt(1 - rng.beta(self.cutmix_alpha, self.cutmix_alpha, size=draws))
        column, row = rng.integers(0, width, size=draws), rng.integers(0, height, size=draws)
        across, down = (side * width).astype(np.int64) // 2, (side * height).astype(np.int64) // 2
        edges = (
            np.maximum(column - across, 0),
            np.maximum(row - down, 0),
            np.minimum(column + across, width),
            np.minimum(row + down, height),
        )
        return np.stack(edges, axis=1)

    def _draws(self, batch: int) -> int:
        return batch if self.per == "sample" else 1


def soft_targets(labels: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """Return the distribution over classes that each label stands for.

    Args:
        labels: (N,) class numbers.
        classes: number of classes K.
        smoothing: share of the mass that is spread evenly over all classes, 0 <= smoothing <= 1.

    Returns:
        (N, K) float32, each row summing to 1.

    Raises:
        InputError: smoothing is outside 0..1.
    """
    if not 0 <= smoothing <= 1:
        raise InputError(f"smoothing {smoothing}", where="soft_targets", fix="give a number from 0 to 1")
    off = smoothing / classes
    targets = torch.full((len(labels), classes), off, dtype=torch.float32, device=labels.device)
    return targets.scatter_(1, labels.long().unsqueeze(1), 1 - smoothing + off)


def mix(images: Tensor, targets: Tensor, drawn: Mix | None) -> tuple[Tensor, Tensor]:
    """Mix a batch as drawn.

    Args:
        images: (N, C, H, W), floating, any device and memory format; not changed.
        targets: (N, K), floating; not changed.
        drawn: what `Mixing.draw` returned for this batch; None returns both tensors as they are.

    Returns:
        Images and targets of the same shapes, dtypes, devices and memory formats.

    Raises:
        InputError: the batch is not the one that was drawn for, or is not floating.
    """
    if drawn is None:
        return images, targets
    _require_match(images, targets, drawn)
    half = drawn.blended
    mixed = torch.empty_like(images)
    if half:
        weight = torch.as_tensor(drawn.own[:half], dtype=images.dtype, device=images.device).view(-1, 1, 1, 1)
        torch.lerp(images[:half].flip(0), images[:half], weight, out=mixed[:half])
    if half < len(images):
        torch.where(_patch(drawn, images.device), images[half:].flip(0), images[half:], out=mixed[half:])
    own = torch.as_tensor(drawn.own, dtype=targets.dtype, device=targets.device).view(-1, 1)
    partners = torch.cat((targets[:half].flip(0), targets[half:].flip(0)))  # (N, K)
    return mixed, torch.lerp(partners, targets, own)


def _patch(drawn: Mix, device: torch.device) -> Tensor:
    boxes = torch.as_tensor(drawn.boxes[drawn.blended :], device=device)
    left, top, right, bottom = boxes.view(-1, 4, 1).unbind(1)  # each (N, 1)
    columns = torch.arange(drawn.width, device=device)
    rows = torch.arange(drawn.height, device=device)
    across = (columns >= left) & (columns < right)  # (N, W)
    down = (rows >= top) & (rows < bottom)  # (N, H)
    return (down.unsqueeze(2) & across.unsqueeze(1)).unsqueeze(1)  # (N, 1, H, W)


def _require_match(images: Tensor, targets: Tensor, drawn: Mix) -> None:
    expected = (len(drawn.own), drawn.height, drawn.width)
    if images.ndim != 4 or (len(images), *images.shape[-2:]) != expected or len(targets) != len(images):
        raise InputError(
            f"images {tuple(images.shape)} and targets {tuple(targets.shape)}, drawn for N, H, W = {expected}",
            where="mix",
            fix="draw for the batch that is mixed",
        )
    if not (images.is_floating_point() and targets.is_floating_point()):
        raise InputError(
            f"images {images.dtype}, targets {targets.dtype}", where="mix", fix="normalize first; use soft_targets"
        )

"""Images as normalised tensors that are kept, for evaluators that look at the same few again and again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from effnet.data.loading import Loader, normalise
from effnet.data.request import Request
from effnet.data.source import Source
from effnet.preprocessing import Preprocess

Batch = tuple[Tensor, Tensor]
"""Images (N, 3, H, W), normalised, and labels (N,)."""


def load_batches(
    source: Source,
    preprocess: Preprocess,
    *,
    device: torch.device,
    size: int = 64,
    most: int | None = None,
    seed: int | None = None,
) -> list[Batch]:
    """Return the source's images, prepared as for prediction.

    Args:
        size: images in a batch; the last may be smaller.
        most: images in all; None: every one.
        seed: of the order; None: as they are.

    Raises:
        ImageError: an image cannot be read.
    """
    order = np.arange(len(source)) if seed is None else np.random.default_rng(seed).permutation(len(source))
    order = order[:most]
    chunks = [order[i : i + size] for i in range(0, len(order), size)]
    loader = Loader(source, preprocess, augmentation=None, seed=0)
    requests = (Request(epoch=0, indices=tuple(c.tolist()), image_size=preprocess.size) for c in chunks)
    try:
        return [
            (normalise(loaded.images.to(device), preprocess), loaded.labels.to(device))
            for loaded in loader.batches(requests)
        ]
    finally:
        loader.close()

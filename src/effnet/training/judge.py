"""Judging a network on held-out images during training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from effnet.data.loading import Loader, Unreadable, normalise
from effnet.data.request import Request
from effnet.data.source import Source
from effnet.inference.metrics import Evaluation
from effnet.nn import Network
from effnet.preprocessing import Preprocess
from effnet.training.distributed import World
from effnet.training.forward import autocast
from effnet.training.recipe import Recipe


class Judge:
    """Evaluates networks on one source, all processes together."""

    def __init__(
        self,
        source: Source,
        preprocess: Preprocess,
        world: World,
        recipe: Recipe,
        *,
        workers: int = 0,
        unreadable: Unreadable = "fail",
    ) -> None:
        """Take the images and how they become inputs; images to be skipped are left out of the judgement."""
        self._source = source
        self._preprocess = preprocess
        self._world = world
        self._dtype = recipe.precision.dtype
        self._batch = max(1, min(128, (recipe.batch.size or 32) // world.size))
        self._loader = Loader(source, preprocess, augmentation=None, seed=0, workers=workers, unreadable=unreadable)

    def close(self) -> None:
        """End the loader's processes."""
        self._loader.close()

    @torch.no_grad()
    def evaluate(self, network: Network, stop: Callable[[], bool] = lambda: False) -> Evaluation | None:
        """Return how good `network`, as it is on the leading process, is on every image.

        Args:
            network: in training or evaluation mode; it is left as it was.
            stop: asked before every batch; when it says so, the result is None.
        """
        world = self._world
        world.copy_from_leader([*network.parameters(), *network.buffers()])
        # As many for each process, because sharded weights are gathered by all of them at once; the last image repeats.
        each = -(-len(self._source) // world.size)
        mine = np.minimum(np.arange(each) * world.size + world.rank, len(self._source) - 1)
        training = {module for module in network.modules() if module.training}
        network.eval()
        size = self._preprocess.size
        chunks = [mine[i : i + self._batch] for i in range(0, len(mine), self._batch)]
        requests = (Request(epoch=0, indices=tuple(chunk.tolist()), image_size=size) for chunk in chunks)
        logits: list[NDArray[np.float32]] = []
        read: list[int] = []
        with autocast(world.device, self._dtype):
            for loaded in self._loader.batches(requests):
                if stop():
                    break
                images = normalise(loaded.images.to(world.device, non_blocking=True), self._preprocess)
                logits.append(network(images).float().cpu().numpy())
                read.extend(loaded.indices)
        for module in training:
            module.training = True
        if stop():
            return None
        labels = np.asarray(self._source.labels)
        whole = np.empty((len(labels), network.spec.classes), np.float32)
        seen = np.zeros(len(labels), bool)
        for indices, part in world.gathered((read, np.concatenate(logits))):
            whole[indices], seen[indices] = part, True
        return Evaluation.of(whole[seen], labels[seen], tuple(self._source.classes))

"""Training a candidate for a few epochs: the truth that every cheaper evaluator is measured against.

MnasNet trained 5 epochs for each of some 8,000 candidates (Mnas section 5), V2 about 10 for each of 1,000 (V2 section
3.3). What such accuracies are good for is ranking; they say little about how good a network becomes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from effnet.data.source import Dataset
from effnet.errors import InputError
from effnet.nn import Network, build
from effnet.spec import NetworkSpec
from effnet.training.decisions import default_workers
from effnet.training.distributed import World
from effnet.training.events import Evaluated, Event
from effnet.training.fit import judged_with
from effnet.training.recipe import Recipe
from effnet.training.trainer import Trainer

Report = Callable[[float, int], bool]
"""From top-1 in percent and epochs done to whether to stop here."""

_FAST_NORM = 0.1
"""Weight of a batch in the norms' running statistics. The papers' 0.01 averages over hundreds of steps, which a short
training does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a short training gave.

    Attributes:
        top1: percent, of the network as the last epoch left it: the best epoch's would be flattered.
        curve: top-1 after each epoch.
        pruned: whether it was stopped early.
        seconds: of the whole.
        state: the network's weights.
        network: the trained network itself, on the device.
    """

    top1: float
    curve: tuple[float, ...]
    pruned: bool
    seconds: float
    network: Network

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The weights."""
        return self.network.state_dict()


class _StoppedError(Exception):
    """Leaves the training loop; never seen outside."""


class ShortTraining:
    """Trains networks from fresh weights, all alike.

    Attributes:
        dataset: with a part to judge by.
        recipe: with a batch size and a dtype; its resolution is each network's own when None.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, *, device: torch.device, workers: int | None = None) -> None:
        """Take what all candidates share.

        Raises:
            InputError: the data has no part to judge by.
        """
        if dataset.val is None:
            raise InputError("no images to judge by", where=dataset.name, fix="give data with a val part")
        if recipe.precision.dtype == "auto":
            fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
            precision = dataclasses.replace(recipe.precision, dtype="bfloat16" if fast else "float32")
            recipe = dataclasses.replace(recipe, precision=precision)
        self.dataset = dataset
        self.recipe = recipe
        self.device = device
        self._workers = default_workers(device) if workers is None else workers

    def __call__(
        self,
        spec: NetworkSpec,
        *,
        seed: int,
        report: Report = lambda top1, epoch: False,
        prepare: Callable[[Network], object] = lambda network: None,
    ) -> Trained:
        """Train `spec` and judge it after every epoch.

        Args:
            seed: of the weights, the order and the augmentation.
            report: told after each epoch; may end the training.
            prepare: given the fresh network, to put other weights into it.

        Raises:
            DivergedError, OutOfMemoryError, ImageError: as their names say.
            InterruptedRunError: SIGTERM or Ctrl-C came.
        """
        began = time.monotonic()
        recipe = dataclasses.replace(self.recipe, seed=seed)
        spec = spec.replace(classes=len(self.dataset.train.classes)).with_conventions(norm_momentum=_FAST_NORM)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build(spec)
            prepare(network)
            curve: list[float] = []

            def watch(event: Event) -> None:
                if isinstance(event, Evaluated):
                    curve.append(event.metrics["top1"])
                    if report(curve[-1], len(curve)) and len(curve) < recipe.epochs:
                        raise _StoppedError

            trainer = Trainer(
                network,
                recipe,
                self.dataset,
                preprocess=judged_with(None, recipe, spec),
                world=World(device=self.device),
                workers=self._workers,
                observers=[watch],
            )
            pruned = False
            try:
                trainer.run()
            except _StoppedError:
                pruned = True
            finally:
                trainer.close()
        seconds = time.monotonic() - began
        return Trained(
            top1=curve[-1], curve=tuple(curve), pruned=pruned, seconds=seconds, network=trainer.network.eval()
        )

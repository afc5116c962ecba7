"""Short training that brings a changed network back to what the float network answers. It needs no labels."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch

from effnet.data.source import Dataset, Source
from effnet.deploy.quantize.samples import Samples
from effnet.nn import Network
from effnet.training.distillation import Teacher
from effnet.training.distributed import World
from effnet.training.events import Event, Stepped
from effnet.training.interruption import InterruptedRunError
from effnet.training.recipe import Recipe
from effnet.training.trainer import Trainer

_BATCH = 32
_MOST_EPOCHS = 60
_CPU = torch.device("cpu")


def finetuned(
    network: Network,
    original: Network,
    samples: Samples,
    *,
    minutes: float,
    lr: float,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, int]:
    """Train `network` in place to answer as `original` does; return the epochs that were done, and that were planned.

    All of the loss is distillation (arXiv 1503.02531) on augmented images, so labels are not looked at and any images
    of the kind will do. The number of epochs is what a timed step promises to fit into the minutes, so that the rate
    has reached its end when they are over.

    Args:
        network: a changed copy of `original`, with as many outputs.
        samples: what may be learnt from; the gate's images are not in it.
        minutes: to spend at most.
        lr: peak learning rate for 256 images.
        progress: called with steps done and in all.
    """
    source = _Unlabelled(samples.source, _classes(original))
    batch = min(_BATCH, max(2, len(source) // 2))
    seconds = _step_seconds(network, batch, samples.preprocess.size) * -(-len(source) // batch)
    epochs = int(max(1, min(_MOST_EPOCHS, 60 * minutes / max(seconds, 1e-3))))
    recipe = Recipe.from_dict(
        {
            "name": "quantize",
            "epochs": epochs,
            "lr": lr,
            "seed": seed,
            "resolution": samples.preprocess.size,
            "batch": {"size": batch},
            "max_hours": max(minutes / 60, 1e-3),
            "optimizer": {"kind": "adamw", "weight_decay": 0.0, "clip_norm": 1.0},
            "schedule": {"decay": "cosine", "warmup_epochs": min(1.0, epochs / 10)},
            "augmentation": {"crop_area": 0.5},
            "regularisation": {"label_smoothing": 0, "dropout": 0, "drop_path": 0},
            "ema": {"decay": 0},
            "distillation": {"weight": 1.0, "temperature": 2.0},
            "precision": {"dtype": "float32"},
        }
    )
    known = copy.copy(original)  # it may not know how images are prepared; the same tensors
    known.preprocess = samples.preprocess
    teacher = Teacher(known, classes=source.classes, preprocess=samples.preprocess, device=_CPU)

    def observe(event: Event) -> None:
        if isinstance(event, Stepped):
            progress(event.step, trainer.timeline.steps)

    with torch.random.fork_rng(devices=[]):
        trainer = Trainer(
            network,
            recipe,
            Dataset("calibration", source),
            preprocess=samples.preprocess,
            world=World(device=_CPU),
            observers=[observe],
            teacher=teacher,
        )
        try:
            trainer.run()
        except InterruptedRunError as error:
            # There is no checkpoint to go on from, which its message would promise: let the signal do what it does.
            signal.raise_signal(error.signal)
            raise
        finally:
            trainer.close()
    network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return epochs * trainer.step / trainer.timeline.steps, epochs


class _Unlabelled:
    """Images whose labels nobody looks at, under the names of the network's outputs."""

    def __init__(self, source: Source, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self.labels = torch.zeros(len(source), dtype=torch.int64).numpy()
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> bytes | Path:
        return self._source.read(index)

    def name(self, index: int) -> str:
        return self._source.name(index)


def _classes(network: Network) -> tuple[str, ...]:
    return network.labels or tuple(map(str, range(network.spec.classes)))


def _step_seconds(network: Network, batch: int, size: int) -> float:
    """Time one step; its gradients are thrown away, and norms are in evaluation mode, so nothing changes."""
    images = torch.zeros(batch, network.spec.in_channels, size, size)
    network.eval()
    taken = []
    for _ in range(2):  # the first pays for memory
        began = time.monotonic()
        torch.autograd.backward(network(images).sum())
        network.zero_grad(set_to_none=True)
        taken.append(time.monotonic() - began)
    return 1.6 * taken[-1]  # the teacher's pass, norms and the optimizer

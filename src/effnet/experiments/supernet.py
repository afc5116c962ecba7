"""A supernet: every network of a space at once, with shared weights (SPOS, arXiv 1904.00420).

Its tensors are, for each role, as large as the largest candidate needs. A training step draws a candidate at random,
runs it on slices of the shared tensors, and moves those. A candidate is judged with its slices as they are, after its
norms have seen a few batches. That costs seconds where a training costs minutes; how well it ranks is measured.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from effnet.errors import InputError
from effnet.experiments.weight_sharing import roles, slice_of
from effnet.nn import Network, build
from effnet.search.space import Choices, SearchSpace, Value
from effnet.spec import NetworkSpec

Batch = tuple[Tensor, Tensor]

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Supernet:
    """The shared weights of a space."""

    def __init__(self, space: SearchSpace, *, classes: int, seed: int = 0, device: torch.device | None = None) -> None:
        """Draw fresh weights.

        Args:
            classes: that images have.
            seed: of the weights.
            device: where they are; None: the CPU.
        """
        self.space = space
        self.classes = classes
        self._device = device or torch.device("cpu")
        self._shared: dict[str, nn.Parameter] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for choices in _extremes(space):
                self._grow(build(self._spec(choices)))
        self._shared = {role: nn.Parameter(tensor.to(self._device)) for role, tensor in self._shared.items()}

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All shared tensors."""
        return list(self._shared.values())

    def train(
        self,
        batches: Sequence[Batch],
        *,
        epochs: int,
        seed: int = 0,
        rate: float = 0.003,
        progress: Callable[[int, int], object] = lambda done, of: None,
    ) -> None:
        """Train with a random candidate at every step; AdamW and a cosine.

        Shared weights learn slowly: each serves many networks. Give several times the epochs of a single training.

        Args:
            batches: images (N, 3, H, W), normalised, and labels (N,); seen once an epoch, flipped at random.
            seed: of the candidates and the order.
            progress: told after every step.

        Raises:
            InputError: nothing to train on.
        """
        steps = epochs * len(batches)
        if steps < 1:
            raise InputError("nothing to train on", where="supernet", fix="give epochs and images")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # dropout draws from it
            self._train(batches, epochs, random.Random(seed), rate, progress)

    def _train(
        self,
        batches: Sequence[Batch],
        epochs: int,
        rng: random.Random,
        rate: float,
        progress: Callable[[int, int], object],
    ) -> None:
        steps = epochs * len(batches)
        optimizer = torch.optim.AdamW(self.parameters, lr=rate, weight_decay=0.02)
        step = 0
        for _ in range(epochs):
            order = list(range(len(batches)))
            rng.shuffle(order)
            for place in order:
                images, labels = batches[place]
                images = images.flip(3) if rng.random() < 0.5 else images
                for group in optimizer.param_groups:
                    warm = min(1.0, (step + 1) / max(1, steps // 20))
                    group["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
                logits = self.logits(self.space.random(rng), images)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(functional.cross_entropy(logits, labels, label_smoothing=0.1))
                nn.utils.clip_grad_norm_(self.parameters, 1.0)
                optimizer.step()
                step += 1
                progress(step, steps)

    def logits(self, choices: Choices, images: Tensor) -> Tensor:
        """Return what a candidate says of images (N, 3, H, W): (N, classes), norms by this batch's statistics."""
        network = build(self._spec(choices), weights=False).train()
        state: dict[str, Tensor] = dict(self._slices(network))
        state |= _fresh_statistics(network, self._device)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False
        result: Tensor = functional_call(network, state, (images,))
        return result

    @torch.no_grad()
    def evaluate(self, choices: Choices, calibration: Sequence[Batch], batches: Sequence[Batch]) -> float:
        """Return a candidate's top-1 in percent.

        Args:
            calibration: batches that its norm statistics are averaged over first.
            batches: that are judged.
        """
        network = build(self._spec(choices))
        network.load_state_dict(self.weights_of(choices, calibration))
        network.to(self._device).eval()
        right = sum(int((network(images).argmax(1) == labels).sum()) for images, labels in batches)
        return 100 * right / sum(len(labels) for _, labels in batches)

    @torch.no_grad()
    def weights_of(self, choices: Choices, calibration: Sequence[Batch]) -> dict[str, Tensor]:
        """Return a candidate's state dict, as a network of its own, with norm statistics of `calibration`."""
        network = build(self._spec(choices)).to(self._device)
        network.load_state_dict({**network.state_dict(), **self._slices(network)})
        network.train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # a plain average over the batches
            if isinstance(module, nn.Dropout):
                module.eval()
        for images, _ in calibration:
            network(images)
        return {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the shared tensors by role."""
        return {role: parameter.detach().clone() for role, parameter in self._shared.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the shared tensors back.

        Raises:
            InputError: they are those of another space.
        """
        mine = {role: parameter.shape for role, parameter in self._shared.items()}
        if mine != {role: tensor.shape for role, tensor in state.items()}:
            raise InputError("the weights of another supernet", where="supernet", fix="train one for this space")
        with torch.no_grad():
            for role, parameter in self._shared.items():
                parameter.copy_(state[role])

    def _spec(self, choices: Choices) -> NetworkSpec:
        return self.space.spec(choices).replace(classes=self.classes, drop_path=0.0)

    def _slices(self, network: Network) -> dict[str, Tensor]:
        named = roles(network)
        return {
            name: slice_of(self._shared[named[name]], tuple(parameter.shape))
            for name, parameter in network.named_parameters()
        }

    @torch.no_grad()
    def _grow(self, network: Network) -> None:
        """Make every shared tensor large enough for this candidate; what is there keeps its place."""
        named = roles(network)
        for name, parameter in network.named_parameters():
            role, fresh = named[name], parameter.detach()
            held = self._shared.get(role)
            if held is not None:
                shape = tuple(max(a, b) for a, b in zip(fresh.shape, held.shape, strict=True))
                if shape == tuple(held.shape):
                    continue
                grown = torch.zeros(shape)
                slice_of(grown, tuple(fresh.shape)).copy_(fresh)
                slice_of(grown, tuple(held.shape)).copy_(held)
                fresh = grown
            self._shared[role] = fresh  # type: ignore[assignment]  # becomes a parameter when it is large enough


def _extremes(space: SearchSpace) -> list[dict[str, Value]]:
    """Return few points that together need every tensor at its largest.

    Per kind of block, and per expand ratio (1 has another form than more), everything else is at its largest.
    """
    dimensions = space.dimensions
    kinds = sorted(
        {value for name, values in dimensions.items() if name.endswith(".kind") for value in values}, key=str
    )
    points = []
    for kind in kinds:
        for narrow in (False, True):
            point: dict[str, Value] = {}
            for name, values in dimensions.items():
                field = name.partition(".")[2]
                if field == "kind":
                    point[name] = kind if kind in values else values[0]
                elif field == "skip":
                    point[name] = values[0]
                elif field == "expand_ratio":
                    point[name] = min(values, key=float) if narrow else max(values, key=float)
                else:
                    point[name] = max(values, key=float)
            points.append(point)
    return points


def _fresh_statistics(network: Network, device: torch.device) -> dict[str, Tensor]:
    return {
        name: torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
        for name, tensor in network.named_buffers()
        if name.endswith(_STATISTICS)
    }

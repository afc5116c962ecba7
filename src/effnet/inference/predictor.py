"""Classifying images: a network with its own preprocessing and labels, fed by a pool of decoding threads.

>>> import effnet
>>> model = effnet.load("lite0")  # doctest: +SKIP
>>> model.predict("cat.jpg").label  # doctest: +SKIP
'tabby'
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from effnet.creation import assemble
from effnet.data.preprocess import to_batch
from effnet.errors import InputError, UnknownNameError, WeightsError
from effnet.families import catalog
from effnet.inference.classifier import CPU_BATCH, Classifier, ImageSource, Logits, Pixels, whole
from effnet.inference.graphs import GraphedNetwork
from effnet.inference.runtime import find_device, for_inference, torch_threads
from effnet.nn import Network, in_two_classes
from effnet.nn.two_classes import ONE_OUTPUT
from effnet.preprocessing import Preprocess, mismatch
from effnet.weights.loading import load_weights
from effnet.weights.published import published

ACCELERATOR_BATCH = 64


class Predictor(Classifier):
    """Classifies images with one network; `effnet.load` makes one.

    Attributes:
        device: where the network runs.
        threads: CPU threads of the network; None: as many as torch takes.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str | None = None,
        threads: int | None = None,
        batch: int | None = None,
        size: int | None = None,
        top: int = 5,
        graph: bool = False,
        flip: bool = False,
    ) -> None:
        """Take a network that knows its preprocessing; the arguments are those of `load`."""
        network = network.canonical()
        self.device = find_device(device)
        if network.spec.classes == 1:
            warnings.warn(ONE_OUTPUT, stacklevel=3)
        network = in_two_classes(network)
        usual = CPU_BATCH if self.device.type == "cpu" else ACCELERATOR_BATCH
        super().__init__(
            network.spec,
            preprocess_for(network, size),
            _labels_of(network),
            network.temperature,
            batch=usual if batch is None else batch,
            top=top,
            flip=flip,
        )
        self.threads = None if threads is None else whole("threads", threads)
        self._network = for_inference(network, self.device)
        self._forward = GraphedNetwork(self._network, self.device) if graph else self._network

    @property
    def network(self) -> Network:
        """The network that answers: in evaluation mode, with folded norms, on `device`."""
        return self._network

    def prepare(self, sources: Iterable[ImageSource]) -> Tensor:
        """Decode, resize and normalise images: -> float32 (N, C, size, size), the input of `logits`.

        Raises:
            ImageError: an image cannot be read.
        """
        pixels = [self.pixels(source) for source in sources]
        if not pixels:
            raise InputError("no images to prepare", fix="give at least one")
        return to_batch(pixels, self.preprocess)

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Run the network: prepared images (N, C, H, W) -> float32 logits (N, classes), on the predictor's device.

        Raises:
            WeightsError: the network's outputs are not finite.
            InputError: the batch does not fit in memory.
        """
        with torch_threads(self.threads), _memory_errors(self):
            logits: Tensor = self._forward(images.to(self.device)).float()
        if not logits.isfinite().all():
            raise WeightsError("the network's outputs are not finite", where=self.spec.name, fix="get intact weights")
        return logits

    def classify(self, pixels: Sequence[Pixels]) -> Logits:
        """Run the network; arguments, result and errors as `Classifier` says."""
        logits: Logits = self.logits(to_batch(pixels, self.preprocess)).cpu().numpy()
        return logits


def load(
    model: str | os.PathLike[str] | Network,
    *,
    device: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    size: int | None = None,
    top: int = 5,
    graph: bool = False,
    flip: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Predictor:
    """Return a predictor for a model.

    Args:
        model: a published name (`lite0`: its default weights), a tag that `effnet weights list` shows, a model file,
            a run folder of `effnet train` (its best network), or a network that knows its preprocessing.
        device: as torch writes it (`cpu`, `cuda:1`); None: the accelerator if there is one.
        threads: CPU threads of the network; None: as many as torch takes.
        batch: images the network sees at once; None: 8 on a CPU, 64 elsewhere.
        size: input side in pixels, if not the one that the weights were evaluated with; warns when it is far off.
        top: how many classes a prediction names.
        graph: record the forward pass as a CUDA graph for each batch size met: sooner at batch 1, on a CUDA GPU only.
        flip: average each image's logits with those of its mirror image, for twice the time.
        progress: called with (bytes done, bytes in all or None) while weights are downloaded.

    Raises:
        UnknownNameError: no such model or tag.
        WeightsError, DownloadError, MissingDependencyError: the weights cannot be had.
        InputError: an argument is impossible, or the network does not know its preprocessing.
    """
    network = find_network(model, progress)
    return Predictor(network, device=device, threads=threads, batch=batch, size=size, top=top, graph=graph, flip=flip)


def find_network(
    model: str | os.PathLike[str] | Network, progress: Callable[[int, int | None], None] | None = None
) -> Network:
    """Return the network that a name, a tag or a model file means, with its weights; arguments and errors as `load`."""
    if isinstance(model, Network):
        return model.canonical()
    source = model if isinstance(model, str) else Path(model)
    try:
        return assemble(load_weights(None, source, progress=progress))
    except UnknownNameError:
        known = [*catalog.names(), *(weights.tag for variant in published() for weights in variant.weights)]
        see = "see effnet models, or name a model file"
        raise UnknownNameError.among("model", str(model), known, see=see) from None


def preprocess_for(network: Network, size: int | None = None) -> Preprocess:
    """Return how images become inputs of `size` pixels (None: the weights' own); another size than that warns.

    Raises:
        InputError: it cannot classify images, or does not know how they are prepared.
        SpecError: the size is impossible.
    """
    channels, preprocess = network.spec.in_channels, network.preprocess
    if network.spec.classes == 0:
        raise InputError("this network has no classifier", where=network.spec.name, fix="give it classes")
    if preprocess is None:
        raise InputError(
            "this network does not know how its weights want images prepared",
            where=network.spec.name,
            fix="load trained weights, or set network.preprocess to an effnet.Preprocess",
        )
    if channels not in (1, 3) or len(preprocess.mean) != channels or len(preprocess.std) != channels:
        raise InputError(
            f"reads {channels} channels, prepared with {len(preprocess.mean)} means; images have 3, or 1 when grey",
            where=network.spec.name,
            fix="use a network for 3 or 1 channels whose preprocessing has as many means",
        )
    if size is None:
        return preprocess
    resized = preprocess.with_size(size)
    if (text := mismatch(preprocess, size)) is not None:
        warnings.warn(text, stacklevel=4)
    return resized


def _labels_of(network: Network) -> tuple[str, ...] | None:
    labels, classes = network.labels, network.spec.classes
    if labels is not None and len(labels) != classes:
        what = f"{len(labels)} labels for {classes} classes"
        raise InputError(what, where=network.spec.name, fix="set network.labels to one name a class, or None")
    return labels


@contextmanager
def _memory_errors(predictor: Predictor) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        what = f"{predictor.batch} images of {predictor.preprocess.size} pixels do not fit in the memory"
        raise InputError(what, where=str(predictor.device), fix="use a smaller batch") from None

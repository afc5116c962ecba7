"""What a person calls the model to export: a name, a tag, a file, a run, a spec; and the network that it means."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from effnet.creation import assemble
from effnet.data.preprocess import to_batch
from effnet.deploy.probes import made
from effnet.errors import InputError, UnknownNameError
from effnet.families import catalog
from effnet.nn import Network, build, in_two_classes
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec
from effnet.training.run_folder import RunFolder
from effnet.weights import published
from effnet.weights.adapting import adapt_preprocess
from effnet.weights.loading import load_weights

FRESH = "fresh weights"
"""Provenance of a network that was never trained."""

_SETTLING = 12
"""Pictures whose statistics the norms of a fresh network take."""

_LEAST_VARIANCE = 0.25
"""Of a channel, as a share of its layer's mean: one that hardly varied would blow up what another picture has in it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A network that is ready to be exported.

    Attributes:
        network: in evaluation mode, with its preprocessing.
        preprocess: how images become its inputs.
        source: the digest of its tensors, and where they came from.
    """

    network: Network
    preprocess: Preprocess
    source: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What to call it."""
        return self.network.spec.name


def find_model(
    model: str | os.PathLike[str] | Network | NetworkSpec,
    *,
    fresh: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Model:
    """Return the network that `model` means.

    Args:
        model: a published name (its default weights), a tag that `effnet weights list` shows, a model file or weights
            of any layout, a run folder of `effnet train` (its best network), a spec (fresh weights) or a network.
        fresh: take fresh weights for a name, as for a spec: to measure, not to use.
        progress: called with (bytes done, bytes in all or None) during a download.

    Raises:
        UnknownNameError, InputError: nothing is called so, or it cannot classify.
        WeightsError, DownloadError, MissingDependencyError: the weights cannot be had.
    """
    provenance: Mapping[str, Any] = {}
    if isinstance(model, Network):
        network = model.canonical()
    elif isinstance(model, NetworkSpec) or fresh:
        network = _fresh(model if isinstance(model, NetworkSpec) else catalog.find(str(model)))
        provenance = {"weights": FRESH}
    else:
        network, provenance = _loaded(model, progress)
    if not network.spec.classes:
        raise InputError("this network has no classifier", where=network.spec.name, fix="give it classes")
    network = in_two_classes(network)
    preprocess = network.preprocess or _usual(network.spec)
    if len(preprocess.mean) != network.spec.in_channels:
        what = f"reads {network.spec.in_channels} channels, prepared with {len(preprocess.mean)} means"
        raise InputError(what, where=network.spec.name, fix="set network.preprocess to one with a mean a channel")
    source = {"weights_sha256": weights_digest(network.state_dict()), **provenance}
    return Model(network=network.eval(), preprocess=preprocess, source=source)


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 of tensors and their names, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _loaded(
    model: str | os.PathLike[str], progress: Callable[[int, int | None], None] | None
) -> tuple[Network, Mapping[str, Any]]:
    place = Path(model)
    source: str | Path = model if isinstance(model, str) else place
    if place.is_dir():
        source = _of_run(place)
    elif place.suffix.lower() == ".json":
        raise InputError("is a spec, which has no weights", where=str(model), fix="give it fresh ones: --fresh")
    try:
        loaded = load_weights(None, source, progress=progress)
    except UnknownNameError:
        known = [*catalog.names(), *(weights.tag for variant in published.published() for weights in variant.weights)]
        see = "see effnet models, or name a model file"
        raise UnknownNameError.among("model", str(model), known, see=see) from None
    return assemble(loaded), loaded.provenance


def _of_run(folder: Path) -> Path:
    run = RunFolder(folder)
    for file in (run.best, run.last):
        if file.is_file():
            return file
    raise InputError("holds no trained network", where=str(folder), fix="give the folder of a finished effnet train")


def settled_on(model: Model, pixels: Sequence[NDArray[np.uint8]]) -> Model:
    """Return a fresh network whose norms have the statistics of some of these pictures, and of some made ones.

    Otherwise a picture unlike those that it was settled on can give logits in the hundreds, with rounding errors to
    match: on B0 and photographs up to 3e-4 of the largest logit, where trained networks stay near 3e-6.

    Args:
        model: with fresh weights; it is changed.
        pixels: uint8 (size, size, channels) each, of any one size.
    """
    size = pixels[0].shape[0]
    step = max(1, len(pixels) // _SETTLING)
    pictures = [*pixels[::step][:_SETTLING], *made(_SETTLING, size, model.network.spec.in_channels)]
    _settle(model.network, pictures, model.preprocess)
    source = {**model.source, "weights_sha256": weights_digest(model.network.state_dict())}
    return dataclasses.replace(model, source=source)


def _fresh(spec: NetworkSpec) -> Network:
    """Return `spec` with the same fresh weights every time, whose signal neither dies away nor explodes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(spec)
    preprocess = _usual(spec)
    _settle(network, made(_SETTLING, preprocess.size, spec.in_channels), preprocess)
    return network


@torch.no_grad()
def _settle(network: Network, pictures: Sequence[NDArray[np.uint8]], preprocess: Preprocess) -> None:
    """Give every norm the statistics of these pictures, as one batch."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # drop path draws
        network.train()(to_batch(pictures, preprocess))
    network.eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.clamp_(min=_LEAST_VARIANCE * module.running_var.mean())


def _usual(spec: NetworkSpec) -> Preprocess:
    """Return what published weights of this network want, at the spec's own size; ImageNet's means for others."""
    if spec.name in catalog.names():
        usual = dataclasses.replace(published.default(spec.name).preprocess, size=spec.resolution)
    else:
        usual = Preprocess(size=spec.resolution)
    return adapt_preprocess(usual, spec.in_channels)

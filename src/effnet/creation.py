"""From a name to a network with weights: the one door that joins catalogue, weights and torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from effnet.errors import InputError
from effnet.families import catalog
from effnet.nn import Network, build, set_kernels
from effnet.nn.fused import Kernels
from effnet.spec import NetworkSpec
from effnet.weights.loading import LoadedWeights, load_weights


def create(
    model: str | NetworkSpec,
    *,
    weights: str | Path | None = None,
    classes: int | None = None,
    in_channels: int | None = None,
    dropout: float | None = None,
    drop_path: float | None = None,
    offline: bool | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    kernels: Kernels = "auto",
) -> Network:
    """Return the network called `model`, ready to train or, with weights, to predict.

    Args:
        model: a published name in any usual spelling (`b0`, `efficientnetv2-s`) or a spec.
        weights: None for fresh weights; `imagenet` for the variant's default published ones; a tag that
            `effnet weights list` shows; or a file of any layout that `effnet weights convert` reads.
        classes: number of outputs. Where it differs from the weights', the classifier starts fresh.
        in_channels: image channels. Where it differs from the weights', the stem's kernels are adapted.
        dropout: dropout before the classifier, if not the spec's.
        drop_path: drop path rate of the last block, if not the spec's.
        offline: refuse to download (default: what `EFFNET_OFFLINE` says).
        progress: called with (bytes done, bytes in all or None) during a download.
        kernels: `torch` computes with torch's operators, `triton` with ours (docs/kernels.md), `triton-maps` with
            ours but for the matrix products of training, `auto` with what was measured to be fastest on the GPU
            at hand. Weights and names are the same.

    Raises:
        UnknownNameError: no such model or weights.
        WeightsError, DownloadError: the weights cannot be had or do not fit.
        InputError, SpecError: an argument is impossible.
    """
    if not isinstance(model, str | NetworkSpec):
        raise InputError(f"model is {model!r}", fix="give a name such as 'b0' or a NetworkSpec")
    spec = model if isinstance(model, NetworkSpec) else catalog.find(model)
    loaded = None
    if weights is None:
        spec = spec.replace(
            classes=spec.classes if classes is None else classes,
            in_channels=spec.in_channels if in_channels is None else in_channels,
        )
    else:
        loaded = load_weights(
            spec,
            weights,
            classes=classes,
            in_channels=in_channels,
            offline=offline,
            progress=progress,
            named=model if isinstance(model, str) else None,
        )
        spec = loaded.spec
    if dropout is not None:
        spec = spec.replace(head=dataclasses.replace(spec.head, dropout=dropout))
    if drop_path is not None:
        spec = spec.replace(drop_path=drop_path)
    network = build(spec) if loaded is None else assemble(dataclasses.replace(loaded, spec=spec))
    set_kernels(network, kernels)
    return network


def assemble(loaded: LoadedWeights) -> Network:
    """Return the network of loaded weights, which knows its preprocessing and labels."""
    network = build(loaded.spec, weights=False)
    network.load_state_dict(loaded.state, assign=True)
    network.requires_grad_(True)
    network.preprocess = loaded.preprocess
    network.labels = loaded.labels
    network.temperature = loaded.temperature
    return network

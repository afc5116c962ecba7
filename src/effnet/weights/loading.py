"""From any source of weights to a state dict that fits, with the spec, preprocessing and labels that belong to it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet.errors import InputError, WeightsError
from effnet.families import catalog
from effnet.labels import published_labels
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec
from effnet.weights import layouts, modelfile, published, store
from effnet.weights.adapting import adapt_classifier, adapt_preprocess, adapt_stem
from effnet.weights.beside import beside, network_named, weights_in
from effnet.weights.choosing import choose, said
from effnet.weights.ports import port
from effnet.weights.published import PublishedWeights
from effnet.weights.reading import WeightsFile, read
from effnet.weights.run_model import model_of_run

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int, int | None], None]

_STEM = "features.0.0.weight"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".h5", ".ckpt", ".index", ".tgz", ".tar.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWeights:
    """A network's weights and what belongs to them.

    Attributes:
        state: complete state dict of `spec`.
        spec: the network with the conventions of these weights, and the classes and channels asked for.
        preprocess: how images become inputs.
        labels: class names in output order, when known.
        temperature: what logits are divided by for honest confidence.
        provenance: where the weights came from.
    """

    state: dict[str, Tensor]
    spec: NetworkSpec
    preprocess: Preprocess
    labels: tuple[str, ...] | None = None
    temperature: float = 1.0
    provenance: Mapping[str, Any] = field(default_factory=dict)


def load_weights(
    spec: NetworkSpec | None,
    source: str | Path,
    *,
    classes: int | None = None,
    in_channels: int | None = None,
    offline: bool | None = None,
    progress: Progress | None = None,
    named: str | None = None,
) -> LoadedWeights:
    """Return the weights that `source` names, for `spec` (None: whatever network they are of).

    Args:
        spec: the network they must be of; its conventions give way to those of the weights.
        source: `imagenet` (the default published weights of `spec`), a published tag, a file of any layout, or the
            folder of a run of `effnet train` (its best model) or of timm's or transformers' `save_pretrained`.
        classes: outputs, if not those of the weights: the classifier then starts afresh.
        in_channels: image channels, if not those of the weights: the stem's kernels are then adapted.
        offline: refuse to download; None asks the environment.
        progress: told the bytes done and in all during a download.
        named: what the network was asked for as. timm's `tf_...` decides padding and epsilon of a file; without it, a
            config.json beside the file, then the file, then an assumption that is warned of (see `ports`).

    Raises:
        UnknownNameError, InputError: nothing is called `source`.
        WeightsError: damaged, unsafe, or not of `spec`.
        DownloadError, MissingDependencyError: they cannot be had.
    """
    for name, value in (("classes", classes), ("in_channels", in_channels)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise InputError(f"{name} is {value!r}", where=name, fix="give a whole number")
    source = weights_in(model_of_run(source))
    if is_file_name(source):
        loaded = _from_file(Path(source), spec, named, trunk=classes is not None)
    else:
        loaded = _from_published(_published(str(source), spec), spec, offline, progress)
    return _adapted(loaded, classes, in_channels)


def is_file_name(source: str | Path) -> bool:
    """Whether `source` means a file rather than a published tag."""
    text = str(source)
    return isinstance(source, Path) or "/" in text or text.endswith(_SUFFIXES) or Path(text).is_file()


def _published(source: str, spec: NetworkSpec | None) -> PublishedWeights:
    if source.lower() != "imagenet":
        return published.find(source)
    if spec is None or spec.name not in catalog.names():
        name = "this network" if spec is None else spec.name
        fix = "give a file, or the tag of a published network's weights"
        raise InputError("there are no published weights", where=name, fix=fix)
    return published.default(spec.name)


def _from_published(
    weights: PublishedWeights, spec: NetworkSpec | None, offline: bool | None, progress: Progress | None
) -> LoadedWeights:
    theirs = weights.network
    if spec is not None:
        _same_architecture(spec, theirs, weights.tag)
    path = store.fetch(weights, offline=offline, progress=progress)
    file = read(path)
    try:
        state = layouts.to_native(file.tensors, theirs, weights.layout)
    except WeightsError as error:
        raise WeightsError(
            error.what, where=f"{weights.tag} ({path})", fix="delete the file and fetch it again"
        ) from None
    provenance = {
        "tag": weights.tag,
        "source": weights.source,
        "recipe": weights.recipe,
        "licence": weights.licence,
        "from": weights.url or weights.hub or weights.package,
        "sha256": weights.sha256,
    }
    return LoadedWeights(
        state=state,
        spec=theirs,
        preprocess=weights.preprocess,
        labels=published_labels(weights.classes),
        temperature=weights.temperature,
        provenance={key: value for key, value in provenance.items() if value},
    )


def _from_file(path: Path, spec: NetworkSpec | None, named: str | None, *, trunk: bool) -> LoadedWeights:
    file = read(path)
    if modelfile.is_model(file):
        model = modelfile.from_file(file, where=str(path))
        if spec is not None:
            _same_architecture(spec, model.spec, str(path))
        return LoadedWeights(
            state=model.state,
            spec=model.spec,
            preprocess=model.preprocess,
            labels=model.labels,
            temperature=model.temperature,
            provenance={"file": path.name, **model.provenance},
        )
    return _from_foreign(file, path, spec, named, trunk=trunk)


def _from_foreign(
    file: WeightsFile, path: Path, spec: NetworkSpec | None, named: str | None, *, trunk: bool
) -> LoadedWeights:
    config = beside(path)
    if spec is None and config is not None and (name := network_named(config.name)) is not None:
        spec = catalog.find(name)
    try:
        one = choose(file.tensors, spec, trunk=trunk)
        file = dataclasses.replace(file, tensors=one.tensors)
        layout = layouts.detect(file.tensors)
        chosen = spec if spec is not None else _recognised(file, layout)
        channels, classes = layouts.sizes(file.tensors, chosen, layout)
        sized = chosen.replace(in_channels=channels, classes=classes)
        known = port(file, path, layout, sized, named=named, config=config)
        state = layouts.to_native(file.tensors, known.spec, layout)
    except WeightsError as error:
        raise WeightsError(error.what, where=error.where or str(path), fix=error.fix) from None
    provenance: dict[str, Any] = {"file": path.name, "layout": layout}
    if one.left_out:
        warnings.warn(f"{path.name}: {said(one)}", stacklevel=4)
        provenance["left_out"] = list(one.left_out[:20])
    if known.assumed:
        warnings.warn(known.assumed, stacklevel=4)
        provenance["assumed"] = known.assumed
    return LoadedWeights(
        state=state,
        spec=known.spec,
        preprocess=adapt_preprocess(known.preprocess, channels),
        labels=known.labels,
        temperature=known.temperature,
        provenance=provenance,
    )


def _recognised(file: WeightsFile, layout: str) -> NetworkSpec:
    found = layouts.recognise(file.tensors, layout)
    if not found:
        fix = "name the network: create(spec, weights=...), or --variant NAME"
        raise WeightsError("these are the weights of no published network", fix=fix)
    # Variants that differ only in resolution have the same tensors; the first is the smaller.
    return catalog.find(found[0])


def _same_architecture(wanted: NetworkSpec, found: NetworkSpec, where: str) -> None:
    parts = ("stem", "stages")
    same = all(getattr(wanted, part) == getattr(found, part) for part in parts)
    if not same or wanted.head.channels != found.head.channels:
        raise WeightsError(
            f"these are weights of {found.name}, not of {wanted.name}",
            where=where,
            fix=f"create {found.name}, or give other weights",
        )


def _adapted(loaded: LoadedWeights, classes: int | None, in_channels: int | None) -> LoadedWeights:
    spec, state, labels = loaded.spec, dict(loaded.state), loaded.labels
    preprocess, temperature = loaded.preprocess, loaded.temperature
    if in_channels is not None and in_channels != spec.in_channels:
        spec = spec.replace(in_channels=in_channels)
        state[_STEM] = adapt_stem(state[_STEM], in_channels)
        preprocess = adapt_preprocess(preprocess, in_channels)
    if classes is not None and classes != spec.classes:
        weight, bias = (state.pop(f"classifier.1.{name}", None) for name in ("weight", "bias"))
        if classes:
            state |= _classifier(weight, bias, spec, classes)
        kept = weight is not None and (weight.shape[0], classes) == (1001, 1000)
        labels = published_labels(1000) if kept else None
        temperature = 1.0
        spec = spec.replace(classes=classes)
    return LoadedWeights(
        state=state,
        spec=spec,
        preprocess=preprocess,
        labels=labels,
        temperature=temperature,
        provenance=loaded.provenance,
    )


def _classifier(weight: Tensor | None, bias: Tensor | None, spec: NetworkSpec, classes: int) -> dict[str, Tensor]:
    import torch

    from effnet.unrolling import unroll

    if weight is None or bias is None:
        weight, bias = torch.empty(0, unroll(spec).features), torch.empty(0)
    fresh, zero, _ = adapt_classifier(weight, bias, classes)
    return {"classifier.1.weight": fresh, "classifier.1.bias": zero}

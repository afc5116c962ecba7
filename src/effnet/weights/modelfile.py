"""effnet's model file: one .safetensors that carries the weights and everything needed to use them.

The tensors have our (torchvision's) names; the metadata hold one JSON object, `effnet`, with the spec, preprocessing,
labels, metrics and where the weights came from. Any safetensors reader can open it; nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet.errors import SpecError, WeightsError
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec
from effnet.temperature import FIX as TEMPERATURE_FIX
from effnet.temperature import is_temperature
from effnet.version import __version__
from effnet.weights import layouts
from effnet.weights.atomic import atomic_write
from effnet.weights.header import ENTRY
from effnet.weights.reading import WeightsFile, read

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
_KNOWN = frozenset({"format", "spec", "preprocess", "labels", "metrics", "temperature", "provenance", "digest"})
_NO_DIGEST = "0" * 64
_AGAIN = "get the file again"
_CONVERT = "convert it: effnet weights convert FILE OUT.safetensors --variant NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """What a model file holds.

    Attributes:
        spec: the network, with the conventions of these weights.
        state: the network's complete state dict.
        preprocess: how images become inputs.
        labels: class names in output order; None when the classes have none.
        metrics: figures measured with these weights, such as {"top1": 75.1}.
        temperature: what logits are divided by before the softmax, so that confidence is honest (arXiv 1706.04599).
        provenance: where they came from: tag, address, digest, licence, the version of effnet that wrote the file.
    """

    spec: NetworkSpec
    state: dict[str, Tensor]
    preprocess: Preprocess
    labels: tuple[str, ...] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together.

        Raises:
            WeightsError: the state is not of the spec, there are not as many labels as classes, or the temperature is
                not within its bounds.
        """
        # The native layout's check is the check that the state is whole and of this network.
        layouts.from_native(self.state, self.spec, "torchvision")
        if self.labels is not None and len(self.labels) != self.spec.classes:
            what = f"{len(self.labels)} labels for {self.spec.classes} classes"
            raise WeightsError(what, where=self.spec.name, fix="give one label a class, or none")
        if not is_temperature(self.temperature):
            raise WeightsError(f"temperature is {self.temperature!r}", where=self.spec.name, fix=TEMPERATURE_FIX)


def save(path: str | Path, model: ModelFile) -> Path:
    """Write `model` to `path`, whole or not at all; the same model gives the same bytes.

    Raises:
        StorageError: no room or no permission.
    """
    import safetensors.torch

    description = {
        "format": FORMAT,
        "spec": model.spec.to_dict(),
        "preprocess": model.preprocess.to_dict(),
        "labels": model.labels,
        "metrics": dict(model.metrics),
        "temperature": model.temperature,
        "provenance": {"effnet": __version__, **model.provenance},
        "digest": _NO_DIGEST,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(model.state.items())}
    text = json.dumps(description, sort_keys=True, ensure_ascii=False)
    digest = json.dumps(_digest(text, tensors))
    metadata = {ENTRY: text.replace(f'"digest": "{_NO_DIGEST}"', f'"digest": {digest}')}
    target = Path(path)
    needs = sum(tensor.nbytes for tensor in tensors.values())
    with atomic_write(target, needs=needs) as temp:
        safetensors.torch.save_file(tensors, temp, metadata=metadata)
    return target


def load(path: str | Path) -> ModelFile:
    """Read and check a model file.

    Raises:
        InputError: there is no such file.
        WeightsError: it is damaged, or is no model file.
    """
    file = read(path)
    if not is_model(file):
        raise WeightsError("holds weights but no network description", where=str(path), fix=_CONVERT)
    return from_file(file, where=str(path))


def is_model(file: WeightsFile) -> bool:
    """Whether a weights file is one of ours, be it with a damaged name of the entry that says so."""
    own = ('"digest": "', '"preprocess": ', '"provenance": ')  # other libraries write digests too
    return ENTRY in file.metadata or any(all(mark in text for mark in own) for text in file.metadata.values())


def from_file(file: WeightsFile, *, where: str) -> ModelFile:
    """Return what a file of ours holds.

    Raises:
        WeightsError: its description or a tensor is damaged, from a newer version, or not of its tensors.
    """
    if ENTRY not in file.metadata:
        raise WeightsError("its description is damaged: another name than effnet's", where=where, fix=_AGAIN)
    try:
        description = _mapping(json.loads(file.metadata[ENTRY]))
    except (ValueError, RecursionError, WeightsError):
        raise WeightsError("its description is damaged: not a JSON object", where=where, fix=_AGAIN) from None
    version = description.get("format")
    if version != FORMAT:
        what = f"is a model file of format {version}, this version reads {FORMAT}"
        raise WeightsError(what, where=where, fix="pip install --upgrade effnet")
    _verify(file, description, where)
    try:
        labels = description.get("labels")
        return ModelFile(
            spec=NetworkSpec.from_dict(_mapping(description.get("spec"))),
            state=dict(file.tensors),
            preprocess=Preprocess.from_dict(_mapping(description.get("preprocess"))),
            labels=None if labels is None else _labels(labels),
            metrics=_mapping(description.get("metrics")),
            temperature=description.get("temperature", 1.0),
            provenance=_mapping(description.get("provenance")),
        )
    except (SpecError, WeightsError) as error:
        place = f"{where} ({error.where})" if error.where else where
        raise WeightsError(f"its description is damaged: {error.what}", where=place, fix=_AGAIN) from None


def _verify(file: WeightsFile, description: Mapping[str, Any], where: str) -> None:
    """Refuse a file that is not what was written; files of versions that wrote no digest pass."""
    # A damaged name of the digest's own entry would look like a file without one.
    if unknown := sorted(set(description) - _KNOWN):
        what = f"its description is damaged or of a newer version: {unknown[0][:40]!r}"
        raise WeightsError(what, where=where, fix=_AGAIN)
    if "digest" not in description:
        return
    digest, text = description["digest"], file.metadata[ENTRY]
    whole = text.replace(f'"digest": "{digest}"', f'"digest": "{_NO_DIGEST}"')
    if digest != _digest(whole, file.tensors):
        raise WeightsError("is damaged: it is not what its digest says was written", where=where, fix=_AGAIN)


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over the description (its digest blank) and each tensor's name, type, shape and bytes."""
    import torch

    found = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(tensors.items()):
        found.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode("utf-8", "surrogatepass"))
        data: Any = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
        found.update(data)
    return found.hexdigest()


def _labels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(v, str) for v in value):
        raise WeightsError("labels are not a list of texts")
    return tuple(value)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WeightsError(f"{type(value).__name__} where an object is expected")
    return value

"""What a model file says of itself, without its tensors and without torch: network, labels, figures, size.

>>> from effnet.weights.header import read_header
>>> read_header("runs/mine/best.safetensors").spec.name  # doctest: +SKIP
'efficientnet_b0'
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effnet.errors import InputError, SpecError, WeightsError
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec

ENTRY = "effnet"
"""Name of the metadata entry that describes a model file.

There is one: safetensors writes several in no fixed order, and the same model shall give the same bytes."""

_MAX_HEADER = 100_000_000
_AGAIN = "get the file again"
_CONVERT = "convert it: effnet weights convert FILE OUT.safetensors --variant NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHeader:
    """A model file, weights apart.

    Attributes:
        spec: the network.
        preprocess: how images become inputs.
        labels: class names in output order; None when the classes have none.
        metrics: figures measured with these weights, such as {"top1": 75.1}.
        provenance: where the weights came from.
        bytes: size of the file.
    """

    spec: NetworkSpec
    preprocess: Preprocess
    labels: tuple[str, ...] | None
    metrics: Mapping[str, float]
    provenance: Mapping[str, Any]
    bytes: int


def read_header(path: str | Path) -> ModelHeader:
    """Return what the model file at `path` says of itself; its tensors are not looked at.

    Raises:
        InputError: there is no such file.
        WeightsError: it is no model file, or its description is damaged.
    """
    place = Path(path)
    description, size = _description(place)
    try:
        labels, metrics = description.get("labels"), description.get("metrics", {})
        provenance = description.get("provenance", {})
        if not isinstance(metrics, dict) or not isinstance(provenance, dict):
            raise WeightsError("metrics or provenance are not objects")
        numbers = {str(k): float(v) for k, v in metrics.items() if isinstance(v, int | float)}
        return ModelHeader(
            spec=NetworkSpec.from_dict(_mapping(description.get("spec"))),
            preprocess=Preprocess.from_dict(_mapping(description.get("preprocess"))),
            labels=None if labels is None else tuple(map(str, labels)),
            metrics=numbers,
            provenance=provenance,
            bytes=size,
        )
    except (SpecError, WeightsError, TypeError) as error:
        what = error.what if isinstance(error, SpecError | WeightsError) else str(error)
        raise WeightsError(f"its description is damaged: {what}", where=str(place), fix=_AGAIN) from None


def describes_a_network(path: str | Path) -> bool:
    """Whether a file is a model file of ours, damaged or not; other files of weights do not say what they are of.

    Raises:
        InputError: there is no such file.
    """
    try:
        _description(Path(path))
    except WeightsError as error:
        return error.fix != _CONVERT
    return True


def _description(place: Path) -> tuple[Mapping[str, Any], int]:
    try:
        with place.open("rb") as file:
            head = file.read(9)
            size = place.stat().st_size
            length = int.from_bytes(head[:8], "little")
            if len(head) < 9 or head[8:9] != b"{" or length > min(_MAX_HEADER, size - 8):
                raise WeightsError("is no model file of effnet", where=str(place), fix=_CONVERT)
            text = head[8:] + file.read(length - 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", where=str(place), fix="check the path") from None
    try:
        entry = _mapping(json.loads(text)).get("__metadata__", {}).get(ENTRY)
        if entry is None:
            raise WeightsError("holds weights but no network description", where=str(place), fix=_CONVERT)
        return _mapping(json.loads(entry)), size
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise WeightsError("its description is damaged: not a JSON object", where=str(place), fix=_AGAIN) from None


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WeightsError(f"{type(value).__name__} where an object is expected")
    return value

"""Tensors out of a weights file, of any kind we know, without ever running what is in it.

The kind is told by content, not by name. Pickles go through PyTorch's restricted unpickler (`weights_only=True`), which
builds tensors and plain containers and refuses everything else; HDF5 links to other files are not followed. Every way
in which a file can be wrong ends in one `WeightsError`.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from effnet.errors import EffnetError, InputError, WeightsError
from effnet.weights import checkpoint, hdf5
from effnet.weights.layouts import prefixes

if TYPE_CHECKING:
    from torch import Tensor

Format = Literal["safetensors", "torch", "h5", "tensorflow"]

MAX_BYTES = 16 << 30
"""Largest file, and largest sum of tensors, that is read: L2, the largest network, has 2 GB."""

MAX_TENSORS = 100_000

_HEADER_MAX = 100_000_000
_NAME_MAX = 1000
_AGAIN = "get the file again; if it stays so, it was damaged before"
_KINDS = "give a .safetensors, a PyTorch .pth, a Keras .h5 or a TensorFlow checkpoint"

# Where training scripts keep the network inside a checkpoint, best first: averaged weights are the ones they evaluate.
_DEPTH = 4
_COUNTED = (".running_mean", ".running_var")
_OPTIONS = ("args", "hyper_parameters", "config", "cfg", "opt", "hparams")

ARCHITECTURES = ("arch", "architecture", "model_name", "model", "encoder_name", "backbone")
"""Under which name metadata and checkpoints say which network they are of."""

_CONTAINERS = ("state_dict_ema", "model_ema", "ema_state_dict", "state_dict", "model_state_dict", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """What a weights file holds.

    Attributes:
        format: what kind of file it is.
        tensors: tensors by the names that the file gives them (Keras: `layer/weight`).
        metadata: texts beside the tensors of safetensors; of a training script's checkpoint, what it calls its network.
    """

    format: Format
    tensors: dict[str, Tensor]
    metadata: Mapping[str, str]


def read(path: str | Path) -> WeightsFile:
    """Return the tensors in the file at `path`; for a TensorFlow checkpoint, its prefix, its .index or its archive.

    Raises:
        InputError: there is no such file.
        WeightsError: it is no weights file, damaged, unsafe or too large.
        MissingDependencyError: a package is needed to read this kind.
    """
    place = Path(path)
    if (prefix := checkpoint.prefix_of(place)) is not None:
        with _typed(place):
            return _checked(place, "tensorflow", checkpoint.read(prefix))
    head, size = _head(place)
    kind = _kind(place, head, size)
    metadata: Mapping[str, str] = {}
    with _typed(place):
        if kind == "torch" and head.startswith(b"PK") and (whole := hdf5.read_archive(place)) is not None:
            return _checked(place, "h5", whole)
        if kind == "safetensors":
            tensors, metadata = _safetensors(place)
        elif kind == "torch":
            tensors, metadata = _torch(place)
        elif kind == "h5":
            tensors = hdf5.read(place)
        else:
            tensors = checkpoint.read_archive(place, MAX_BYTES)
    return _checked(place, kind, tensors, metadata)


def _head(path: Path) -> tuple[bytes, int]:
    try:
        if not path.exists():
            raise InputError("there is no such file", where=str(path), fix="check the path")
        if not path.is_file():
            raise InputError("is not a file", where=str(path), fix=_KINDS)
        with path.open("rb") as file:
            return file.read(64), path.stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        fix = "check the path and its permissions"
        raise InputError(f"cannot be read: {reason}", where=str(path), fix=fix) from None


def _kind(path: Path, head: bytes, size: int) -> Format:
    if size == 0:
        raise WeightsError("is empty", where=str(path), fix=_AGAIN)
    if size > MAX_BYTES:
        raise WeightsError(f"is {size} bytes, more than {MAX_BYTES}", where=str(path), fix="give weights alone")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5"
    if head.startswith(b"PK\x03\x04") or re.match(rb"\x80[\x02-\x05]", head):
        return "torch"
    if head.startswith(b"\x1f\x8b"):
        return "tensorflow"
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= _HEADER_MAX:
        if length + 8 > size:
            raise WeightsError("is cut off within its header", where=str(path), fix=_AGAIN)
        return "safetensors"
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError("is a web page, not weights", where=str(path), fix="download the file itself")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError("is a Git LFS pointer, not the weights", where=str(path), fix="run: git lfs pull")
    if graph := _graph(path, head):
        fix = "give its weights; of graphs effnet runs those that effnet export made, which say how to feed them"
        raise WeightsError(f"is {graph} of another program, not weights", where=str(path), fix=fix)
    raise WeightsError(f"is not a weights file (it starts with {head[:8]!r})", where=str(path), fix=_KINDS)


def _graph(path: Path, head: bytes) -> str | None:
    """Return what kind of exported graph a file is, or None."""
    if head[4:8] == b"TFL3":
        return "a LiteRT (TensorFlow Lite) graph"
    if head[4:8] in (b"ET12", b"ET13"):
        return "an ExecuTorch program"
    if path.suffix.lower() == ".onnx" and head[:1] == b"\x08":  # its first field is the version of the format
        return "an ONNX graph"
    return None


@contextmanager
def _typed(path: Path) -> Iterator[None]:
    """Turn whatever a library raises over the bytes of a file into one error."""
    try:
        yield
    except EffnetError as error:
        if error.where is None:
            error.where = str(path)
        raise
    except Exception as error:
        text = str(error).strip()
        reason = text.splitlines()[0][:200] if text else type(error).__name__
        raise WeightsError(f"is damaged: {reason}", where=str(path), fix=_AGAIN) from error


def _safetensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    import json

    import safetensors.torch

    # Read whole rather than mapped: a mapped file that another program cuts off would kill this process.
    data = path.read_bytes()
    tensors = safetensors.torch.load(data)
    text = data[8 : 8 + int.from_bytes(data[:8], "little")]
    if text[text.rfind(b"}") + 1 :].strip(b" "):
        raise WeightsError("is damaged: its header is padded with other than spaces", where=str(path), fix=_AGAIN)
    header = json.loads(text)
    return tensors, {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}


def _torch(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    import argparse

    import torch

    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            _check_archive(path)
    try:
        # Training scripts keep their options in a Namespace: it holds values and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        text = str(error)
        if "TorchScript" in text:
            what = "is a TorchScript program, not weights"
            fix = "save its state_dict() as .safetensors where you trust it"
            raise WeightsError(what, where=str(path), fix=fix) from None
        if "weights_only" in text and re.search(r"[Uu]nsupported operand \d+", text):
            what = "is a pickle of a protocol that PyTorch does not read safely (4 or 5); nothing of it was run"
            fix = "save it again with torch.save(model.state_dict(), FILE), which writes protocol 2"
            raise WeightsError(what, where=str(path), fix=fix) from None
        if "weights_only" in text and re.search(r"[Uu]nsupported|not an allowed|Trying to", text):
            raise WeightsError(
                f"holds {_offender(text)}, which is code or an object and not a tensor; nothing of it was run",
                where=str(path),
                fix="get the weights as .safetensors, or save only model.state_dict() where you trust the file",
            ) from None
        raise
    tensors = _state(path, loaded)
    name = _architecture(loaded)
    return tensors, {"architecture": name} if name else {}


def _architecture(loaded: Mapping[Any, Any]) -> str:
    """Return what a training script called the network in its checkpoint; empty if it did not."""
    options = [loaded.get(place) for place in _OPTIONS]
    held = [loaded, *(one if isinstance(one, Mapping) else getattr(one, "__dict__", {}) for one in options)]
    names = (one.get(key) for one in held for key in ARCHITECTURES)
    return next((name for name in names if isinstance(name, str) and 0 < len(name) <= _NAME_MAX), "")


def _offender(text: str) -> str:
    match = re.search(r"GLOBAL (\S+)", text) or re.search(r"[Uu]nsupported (?:class|operand) (\S+)", text)
    return match[1][:80] if match else "a pickled object"


def _check_archive(path: Path) -> None:
    """Refuse what only looks like PyTorch's archive, and one that would unfold to more than it is."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise WeightsError("is compressed, which PyTorch's files are not", where=str(path), fix="unzip it first")
    if not any(entry.filename.endswith("data.pkl") for entry in entries):
        raise WeightsError("is an archive, but not one that PyTorch wrote", where=str(path), fix=_KINDS)


def _state(path: Path, loaded: Any) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        what = f"holds a {type(loaded).__name__}, not tensors by name"
        raise WeightsError(what, where=str(path), fix="save model.state_dict()")
    tensors = [_tensors(one) for _, one in sorted(_dictionaries(loaded), key=lambda found: _rank(found[0]))]
    # Averages of some trainers leave out the norms' statistics: only a whole network counts.
    whole = [(one, size) for one in tensors if (size := _network_size(one))]
    most = max((size for _, size in whole), default=0)
    if most:
        return next(one for one, size in whole if size == most)
    return max(tensors, key=len, default={})


def _dictionaries(
    value: Any, path: tuple[str, ...] = (), seen: frozenset[int] | set[int] = frozenset()
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Yield the mapping and those within it, each once, to the depth that checkpoints in checkpoints are seen in."""
    seen = seen or set()
    if isinstance(value, Mapping) and id(value) not in seen:
        cast("set[int]", seen).add(id(value))
        yield path, value
        if len(path) < _DEPTH:
            for name, inner in value.items():
                if isinstance(name, str):
                    yield from _dictionaries(inner, (*path, name), seen)


def _tensors(value: Mapping[Any, Any]) -> dict[str, Tensor]:
    import torch

    return {str(name): inner.detach() for name, inner in value.items() if isinstance(inner, torch.Tensor)}


def _rank(path: tuple[str, ...]) -> tuple[bool, int, int]:
    words = set(re.split(r"[._]", ".".join(path).lower()))
    known = next((place for place, name in enumerate(_CONTAINERS) if name in path), len(_CONTAINERS))
    return not words & {"ema", "shadow", "averaged"}, known, len(path)


def _network_size(tensors: Mapping[str, Tensor]) -> int:
    """Return how many tensors lie where a network of a known layout begins; 0 if none does."""
    found = prefixes(tensors)
    return max((sum(n.startswith(p) and n.endswith(_COUNTED) for n in tensors) for p in found), default=0)


def _checked(
    path: Path, kind: Format, tensors: dict[str, Tensor], metadata: Mapping[str, str] | None = None
) -> WeightsFile:
    import torch

    if not tensors:
        raise WeightsError("holds no tensors", where=str(path), fix="save model.state_dict()")
    if len(tensors) > MAX_TENSORS:
        raise WeightsError(f"holds {len(tensors)} tensors", where=str(path), fix="give the weights of one network")
    total = 0
    for name, tensor in tensors.items():
        if len(name) > _NAME_MAX or not name.isprintable():
            raise WeightsError("has a tensor with an unprintable name", where=str(path), fix=_AGAIN)
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            fix = "save plain float tensors"
            raise WeightsError(f"{name} is sparse, quantised or without data", where=str(path), fix=fix)
        # A view can claim any size over a few bytes.
        total += tensor.numel() * tensor.element_size()
        if total > MAX_BYTES:
            raise WeightsError(f"its tensors claim over {MAX_BYTES} bytes", where=str(path), fix=_AGAIN)
    return WeightsFile(format=kind, tensors=tensors, metadata=metadata or {})

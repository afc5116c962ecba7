"""Keras weights in HDF5: `.h5` of TensorFlow's Keras and Keras 3, and Keras 3's `.weights.h5`.

Only what lies in the file itself is read: links to other files are not followed, data kept in other files is refused.
The format's own library is native code that has had faults with hostile files; take `.h5` files from publishers.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet.errors import MissingDependencyError, WeightsError
from effnet.spec import NetworkSpec
from effnet.weights.layouts import from_native, keras

if TYPE_CHECKING:
    from torch import Tensor

    from effnet.preprocessing import Preprocess

# Weights hardly compress, so a file that claims to unfold to much more than itself is not weights.
_EXPANSION = 4
_SLACK = 1 << 20
_MAX_DEPTH = 64
_MAX_CHUNKS = 10_000
_MAX_ITEMS = 100_000


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors by `layer/weight` path; a numbered weight of Keras 3 by `layer/number`.

    Raises:
        MissingDependencyError: h5py is not installed.
        WeightsError: data is kept in other files, or claims to be more than the file.
        OSError, KeyError, RuntimeError, ValueError: the file is damaged.
    """
    return _read(path, path, path.stat().st_size)


def read_archive(path: Path) -> dict[str, Tensor] | None:
    """Return the tensors of a `.keras` file, a zip archive, as `read` does; None where it is another archive.

    Raises:
        As `read`.
    """
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename == "model.weights.h5"]
        if len(entries) != 1:
            return None
        size = entries[0].file_size
        if size > path.stat().st_size * _EXPANSION + _SLACK:
            raise WeightsError("claims more data than it has", where=str(path), fix="get the file again")
        return _read(path, io.BytesIO(archive.read(entries[0])), size)


def _read(path: Path, source: Path | io.BytesIO, size: int) -> dict[str, Tensor]:
    h5py = _library()
    left = size * _EXPANSION + _SLACK
    tensors: dict[str, Tensor] = {}
    found: list[tuple[str, Any]] = []

    def note(name: str, item: Any) -> None:
        if len(found) >= _MAX_ITEMS or name.count("/") > _MAX_DEPTH:
            raise WeightsError("nests deeper or holds more than a network", where=str(path), fix="save weights alone")
        found.append((name, item))

    with h5py.File(source, "r") as file:
        file.visititems(note)  # follows no links out of the file
        for name, item in found:
            if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
                continue
            if item.external or item.is_virtual:
                raise WeightsError(f"{name} is kept in another file", where=str(path), fix="get a file that is whole")
            if (
                item.chunks
                and math.prod(-(-n // c) for n, c in zip(item.shape, item.chunks, strict=True)) > _MAX_CHUNKS
            ):
                # Each chunk costs the library an entry in memory, however small it is.
                raise WeightsError(f"{name} is in too many pieces", where=str(path), fix="save weights unchunked")
            left -= item.nbytes
            if left < 0:
                fix = "get the file again from its publisher"
                raise WeightsError("claims more data than it has", where=str(path), fix=fix)
            tensors[_name(name, item)] = _tensor(item[()])
    return tensors


def write(
    path: Path, state: dict[str, Tensor], spec: NetworkSpec, preprocess: Preprocess, *, with_normalisation: bool
) -> None:
    """Write the state dict of our network `spec` as the `.h5` that `model.load_weights` of Keras 2 and 3 reads.

    Args:
        path: file to create; the caller makes it appear at once.
        state: of our network.
        spec: the network.
        preprocess: what the Normalization layer of a V1 model stands for.
        with_normalisation: whether Keras' model has that layer with weights (V1) or not (V2).

    Raises:
        MissingDependencyError: h5py is not installed.
        WeightsError: Keras has no such network.
    """
    import numpy as np

    h5py = _library()
    layers: dict[str, list[tuple[str, Any]]] = {}
    if with_normalisation:
        variances = [deviation**2 for deviation in preprocess.std]
        layers["normalization"] = [
            ("mean", np.asarray(preprocess.mean, dtype=np.float32)),
            ("variance", np.asarray(variances, dtype=np.float32)),
            ("count", np.zeros((), dtype=np.int32)),
        ]
    for name, tensor in from_native(state, spec, "keras").items():
        layer, weight = keras.split(name)
        layers.setdefault(layer, []).append((weight, tensor.detach().cpu().numpy()))
    with h5py.File(path, "w") as file:
        # Keras pairs layers with those of its model by this order, not by name.
        _write_names(file.attrs, "layer_names", list(layers))
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.15.0"
        for layer, weights in layers.items():
            group = file.create_group(layer)
            _write_names(group.attrs, "weight_names", [f"{layer}/{weight}:0" for weight, _ in weights])
            for weight, values in weights:
                group.create_dataset(f"{layer}/{weight}:0", data=values)


def _library() -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingDependencyError.for_extra("h5py", "keras", "a Keras file") from None
    return h5py


def _name(name: str, item: Any) -> str:
    # Keras 3 numbers layers by class and keeps the layer's own name in an attribute of the folder `vars`.
    folder, _, weight = name.rpartition("/")
    if folder.endswith("/vars"):
        layer = item.parent.attrs.get("name")
        if isinstance(layer, str) and layer:
            return f"{layer}/{weight}"
    return name


def _tensor(values: Any) -> Tensor:
    import numpy as np
    import torch

    array = np.asarray(values)
    if array.dtype.kind == "u":
        array = array.astype(np.int64)
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def _write_names(attributes: Any, name: str, values: list[str]) -> None:
    import numpy as np

    limit = 64512  # bytes in one attribute; Keras splits longer lists the same way
    data = np.asarray([value.encode() for value in values])
    pieces = -(-data.nbytes // limit)
    if pieces <= 1:
        attributes[name] = data
        return
    for index, piece in enumerate(np.array_split(data, pieces)):
        attributes[f"{name}{index}"] = piece

"""Weights out to a file, in our layout or another library's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from effnet.errors import InputError, UnknownNameError
from effnet.weights import hdf5, layouts, modelfile, ports
from effnet.weights.atomic import atomic_write
from effnet.weights.modelfile import ModelFile

if TYPE_CHECKING:
    from torch import Tensor

    from effnet.weights.loading import LoadedWeights

OWN = "effnet"

_ENDINGS = {
    OWN: (".safetensors",),
    "torchvision": (".pth", ".pt", ".safetensors"),
    "timm": (".safetensors", ".pth", ".pt", ".bin"),
    "lukemelas": (".pth", ".pt", ".safetensors"),
    "keras": (".h5",),
}
"""Layouts that can be written, and the kinds of file each is read from; the official TensorFlow layout is read only."""


def write(path: str | Path, loaded: LoadedWeights, layout: str = OWN) -> Path:
    """Write `loaded` to `path`, whole or not at all.

    Args:
        path: its ending says which kind of file.
        loaded: what `load_weights` returned.
        layout: `effnet` for our model file, or `torchvision`, `timm`, `lukemelas`, `keras`.

    Raises:
        UnknownNameError: no such layout.
        InputError: the ending is not one of that layout's.
        WeightsError: the layout has no such network.
        StorageError: no room or no permission.
    """
    target = Path(path)
    if layout not in _ENDINGS:
        raise UnknownNameError.among("layout", layout, _ENDINGS, see=f"known: {', '.join(_ENDINGS)}")
    if target.suffix.lower() not in _ENDINGS[layout]:
        fix = f"name it something{' or '.join(_ENDINGS[layout])}"
        raise InputError(
            f"{layout} weights are not written to {target.suffix or 'such'} files", where=str(path), fix=fix
        )
    if layout == OWN:
        model = ModelFile(
            spec=loaded.spec,
            state=loaded.state,
            preprocess=loaded.preprocess,
            labels=loaded.labels,
            temperature=loaded.temperature,
            provenance=loaded.provenance,
        )
        return modelfile.save(target, model)
    if layout == "keras":
        v1 = not layouts.keras.is_v2(loaded.spec)
        with atomic_write(target) as temp:
            hdf5.write(temp, loaded.state, loaded.spec, loaded.preprocess, with_normalisation=v1)
        return target
    said = ports.written(loaded.spec, loaded.preprocess, loaded.labels, loaded.temperature)
    return _write_torch(target, layouts.from_native(loaded.state, loaded.spec, layout), said)


def _write_torch(target: Path, state: Mapping[str, Tensor], said: str) -> Path:
    import safetensors.torch
    import torch

    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    with atomic_write(target, needs=sum(t.nbytes for t in tensors.values())) as temp:
        if target.suffix.lower() == ".safetensors":
            safetensors.torch.save_file(tensors, temp, metadata={"format": "pt", ports.ENTRY: said})
        else:
            torch.save(tensors, temp)
    return target

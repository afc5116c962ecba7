"""Official TensorFlow checkpoints: variables by name, read by TensorFlow itself when it is installed.

A checkpoint is PREFIX.index and PREFIX.data-*; the official ones are published as a .tar.gz of a folder with them.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from effnet.errors import MissingDependencyError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_MEMBER = re.compile(r"[\w.-]+\.(index|data-\d{5}-of-\d{5})")
_MAX_MEMBERS = 10_000


def prefix_of(path: Path) -> Path | None:
    """Return the prefix of the checkpoint that `path` means (its .index, its prefix, or a folder with only one)."""
    if path.suffix == ".index" and path.is_file():
        return path.with_suffix("")
    if path.is_dir():
        indexes = sorted(path.glob("*.index"))
        return indexes[0].with_suffix("") if len(indexes) == 1 else None
    beside = path.with_name(f"{path.name}.index") if path.name else path
    return path if not path.exists() and beside.is_file() else None


def read(prefix: Path) -> dict[str, Tensor]:
    """Return the variables of the checkpoint `prefix`.

    Raises:
        MissingDependencyError: TensorFlow is not installed.
        Exception: whatever TensorFlow raises over a damaged file.
    """
    import numpy as np
    import torch

    reader = _library().train.load_checkpoint(str(prefix))
    found: dict[str, Tensor] = {}
    for name in reader.get_variable_to_shape_map():
        values = np.asarray(reader.get_tensor(name))
        if values.dtype.kind in "fi":
            found[name] = torch.from_numpy(np.array(values))
    return found


def read_archive(path: Path, limit: int) -> dict[str, Tensor]:
    """Return the variables of the one checkpoint inside a .tar.gz, unpacking at most `limit` bytes.

    Raises:
        MissingDependencyError: TensorFlow is not installed.
        WeightsError: there is no checkpoint inside, more than one, or too much.
        Exception: whatever TensorFlow raises over a damaged file.
    """
    _library()  # before the work of unpacking
    with tempfile.TemporaryDirectory(prefix="effnet-") as folder:
        unpack(path, Path(folder), limit)
        indexes = list(Path(folder).glob("*.index"))
        if len(indexes) != 1:
            what = f"holds {len(indexes)} checkpoints, not one"
            raise WeightsError(what, where=str(path), fix="unpack it and give the .index file you want")
        return read(indexes[0].with_suffix(""))


def unpack(path: Path, folder: Path, limit: int) -> None:
    """Unpack only the checkpoint files of a .tar.gz, by their bare names, into `folder`.

    Links, devices and paths out of the folder are never followed: members are copied as bytes under names that have
    no slash.

    Raises:
        WeightsError: more than `limit` bytes, too many members, or the same name twice.
        tarfile.TarError, OSError, EOFError, zlib.error: the archive is damaged.
    """
    with tarfile.open(path, "r:gz") as archive:
        for count, member in enumerate(archive):
            if count > _MAX_MEMBERS:
                raise WeightsError(f"has over {_MAX_MEMBERS} members", where=str(path), fix="give a checkpoint alone")
            name = PurePosixPath(member.name).name
            if not member.isreg() or not _MEMBER.fullmatch(name):
                limit -= member.size  # skipping a member unfolds it all the same
            else:
                limit -= member.size
                target = folder / name
                if target.exists():
                    raise WeightsError(f"has {name} twice", where=str(path), fix="unpack it and give one .index")
                if limit >= 0:
                    _copy(archive, member, target)
            if limit < 0:
                raise WeightsError("unfolds to too many bytes", where=str(path), fix="give a checkpoint alone")


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = archive.extractfile(member)
    assert source is not None  # a regular member has content
    with source, target.open("wb") as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)


def _library() -> Any:
    try:
        import tensorflow
    except ImportError:
        raise MissingDependencyError.for_extra("tensorflow", "tensorflow", "a TensorFlow checkpoint") from None
    return tensorflow

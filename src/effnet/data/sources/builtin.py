"""Data that needs no files of the person's own, or a well-known archive of them."""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet.data.source import Dataset
from effnet.data.sources.archive import open_archive
from effnet.data.sources.folder import open_folder
from effnet.data.sources.subset import SubSource
from effnet.errors import InputError, MissingDependencyError

BUILTINS = ("digits", "cifar10")


class PixelSource:
    """Images that are pixels in memory: uint8 (N, H, W) or (N, H, W, 3)."""

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64], classes: tuple[str, ...]) -> None:
        self._pixels = pixels
        self.labels = labels
        self.classes = classes

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def read(self, index: int) -> bytes:
        """Return the image as a PNG file."""
        file = io.BytesIO()
        Image.fromarray(self._pixels[index]).save(file, "PNG", compress_level=1)
        return file.getvalue()

    def name(self, index: int) -> str:
        """Return the class and number."""
        return f"{self.classes[self.labels[index]]}/{index:05}"


def digits() -> Dataset:
    """Return scikit-learn's handwritten digits: 1,797 grey images of 8 x 8 pixels, every fifth of a class to judge by.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingDependencyError.for_extra("scikit-learn", "demo", "the built-in digits") from None
    loaded = load_digits()
    labels = np.asarray(loaded.target, np.int64)
    pixels = np.minimum(np.asarray(loaded.images) * 16, 255).astype(np.uint8)  # 0 to 16 -> 0 to 255
    source = PixelSource(pixels, labels, tuple(str(digit) for digit in range(10)))
    judged = np.zeros(len(labels), bool)
    for label in range(10):
        judged[np.flatnonzero(labels == label)[::5]] = True
    return Dataset("digits", SubSource(source, np.flatnonzero(~judged)), SubSource(source, np.flatnonzero(judged)))


def cifar10(given: str) -> Dataset:
    """Return CIFAR-10 from an archive or folder of its images as train/CLASS and test/CLASS, or the binary version.

    Args:
        given: path of the archive or folder; empty: $EFFNET_DATA/cifar10, or that name as .tar.gz, .tar or .zip.

    Raises:
        InputError: it is not there, or is the version that only Python's unpickling reads.
    """
    path = Path(given) if given else _installed()
    if not path.exists():
        raise InputError("is not there", where=str(path), fix="give cifar10:PATH of its archive or folder")
    if "python" in path.name:
        fix = "give cifar-10-binary.tar.gz, or an archive of images in train/CLASS and test/CLASS"
        raise InputError("the Python version is pickled code, which is never run", where=str(path), fix=fix)
    dataset = open_folder(path) if path.is_dir() else _binary(path) or open_archive(path)
    return dataclasses.replace(dataset, name="cifar10", val=dataset.val or dataset.test)


def _installed() -> Path:
    folder = os.environ.get("EFFNET_DATA")
    if folder:
        for name in ("cifar10", "cifar10.tar.gz", "cifar10.tar", "cifar10.zip", "cifar-10-binary.tar.gz"):
            if (Path(folder) / name).exists():
                return Path(folder) / name
    fix = "give cifar10:PATH of its archive or folder, or set EFFNET_DATA to the folder that holds cifar10.tar.gz"
    raise InputError("CIFAR-10 is not installed", where="cifar10", fix=fix)


_RECORD = 1 + 3 * 32 * 32
"""Bytes of one image of the binary version: its label, then red, green and blue planes."""


def _binary(path: Path) -> Dataset | None:
    """Return the dataset of the binary version's archive; None when the file is something else."""
    import tarfile

    try:
        with tarfile.open(path) as archive:
            members = {Path(member.name).name: member for member in archive if member.isfile()}
            if "batches.meta.txt" not in members:
                return None

            def content(name: str) -> bytes:
                file = archive.extractfile(members[name])
                assert file is not None
                return file.read(64 << 20)

            classes = tuple(content("batches.meta.txt").decode().split())
            train = b"".join(content(f"data_batch_{number}.bin") for number in range(1, 6))
            return Dataset("cifar10", _records(train, classes), None, _records(content("test_batch.bin"), classes))
    except (tarfile.TarError, OSError, EOFError):
        return None
    except KeyError as error:
        raise InputError(f"no {error} in the archive", where=str(path), fix="download it again") from None


def _records(data: bytes, classes: tuple[str, ...]) -> PixelSource:
    if not data or len(data) % _RECORD:
        raise InputError("not whole records of 3,073 bytes", where="cifar10", fix="download it again")
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
    return PixelSource(np.ascontiguousarray(pixels), records[:, 0].astype(np.int64), classes)

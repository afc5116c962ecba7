"""Checkpoints that a kill, a full disk or a flipped bit cannot turn into a lost run.

    store = CheckpointStore(run / "checkpoints")
    store.save(state, step=1200)
    restored = store.load()

A checkpoint is one safetensors file, `step-000001200.safetensors`, that holds the nested state: its tensors as they are
and everything else as JSON in the file's metadata, with a SHA-256 of both. It is written beside its name, flushed to
the disk and renamed, so a file of that name is whole unless the disk has damaged it, which its digest shows. Older ones
are removed only after the new one is safe, and never the last but one.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from effnet.errors import EffnetError, InputError
from effnet.weights.atomic import atomic_write, typed_os_errors

_NAME = re.compile(r"step-(\d{9,})\.safetensors")
_KEY = "effnet_checkpoint"


class CheckpointError(EffnetError):
    """No checkpoint of a run is sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A checkpoint that was read back.

    Attributes:
        state: what was saved.
        step: it was saved at.
        path: of the file.
        skipped: newer files that are damaged, with the reason.
    """

    state: dict[str, Any]
    step: int
    path: Path
    skipped: tuple[str, ...]


class CheckpointStore:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        """Use `folder`, which is made when something is saved, and keep the newest `keep` (at least 2).

        Raises:
            InputError: fewer than two would be kept: the newest may be damaged.
        """
        if keep < 2:
            raise InputError(f"{keep} checkpoints kept", where="keep", fix="keep at least 2")
        self._folder = folder
        self._keep = keep

    def save(self, state: Mapping[str, Any], step: int) -> Path:
        """Write a checkpoint, then remove the oldest beyond those kept; return its file.

        Args:
            state: nested dictionaries (with text keys), lists and tuples of tensors, numbers, texts, bytes and None.
            step: optimizer steps done.

        Raises:
            StorageError: the disk is full or broken; earlier checkpoints are untouched.
            InputError: the state holds something else.
        """
        tensors: dict[str, Tensor] = {}
        tree = json.dumps(_packed(state, tensors), allow_nan=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        record = json.dumps({"tree": tree, "sha256": _digest(tree, tensors)})
        needs = sum(tensor.nbytes for tensor in tensors.values()) + len(record) + 256 * len(tensors)
        with typed_os_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"step-{step:09}.safetensors"
        with atomic_write(path, needs=needs) as temp:
            save_file(tensors, temp, metadata={_KEY: record})
        # The new one is on the disk before an old one goes; a kill between the two leaves one too many.
        for old in self._files()[self._keep :]:
            with contextlib.suppress(OSError):
                old.unlink()
        return path

    def load(self) -> Restored | None:
        """Return the newest sound checkpoint; None when there are none at all.

        Raises:
            CheckpointError: there are some, and all are damaged.
        """
        skipped: list[str] = []
        for path in self._files():
            try:
                state = _read(path)
            except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
                skipped.append(f"{path.name}: {' '.join(str(error).split())[:120] or type(error).__name__}")
                continue
            return Restored(state=state, step=_step(path), path=path, skipped=tuple(skipped))
        if skipped:
            raise CheckpointError(
                f"no checkpoint is sound ({'; '.join(skipped)})",
                where=str(self._folder),
                fix="the disk may be failing; train again, or go on from best.safetensors with --weights",
            )
        return None

    def _files(self) -> list[Path]:
        """Return the checkpoint files, newest first."""
        if not self._folder.is_dir():
            return []
        return sorted((p for p in self._folder.iterdir() if _NAME.fullmatch(p.name)), key=_step, reverse=True)


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _read(path: Path) -> dict[str, Any]:
    # The bytes are read once and judged as read: a file that is mapped could change between the two.
    data = path.read_bytes()
    tensors = safetensors.torch.load(data)
    length = int.from_bytes(data[:8], "little")
    record = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
    if _digest(record["tree"], tensors) != record["sha256"]:
        raise ValueError("its content is not what was written")
    state = _unpacked(json.loads(record["tree"]), tensors)
    if not isinstance(state, dict):
        raise ValueError("not a checkpoint")
    return state


def _digest(tree: str, tensors: Mapping[str, Tensor]) -> str:
    hasher = hashlib.sha256(tree.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as JSON; lists of two, whose first is a mark, stand for what JSON lacks."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A copy where several share memory, which the format refuses.
        tensors[name] = value.clone()
        return ["tensor", name]
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise InputError("a key is not a text", where="state", fix="use texts as keys")
        return ["dict", {name: _packed(part, tensors) for name, part in value.items()}]
    if isinstance(value, list | tuple):
        return ["tuple" if isinstance(value, tuple) else "list", [_packed(part, tensors) for part in value]]
    if isinstance(value, bytes):
        return ["bytes", base64.b64encode(value).decode()]
    if isinstance(value, float):
        return ["float", value.hex()]  # every bit, infinities and NaN included
    if value is None or isinstance(value, bool | int | str):
        return value
    raise InputError(f"a {type(value).__name__} cannot be saved", where="state", fix="give tensors and plain values")


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {name: _unpacked(part, tensors) for name, part in content.items()}
    if kind in ("list", "tuple"):
        parts = [_unpacked(part, tensors) for part in content]
        return tuple(parts) if kind == "tuple" else parts
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "float":
        return float.fromhex(content)
    raise ValueError(f"unknown kind {kind!r}")

"""Whether a model is about to be judged by the data that it was trained on."""

from __future__ import annotations

from pathlib import Path

from effnet.errors import EffnetError
from effnet.training.run_folder import RunFolder


def run_of(model: str | Path) -> RunFolder | None:
    """Return the run that a model comes from: its folder, or that of the model file; None where there is none."""
    path = Path(model)
    try:
        folder = RunFolder(path if path.is_dir() else path.parent)
        return folder if path.exists() and folder.exists else None
    except (OSError, ValueError):  # a name too long, or with a null byte, is no file
        return None


def learnt_from(run: RunFolder, data: str) -> bool:
    """Whether the run was trained on this data, by where it lies: a copy elsewhere counts as other data.

    A run remembers its data as it was named. A relative path is looked for from here, and from every folder above the
    run's, because the run may have been begun in any of them.
    """
    try:
        named = run.data()
    except EffnetError:
        return False
    if named is None:
        return False
    mine = Path(data)
    if not _exists(mine):
        return named == data  # a built-in, shards, a data set of a hub
    if named.partition(":")[0] == "cifar10" and named.partition(":")[2]:
        named = named.partition(":")[2]
    places = [Path(named), *(folder / named for folder in run.path.resolve().parents)]
    return any(place.exists() and place.samefile(mine) for place in places)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False

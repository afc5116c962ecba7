"""What several verbs read from the command line: a network by name or file, and lists of numbers."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet.errors import InputError, SpecError

if TYPE_CHECKING:
    from effnet.scaling import Coefficients
    from effnet.spec import NetworkSpec

_MAX_FILE_BYTES = 1 << 20
_MAX_POINTS = 1000
_WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".h5", ".ckpt", ".keras")


def network(text: str) -> NetworkSpec:
    """Return the network of a published name, a spec file (`--spec` writes them), a model file or a run folder.

    Raises:
        UnknownNameError: neither a name nor a file.
        InputError, SpecError, WeightsError: the file cannot be read or describes no network.
    """
    from effnet.families import find
    from effnet.spec import NetworkSpec
    from effnet.weights.run_model import model_of_run

    path = Path(model_of_run(text))
    if path.suffix.lower() in _WEIGHTS and _is_file(path):
        return _of_weights(path)
    if not (path.suffix.lower() == ".json" or _is_file(path)):
        return find(text)
    try:
        return NetworkSpec.from_json(read_text(path))
    except SpecError as error:
        raise SpecError(error.what, where=f"{text}: {error.where}" if error.where else text, fix=error.fix) from None


def _of_weights(path: Path) -> NetworkSpec:
    """Return the network that a model file describes; other weights have to be read to recognise theirs."""
    from effnet.weights.header import describes_a_network, read_header

    if describes_a_network(path):
        return read_header(path).spec
    from effnet.weights.loading import load_weights

    return load_weights(None, path).spec


def coefficients_file(file: Path) -> Coefficients:
    """Return the bases of compound scaling in a JSON file.

    Raises:
        InputError, SpecError: it cannot be read, or holds something else.
    """
    import json

    from effnet.scaling import Coefficients

    fix = 'write {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}'
    try:
        data = json.loads(read_text(file))
    except (ValueError, RecursionError):
        raise InputError("is not JSON", where=str(file), fix=fix) from None
    if not isinstance(data, dict) or set(data) != {"alpha", "beta", "gamma"}:
        raise InputError("does not hold exactly alpha, beta and gamma", where=str(file), fix=fix)
    try:
        return Coefficients(**data)
    except SpecError as error:
        raise SpecError(error.what, where=f"{file}: {error.where}", fix=error.fix) from None


def read_text(path: Path) -> str:
    """Return a small text file; raises InputError when it is missing, unreadable, too large or not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), fix="check the path") from None
    if len(data) > _MAX_FILE_BYTES:
        raise InputError("is larger than 1 MiB", where=str(path), fix="name a JSON file that effnet wrote")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", where=str(path), fix="name a JSON file that effnet wrote") from None


def numbers(text: str, option: str) -> list[float]:
    """Read `1.5`, `0,0.5,-1` or `0..7` (both ends, in steps of 1), and mixtures of them.

    Raises:
        InputError: anything else.
    """
    values: list[float] = []
    for part in text.split(","):
        low, dots, high = part.partition("..")
        first = _number(low, text, option)
        last = _number(high, text, option) if dots else first
        count = math.floor(last - first) + 1
        if count < 1 or len(values) + count > _MAX_POINTS:
            raise InputError(f"{text!r} is an empty or endless range", where=option, fix="write a range such as 0..7")
        values += [first + step for step in range(count)]
    return values


def _number(text: str, whole: str, option: str) -> float:
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", text):
        raise InputError(f"{whole[:40]!r} is not a list of numbers", where=option, fix="write 0..7 or 0,0.5,-1 or 1.5")
    return float(text) + 0.0  # -0 reads as 0


def as_json(value: Any) -> str:
    """Return indented JSON text."""
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte, is no file
        return False

"""Every published network by name, with forgiving lookup."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from effnet.errors import UnknownNameError, nearest
from effnet.families import edgetpu, lite, mnasnet, resnet, v1, v2
from effnet.spec import NetworkSpec

_BUILDERS: dict[str, Callable[[str], NetworkSpec]] = {
    **dict.fromkeys(v1.COEFFICIENTS, v1.build),
    **dict.fromkeys(v2.NAMES, v2.build),
    **dict.fromkeys(lite.COEFFICIENTS, lite.build),
    **dict.fromkeys(edgetpu.COEFFICIENTS, edgetpu.build),
    **dict.fromkeys(mnasnet.NAMES, mnasnet.build),
    **dict.fromkeys(resnet.NAMES, resnet.build),
}

# Names other libraries use for the same network, squashed to letters and digits.
_OTHER_NAMES = {
    "efficientnetes": "efficientnet_edgetpu_s",
    "efficientnetem": "efficientnet_edgetpu_m",
    "efficientnetel": "efficientnet_edgetpu_l",
    "mnasnet": "mnasnet_a1",
    "semnasnet100": "mnasnet_a1",
}


def names() -> tuple[str, ...]:
    """Return every canonical name, in the order of the families."""
    return tuple(_BUILDERS)


def canonical(name: str) -> str:
    """Return the canonical form of any usual spelling: `b0`, `efficientnet-b0`, `EfficientNetV2S`, `v2-s`, `tf_...`.

    Raises:
        UnknownNameError: nothing has that name; the nearest are suggested.
    """
    found = _aliases().get(_squash(name))
    if found is None:
        raise _unknown(name)
    return found


@functools.cache
def _spec(name: str) -> NetworkSpec:
    return _BUILDERS[name](name)


def find(name: str) -> NetworkSpec:
    """Return the published network called `name`, in any usual spelling.

    Raises:
        UnknownNameError: nothing has that name; the nearest are suggested.
    """
    return _spec(canonical(name))


def _squash(name: str) -> str:
    squashed = re.sub(r"[^a-z0-9]", "", name.lower())
    return squashed.removeprefix("tf").replace("effnet", "efficientnet", 1)


@functools.cache
def _aliases() -> dict[str, str]:
    table = dict(_OTHER_NAMES)
    for name in _BUILDERS:
        squashed = _squash(name)
        table[squashed] = name
        # `b0`, `v2s`, `lite0`, `edgetpus`: what is left is never a name of another family.
        table[squashed.removeprefix("efficientnet")] = name
    return table


def _unknown(name: str) -> UnknownNameError:
    # Compared in squashed form, so that a slip in a short spelling is as near as one in a long spelling.
    near = dict.fromkeys(_aliases()[alias] for alias in nearest(_squash(name), _aliases()))
    fix = f"did you mean {', '.join(near)}?" if near else "see the names that `effnet models` prints"
    return UnknownNameError(f"unknown model {name!r}", fix=fix)

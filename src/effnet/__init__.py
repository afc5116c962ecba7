"""effnet: the EfficientNet system. Public names load lazily, so importing this package never imports torch.

>>> import effnet
>>> effnet.find("b0").resolution
224
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from effnet.errors import EffnetError as EffnetError
    from effnet.families.catalog import find as find
    from effnet.families.catalog import names as names
    from effnet.scaling import Coefficients as Coefficients
    from effnet.scaling import compound as compound
    from effnet.scaling import scale as scale
    from effnet.spec import BlockSpec as BlockSpec
    from effnet.spec import Conventions as Conventions
    from effnet.spec import HeadSpec as HeadSpec
    from effnet.spec import NetworkSpec as NetworkSpec
    from effnet.spec import ScalingRules as ScalingRules
    from effnet.spec import StageSpec as StageSpec
    from effnet.spec import StemSpec as StemSpec
    from effnet.unrolling import unroll as unroll

_HOMES = {
    "EffnetError": "errors",
    "find": "families.catalog",
    "names": "families.catalog",
    "Coefficients": "scaling",
    "compound": "scaling",
    "scale": "scaling",
    "BlockSpec": "spec",
    "Conventions": "spec",
    "HeadSpec": "spec",
    "NetworkSpec": "spec",
    "ScalingRules": "spec",
    "StageSpec": "spec",
    "StemSpec": "spec",
    "unroll": "unrolling",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'effnet' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"effnet.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

"""effnet: the EfficientNet system. Public names load lazily, so importing this package never imports torch.

>>> import effnet
>>> effnet.find("b0").resolution
224
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from effnet.version import __version__ as __version__

if TYPE_CHECKING:
    from effnet import models as models
    from effnet import timm as timm
    from effnet.budget import Budget as Budget
    from effnet.budget import fit as fit_budget  # noqa: F401
    from effnet.budget import fit_published as fit_published
    from effnet.comparison.compare import Comparison as Comparison
    from effnet.cost import cost as cost_of  # noqa: F401
    from effnet.creation import create as create
    from effnet.deploy.bundle import open_bundle as open_bundle
    from effnet.deploy.comparing import compare as compare
    from effnet.deploy.export import export as export
    from effnet.deploy.loading import load as load
    from effnet.deploy.predictor import BundlePredictor as BundlePredictor
    from effnet.errors import EffnetError as EffnetError
    from effnet.families.catalog import find as find
    from effnet.families.catalog import names as names
    from effnet.guide.recommend import Recommendation as Recommendation
    from effnet.guide.recommend import recommend as recommend
    from effnet.inference.explain import Explanation as Explanation
    from effnet.inference.explain import explain as explain
    from effnet.inference.prediction import Prediction as Prediction
    from effnet.inference.predictor import Predictor as Predictor
    from effnet.migration.lukemelas import EfficientNet as EfficientNet
    from effnet.migration.timm import create_model as create_model
    from effnet.migration.timm import list_models as list_models
    from effnet.nn import Network as Network
    from effnet.nn import build as build
    from effnet.preprocessing import Preprocess as Preprocess
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
    from effnet.training.fit import Run as Run
    from effnet.training.fit import fit as fit
    from effnet.training.fit import resume as resume
    from effnet.training.recipe import Recipe as Recipe
    from effnet.unrolling import unroll as unroll
    from effnet.weights.modelfile import ModelFile as ModelFile

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
    "ModelFile": "weights.modelfile",
    "Explanation": "inference.explain",
    "explain": "inference.explain",
    "Network": "nn",
    "Prediction": "inference.prediction",
    "Predictor": "inference.predictor",
    "Preprocess": "preprocessing",
    "Budget": "budget",
    "BundlePredictor": "deploy.predictor",
    "Comparison": "comparison.compare",
    "compare": "deploy.comparing",
    "recommend": "guide.recommend",
    "Recommendation": "guide.recommend",
    "build": "nn",
    "cost_of": "cost:cost",
    "create": "creation",
    "export": "deploy.export",
    "create_model": "migration.timm",
    "list_models": "migration.timm",
    "EfficientNet": "migration.lukemelas",
    "fit": "training.fit",
    "fit_budget": "budget:fit",
    "fit_published": "budget",
    "load": "deploy.loading",
    "open_bundle": "deploy.bundle",
    "Recipe": "training.recipe",
    "resume": "training.fit",
    "Run": "training.fit",
    "ScalingRules": "spec",
    "StageSpec": "spec",
    "StemSpec": "spec",
    "unroll": "unrolling",
}

_ROOMS = ("models", "timm")
"""Modules that are used by name: `effnet.models.efficientnet_b0()`."""

__all__ = sorted((*_HOMES, *_ROOMS))


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"effnet.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'effnet' has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    value = getattr(importlib.import_module(f"effnet.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})

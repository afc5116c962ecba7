"""The names under which timm has our networks, their old forms, and what timm says of a set of weights."""

from __future__ import annotations

import fnmatch
import json
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from effnet.errors import InputError, UnknownNameError
from effnet.families.catalog import canonical, find
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec
from effnet.weights import published
from effnet.weights.ports import timm_default
from effnet.weights.published import PublishedWeights

_V1 = tuple(f"efficientnet_{size}" for size in (*(f"b{number}" for number in range(9)), "l2", "es", "em", "el"))
_LITE = tuple(f"efficientnet_lite{number}" for number in range(5))
_V2 = tuple(f"efficientnetv2_{size}" for size in ("s", "m", "l", "xl"))
_RESNETS = tuple(f"resnet{depth}" for depth in (18, 34, 50, 101, 152))

NAMES: tuple[str, ...] = tuple(
    sorted(
        (
            *_V1,
            *_LITE,
            *_V2,
            *(f"tf_{name}" for name in (*_V1, *_LITE, *_V2)),
            *(f"tf_efficientnetv2_b{number}" for number in range(4)),
            "semnasnet_100",
            *_RESNETS,
        )
    )
)
"""Every name of timm's that is one of our networks."""

OLD_NAMES: Mapping[str, str] = {
    **{f"tf_efficientnet_b{number}_ap": f"tf_efficientnet_b{number}.ap_in1k" for number in range(9)},
    **{f"tf_efficientnet_b{number}_ns": f"tf_efficientnet_b{number}.ns_jft_in1k" for number in range(8)},
    "tf_efficientnet_l2_ns": "tf_efficientnet_l2.ns_jft_in1k",
    "tf_efficientnet_l2_ns_475": "tf_efficientnet_l2.ns_jft_in1k_475",
    **{f"tf_efficientnetv2_{size}_in21k": f"tf_efficientnetv2_{size}.in21k" for size in ("s", "m", "l", "xl")},
    **{
        f"tf_efficientnetv2_{size}_in21ft1k": f"tf_efficientnetv2_{size}.in21k_ft_in1k"
        for size in ("s", "m", "l", "xl")
    },
    "efficientnet_b2a": "efficientnet_b2",
    "efficientnet_b3a": "efficientnet_b3",
    "mnasnet_a1": "semnasnet_100",
}
"""timm's names before tags, and what they are now."""


def list_models(
    filter: str | Iterable[str] = "",
    module: str | Iterable[str] = "",
    pretrained: bool = False,
    exclude_filters: str | Iterable[str] = "",
    name_matches_cfg: bool = False,
    include_tags: bool | None = None,
) -> list[str]:
    """Return the names that `create_model` knows and that match, in timm's order.

    Args:
        filter: shell patterns, one of which a name matches; none: every name.
        module: `efficientnet`, `resnet`.
        pretrained: only those with trained weights; then with tags unless `include_tags` is false.
        exclude_filters: shell patterns that no name matches.
        name_matches_cfg: without meaning here.
        include_tags: name sets of weights, `efficientnet_b0.ra_in1k`, rather than networks.
    """
    tags = pretrained if include_tags is None else include_tags
    chosen = [name for name in NAMES if not _several(module) or _module(name) in _several(module)]
    found: list[str] = []
    for name in chosen:
        known = [weights.tag for weights in _published(name)]
        if known or not pretrained:
            found += known if tags and known else [name]
    wanted, unwanted = _several(filter), _several(exclude_filters)
    kept = [name for name in found if not wanted or any(fnmatch.fnmatch(name, pattern) for pattern in wanted)]
    kept = [name for name in kept if not any(fnmatch.fnmatch(name, pattern) for pattern in unwanted)]
    return sorted(set(kept), key=_natural)


def list_pretrained(filter: str | Iterable[str] = "", exclude_filters: str | Iterable[str] = "") -> list[str]:
    """Return the sets of weights that `create_model(..., pretrained=True)` knows, as `list_models` does."""
    return list_models(filter, pretrained=True, exclude_filters=exclude_filters)


def is_model(model_name: str) -> bool:
    """Whether `create_model` knows this name, tag aside."""
    name = OLD_NAMES.get(model_name, model_name).partition(".")[0]
    return name in NAMES


def resolve(model_name: str) -> tuple[str, str]:
    """Return (name, tag or '') of a model's name in any of timm's forms.

    Raises:
        InputError: not a text.
    """
    if not isinstance(model_name, str):
        raise InputError(
            f"model_name is {model_name!r}", where="model_name", fix="give a name such as 'efficientnet_b0'"
        )
    text = re.sub(r"^(hf[-_]hub:)?(timm/)?", "", model_name.strip())
    name, _, tag = text.partition("@")[0].partition(".")
    if not tag and name in OLD_NAMES:
        name, _, tag = OLD_NAMES[name].partition(".")
        if tag:
            warnings.warn(f"{text} is an old name; it is {name}.{tag} now", stacklevel=3)
    return name, tag


def conventions_of(name: str) -> NetworkSpec:
    """Return the network called `name` as timm's code computes it: `tf_` is TensorFlow's padding and epsilon.

    Raises:
        UnknownNameError: no such network.
    """
    try:
        spec = find(name)
    except UnknownNameError:
        raise UnknownNameError.among("model", name, NAMES, see="effnet.names() has every network") from None
    padding, eps = ("same", 1e-3) if name.startswith("tf_") else ("symmetric", 1e-5)
    return spec.with_conventions(padding=padding, fused_padding=None, norm_eps=eps, norm_momentum=0.1)


def default_weights(name: str) -> str | None:
    """Return the tag that timm takes for `name` without one; None where it published none."""
    return timm_default(name)


def pretrained_cfg(name: str, spec: NetworkSpec, tag: str | None, classifier: str, first: str) -> dict[str, Any]:
    """Return what timm calls the `pretrained_cfg` of a set of weights, or of a network without any (tag None)."""
    weights = published.find(tag) if tag else None
    preprocess = weights.preprocess if weights else Preprocess(size=spec.resolution)
    side = preprocess.size
    return {
        "url": (weights.url or "") if weights else "",
        **({"hf_hub_id": weights.hub} if weights and weights.hub else {}),
        "architecture": name,
        "tag": tag.partition(".")[2] if tag else "untrained",
        "custom_load": False,
        "input_size": (spec.in_channels if not weights else 3, side, side),
        "fixed_input_size": False,
        "interpolation": preprocess.interpolation,
        "crop_pct": preprocess.crop,
        "crop_mode": "squash" if preprocess.fit == "squash" else "center",
        "mean": preprocess.mean,
        "std": preprocess.std,
        "num_classes": weights.classes if weights else 1000,
        "pool_size": (-(-side // 32), -(-side // 32)),
        "first_conv": first,
        "classifier": classifier,
        "license": weights.licence if weights else "apache-2.0",
    }


def from_folder(folder: str) -> tuple[str, dict[str, Any], Path]:
    """Return (architecture, pretrained_cfg, weights file) of a folder that timm's `save_pretrained` wrote.

    Raises:
        InputError: there is no such folder, or it lacks a part.
    """
    path = Path(folder)
    fix = "name a folder with config.json and model.safetensors or pytorch_model.bin"
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        architecture = config["architecture"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"no network of timm's: {type(error).__name__}", where=str(path), fix=fix) from None
    for file in ("model.safetensors", "pytorch_model.bin"):
        if (path / file).is_file():
            cfg = dict(config.get("pretrained_cfg") or {})
            return architecture, cfg | {"num_classes": config.get("num_classes", cfg.get("num_classes"))}, path / file
    raise InputError("has no weights", where=str(path), fix=fix)


def _published(name: str) -> list[PublishedWeights]:
    try:
        known = published.published(canonical(name)).weights
    except UnknownNameError:
        return []
    return [weights for weights in known if weights.source == "timm" and weights.tag.startswith(f"{name}.")]


def _module(name: str) -> str:
    return "resnet" if name.startswith("resnet") else "efficientnet"


def _several(patterns: str | Iterable[str]) -> list[str]:
    return ([patterns] if patterns else []) if isinstance(patterns, str) else list(patterns)


def _natural(name: str) -> list[tuple[bool, int | str]]:
    return [(not part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", name.lower())]

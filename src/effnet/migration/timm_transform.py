"""timm's `resolve_data_config` and `create_transform`, for judging and predicting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from effnet.errors import InputError
from effnet.migration.torchvision_transforms import ImageClassification
from effnet.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocess

IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD = IMAGENET_MEAN, IMAGENET_STD

_KEYS = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
_SLACK = 1e-6  # 224 / (224 / 257) must floor to 257


def resolve_data_config(
    args: Mapping[str, Any] | None = None,
    pretrained_cfg: Mapping[str, Any] | None = None,
    model: Any = None,
    use_test_size: bool = False,
    verbose: bool = False,
) -> dict[str, Any]:
    """Return how images are prepared: what `args` says, else `pretrained_cfg`, else the model's own.

    Args:
        args: any of `input_size`, `img_size`, `interpolation`, `mean`, `std`, `crop_pct`, `crop_mode`; None counts as
            not said.
        pretrained_cfg: a model's `default_cfg`.
        model: a network of `create_model`.
        use_test_size: without meaning: the sizes here are those that the weights were evaluated with.
        verbose: without meaning.
    """
    cfg = pretrained_cfg or getattr(model, "pretrained_cfg", None) or {}
    given = {key: value for key, value in (args or {}).items() if value is not None}
    if "img_size" in given and "input_size" not in given:
        given["input_size"] = (3, int(given["img_size"]), int(given["img_size"]))
    usual = (3, 224, 224), "bicubic", IMAGENET_MEAN, IMAGENET_STD, 0.875, "center"
    return {key: given.get(key, cfg.get(key, default)) for key, default in zip(_KEYS, usual, strict=True)}


def resolve_model_data_config(
    model: Any, args: Mapping[str, Any] | None = None, pretrained_cfg: Mapping[str, Any] | None = None, **kwargs: Any
) -> dict[str, Any]:
    """Return how `model` wants images prepared; as `resolve_data_config`."""
    return resolve_data_config(args, pretrained_cfg, model, **kwargs)


def create_transform(
    input_size: int | Sequence[int] = 224,
    is_training: bool = False,
    interpolation: str = "bicubic",
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    crop_pct: float | None = None,
    crop_mode: str = "center",
    **kwargs: Any,
) -> ImageClassification:
    """Return a callable that prepares an image for judging: a Pillow image -> float32 (C, size, size).

    Raises:
        InputError, SpecError: a value that nothing here computes: augmentation for training above all.
    """
    if is_training:
        fix = "effnet.fit augments by itself; otherwise keep the training transform that you have"
        raise InputError("there are no training transforms here", where="is_training", fix=fix)
    if kwargs := {key: value for key, value in kwargs.items() if value not in (None, False)}:
        raise InputError(f"{next(iter(kwargs))} is not computed here", where="create_transform", fix="leave it out")
    if crop_mode not in ("center", "squash"):
        raise InputError(f"crop_mode is {crop_mode!r}", where="crop_mode", fix="use center or squash")
    sides = [input_size] if isinstance(input_size, int) else list(input_size)[-2:]
    if len(set(sides)) != 1:
        raise InputError(f"input_size is {input_size!r}", where="input_size", fix="give one side, in pixels")
    side = int(sides[0])
    resized = math.floor(side / (crop_pct or 0.875) + _SLACK)
    return ImageClassification(
        Preprocess(
            size=side,
            crop=side / resized,
            fit="squash" if crop_mode == "squash" else "crop",
            interpolation=interpolation,  # type: ignore[arg-type]
            mean=tuple(float(value) for value in mean),
            std=tuple(float(value) for value in std),
        )
    )

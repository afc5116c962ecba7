"""What lies beside a foreign weights file: the `config.json` of timm or transformers, with what tensors cannot say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from effnet.errors import SpecError, UnknownNameError, WeightsError
from effnet.families import catalog
from effnet.preprocessing import Preprocess

_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.weights.h5")
_MAX_BYTES = 64 << 20
_RESAMPLE = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a configuration says; an empty value says nothing.

    Attributes:
        file: its name, for people.
        name: the network's name in its library, such as `tf_efficientnet_b0`.
        norm_eps: epsilon of the norms.
        preprocess: fields of `Preprocess`.
        labels: class names in output order.
    """

    file: str
    name: str = ""
    norm_eps: float | None = None
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None

    def prepared(self, otherwise: Preprocess) -> Preprocess:
        """Return how images are prepared, with what the configuration leaves out taken from `otherwise`.

        Raises:
            WeightsError: it says something that no image can meet.
        """
        try:
            return Preprocess.from_dict(otherwise.to_dict() | dict(self.preprocess))
        except SpecError as error:
            fix = "correct it, or move it away from the weights"
            raise WeightsError(f"preprocessing is impossible: {error.what}", where=self.file, fix=fix) from None


def weights_in(source: str | Path) -> str | Path:
    """Return the weights file in a folder of timm's or transformers' `save_pretrained`; else `source` itself."""
    folder = Path(source)
    if not folder.is_dir() or not (isinstance(source, Path) or (folder / "config.json").is_file()):
        return source
    return next((folder / name for name in _WEIGHTS if (folder / name).is_file()), source)


def beside(path: Path) -> Beside | None:
    """Return what the `config.json` in the folder of the weights file says of it; None where it is of something else.

    Raises:
        WeightsError: it is such a configuration, and damaged.
    """
    place = path.parent / "config.json"
    config = _object(place)
    if isinstance(config.get("architecture"), str) or isinstance(config.get("pretrained_cfg"), dict):
        return _of_timm(config, str(place))
    if config.get("model_type") == "efficientnet":
        return _of_transformers(config, _object(path.parent / "preprocessor_config.json"), str(place))
    return None


def _object(place: Path) -> dict[str, Any]:
    try:
        if not place.is_file() or place.stat().st_size > _MAX_BYTES:
            return {}
        found = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_timm(config: Mapping[str, Any], where: str) -> Beside:
    own = config.get("pretrained_cfg")
    cfg = own if isinstance(own, dict) else config
    said: dict[str, Any] = {key: cfg[key] for key in ("mean", "std") if isinstance(cfg.get(key), list)}
    shape = cfg.get("input_size")
    if isinstance(shape, list) and len(shape) == 3:
        said["size"] = shape[1]
    if cfg.get("crop_pct"):
        said["crop"] = cfg["crop_pct"]
    if cfg.get("interpolation") in ("bicubic", "bilinear"):
        said["interpolation"] = cfg["interpolation"]
    said["fit"] = {"squash": "squash", "border": "pad"}.get(str(cfg.get("crop_mode")), "crop")
    labels = config.get("label_names", cfg.get("label_names"))
    name = str(config.get("architecture") or cfg.get("architecture") or "")
    return Beside(file=where, name=name, preprocess=said, labels=_texts(labels))


def _of_transformers(config: Mapping[str, Any], images: Mapping[str, Any], where: str) -> Beside:
    eps = config.get("batch_norm_eps", 1e-3)
    size = images.get("size", config.get("image_size"))
    side = size.get("height", size.get("shortest_edge")) if isinstance(size, dict) else size
    said: dict[str, Any] = {"fit": "squash", "crop": 1.0}
    if isinstance(side, int):
        said["size"] = side
        crop = images.get("crop_size")
        crop = crop.get("height") if isinstance(crop, dict) else crop
        if images.get("do_center_crop") and isinstance(crop, int) and 0 < crop <= side:
            said |= {"size": crop, "crop": crop / side}
    if images.get("resample") in _RESAMPLE:
        said["interpolation"] = _RESAMPLE[images["resample"]]
    mean, std = images.get("image_mean"), images.get("image_std")
    if isinstance(mean, list) and isinstance(std, list) and _numbers([*mean, *std]):
        # Its image processor, made for Keras' files, divides by the deviation twice for networks with a classifier.
        twice = images.get("include_top", False)
        mean, std = [float(v) for v in mean], [float(v) ** (2 if twice else 1) for v in std]
        if images.get("rescale_offset"):
            mean, std = [(value + 1) / 2 for value in mean], [value / 2 for value in std]
        said |= {"mean": mean, "std": std}
    return Beside(file=where, norm_eps=eps, preprocess=said, labels=_by_number(config.get("id2label")))


def _numbers(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(v, int | float) for v in values)


def _by_number(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, dict) or {str(key) for key in value} != {str(index) for index in range(len(value))}:
        return None
    texts = _texts([value[str(index)] for index in range(len(value))])
    # Names that transformers makes up where nobody gave any.
    return None if texts == tuple(f"LABEL_{index}" for index in range(len(value))) else texts


def _texts(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        return None
    return tuple(value)


def network_named(name: str) -> str | None:
    """Return the canonical name of a network that a library calls `name`, with or without a tag; None if unknown.

    Tags were once part of timm's names: `tf_efficientnet_b4_ns`.
    """
    plain = re.sub(r"_(ap|ns|ns_475|in21k|in21ft1k)$|(?<=_b[23])a$", "", name.removeprefix("timm/").partition(".")[0])
    try:
        return catalog.canonical(plain)
    except UnknownNameError:
        return None

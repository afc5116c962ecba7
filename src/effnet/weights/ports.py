"""What no tensor shows of a foreign file: padding, epsilon, preprocessing, class names. File names decide nothing.

Trusted in this order: the name that was asked for, a configuration beside the file, what the file itself says, and
last an assumption, which is said.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet.errors import SpecError
from effnet.families import catalog
from effnet.preprocessing import Preprocess
from effnet.spec import NetworkSpec
from effnet.weights import published
from effnet.weights.beside import Beside, network_named
from effnet.weights.layouts import keras
from effnet.weights.published import PublishedWeights
from effnet.weights.reading import ARCHITECTURES

if TYPE_CHECKING:
    from effnet.weights.reading import WeightsFile

ENTRY = "effnet_port"
"""Metadata entry of foreign .safetensors that effnet writes: what their layout cannot say."""

# Where timm's own default is not the most accurate that it published under the name.
_DEFAULTS = ("efficientnet_b0.ra_in1k", "tf_efficientnet_l2.ns_jft_in1k")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """How the tensors of a foreign file are to be used.

    Attributes:
        spec: the network with the conventions of these weights.
        preprocess: how images become inputs.
        labels: class names in output order, when known.
        temperature: what logits are divided by.
        assumed: what nobody said, in words; empty where all was said.
    """

    spec: NetworkSpec
    preprocess: Preprocess
    labels: tuple[str, ...] | None = None
    temperature: float = 1.0
    assumed: str = ""


def written(spec: NetworkSpec, preprocess: Preprocess, labels: tuple[str, ...] | None, temperature: float) -> str:
    """Return the text of `ENTRY`."""
    own = spec.conventions
    said = {
        "conventions": {"padding": own.padding, "norm_eps": own.norm_eps, "norm_momentum": own.norm_momentum},
        "preprocess": preprocess.to_dict(),
        "labels": labels,
        "temperature": temperature,
    }
    return json.dumps(said, sort_keys=True, ensure_ascii=False)


def port(
    file: WeightsFile, path: Path, layout: str, spec: NetworkSpec, *, named: str | None, config: Beside | None
) -> Port:
    """Return what belongs to the tensors of `file`, which are of `spec` in `layout`.

    Args:
        file: tensors and metadata.
        path: where it is, for the words.
        layout: whose tensor names it has.
        spec: the network.
        named: what the network was asked for as; `tf_...` and `timm/...` decide.
        config: what lies beside the file.

    Raises:
        WeightsError: the configuration beside it is damaged.
    """
    if config is not None and config.name and network_named(config.name) not in (spec.name, None):
        config = None
    own = _own(file)
    asked = (named or "").strip().lower().replace("-", "_")
    tag = next((w for w in _of(spec, layout) if w.tag == asked.removeprefix("timm/")), None)
    told = config.name if config and config.name else "" if own is not None else _told(file, spec)
    name = asked if asked.startswith(("tf_", "timm/")) else f"timm/{told}" if told else ""
    default = tag or _default(spec, layout, name)
    conventions, unsure = _conventions(spec, layout, name, own, default)
    if config is not None and config.norm_eps is not None:
        conventions["norm_eps"] = config.norm_eps
    preprocess, labels, temperature, unprepared = _prepared(file, spec, default)
    if own is not None:
        preprocess, labels, temperature, unprepared = own.preprocess, own.labels, own.temperature, False
    if config is not None and config.preprocess:
        preprocess, unprepared = config.prepared(preprocess), False
    if config is not None and config.labels is not None:
        labels = config.labels
    if tag is not None:
        preprocess, unprepared = tag.preprocess, False
    found = spec.with_conventions(**conventions)
    assumed = _words(path, found, preprocess, default, unsure=unsure, unprepared=unprepared)
    labels = labels if labels is not None and len(labels) == spec.classes else None
    return Port(spec=found, preprocess=preprocess, labels=labels, temperature=temperature, assumed=assumed)


def timm_default(name: str) -> str | None:
    """Return the tag that timm takes for its `name` without one; None where it published none."""
    known = [w for w in _of_timm(network_named(name)) if w.tag.startswith(f"{name}.")]
    ranked = sorted(known, key=lambda weights: (weights.tag in _DEFAULTS, weights.top1 or 0.0))
    return ranked[-1].tag if ranked else None


def _of_timm(name: str | None) -> list[PublishedWeights]:
    if name is None or name not in catalog.names():
        return []
    return [weights for weights in published.published(name).weights if weights.source == "timm"]


def _of(spec: NetworkSpec, layout: str) -> list[PublishedWeights]:
    if spec.name not in catalog.names():
        return []
    return [weights for weights in published.published(spec.name).weights if weights.layout == layout]


def _default(spec: NetworkSpec, layout: str, name: str) -> PublishedWeights | None:
    """Return the published weights that a file is most likely a fine-tuning of."""
    known = _of(spec, layout)
    if layout != "timm":
        return known[0] if known else None
    known = _of_timm(spec.name)
    tensorflow = _is_tensorflow(name) if name else all(_is_tensorflow(w.tag) for w in known)
    ranked = sorted(
        (w for w in known if _is_tensorflow(w.tag) == tensorflow),
        key=lambda weights: (weights.tag in _DEFAULTS, weights.top1 or 0.0),
    )
    return ranked[-1] if ranked else None


def _is_tensorflow(name: str) -> bool:
    return name.removeprefix("timm/").startswith("tf_")


def _conventions(
    spec: NetworkSpec, layout: str, name: str, own: Port | None, default: PublishedWeights | None
) -> tuple[dict[str, Any], bool]:
    """Return the conventions, and whether they are assumed."""
    if layout == "timm":
        if not name and own is not None:
            said = own.spec.conventions
            return {"padding": said.padding, "norm_eps": said.norm_eps, "norm_momentum": said.norm_momentum}, False
        tensorflow = _is_tensorflow(name or (default.tag if default else ""))
        padding, eps = ("same", 1e-3) if tensorflow else ("symmetric", 1e-5)
        return {"padding": padding, "norm_eps": eps, "norm_momentum": 0.1}, not name
    if own is not None:
        said = own.spec.conventions
        return {"padding": said.padding, "norm_eps": said.norm_eps, "norm_momentum": said.norm_momentum}, False
    if layout in ("lukemelas", "keras", "tensorflow", "transformers"):
        return {"padding": "same", "norm_eps": 1e-3}, False
    if default is not None:
        keys = ("padding", "norm_eps", "norm_momentum")
        return {key: getattr(default, key) for key in keys}, False
    return {}, False


def _told(file: WeightsFile, spec: NetworkSpec) -> str:
    """Return what the file calls its network, such as timm's `arch`; empty if it does not, or means another one."""
    names = (file.metadata.get(key, "").removeprefix("timm/") for key in ARCHITECTURES)
    return next((name for name in names if name and network_named(name) == spec.name), "")


def _own(file: WeightsFile) -> Port | None:
    """Return what a foreign file that effnet wrote says of itself."""
    try:
        said = json.loads(file.metadata[ENTRY])
        labels = said["labels"]
        return Port(
            spec=catalog.find("b0").with_conventions(**said["conventions"]),
            preprocess=Preprocess.from_dict(said["preprocess"]),
            labels=None if labels is None else tuple(map(str, labels)),
            temperature=float(said["temperature"]),
        )
    except (KeyError, TypeError, ValueError, RecursionError, SpecError):
        return None


def _prepared(
    file: WeightsFile, spec: NetworkSpec, default: PublishedWeights | None
) -> tuple[Preprocess, tuple[str, ...] | None, float, bool]:
    preprocess = Preprocess(size=spec.resolution) if default is None else default.preprocess
    said = keras.normalised(file.tensors) if file.format == "h5" else None
    if said is not None:
        preprocess = dataclasses.replace(preprocess, mean=said[0], std=said[1])
    return preprocess, None, 1.0, said is None


def _words(
    path: Path,
    spec: NetworkSpec,
    preprocess: Preprocess,
    default: PublishedWeights | None,
    *,
    unsure: bool,
    unprepared: bool,
) -> str:
    if not unsure and not unprepared:
        return ""
    parts = []
    if unsure:
        other = "" if spec.conventions.padding == "same" else ", not of TensorFlow's port tf_..."
        parts.append(f"padding {spec.conventions.padding} and norm epsilon {spec.conventions.norm_eps:g}{other}")
    if unprepared:
        like = f" as {default.tag}" if default else ""
        parts.append(f"preprocessing{like}: {preprocess.describe()}")
    fix = "put its config.json beside it"
    if unsure:
        plain = spec.conventions.padding != "same"
        fix = f"ask for {'tf_...' if plain else 'timm/... of effnet.create_model'}, or {fix}"
    return f"{path.name} does not say all that belongs to it; assumed {'; '.join(parts)}. If that is wrong, {fix}"

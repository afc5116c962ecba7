"""Everything that was published about the families: exact counts, accuracies, and every set of trained weights.

The numbers live in `published.json`; this module gives them types. Each set of weights says where it is, how to prove
that the right bytes came back, which tensor layout it has, and what differs between ports and silently costs
accuracy: padding, norm epsilon, and the preprocessing it was evaluated with.

    >>> from effnet.weights.published import default, published
    >>> published("b0").params
    5288548
    >>> default("b0").tag
    'efficientnet_b0.tv_in1k_v1'

The default of a variant is the set with the best published ImageNet-1k top-1 that torchvision released (ResNet-50,
-101, -152 and B1: its V2 weights); where torchvision has none, timm's port of the official release (B8 RandAugment,
L2 NoisyStudent at 800 px, V2-XL and V2-B3 fine-tuned from ImageNet-21k, the others ImageNet-1k), and for Lite0-2 the
installed packages, which need no network.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from effnet.errors import EffnetError, UnknownNameError, WeightsError, nearest

if TYPE_CHECKING:
    from effnet.preprocessing import Preprocess
    from effnet.spec import NetworkSpec

Source = Literal["torchvision", "timm", "lukemelas", "keras", "tensorflow", "package"]
Layout = Literal["torchvision", "timm", "lukemelas", "keras", "tensorflow"]

FORMAT = 1
"""Version of published.json."""

HUB_FILE = "model.safetensors"

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """One published measurement on the ImageNet-1k validation images, in percent.

    Attributes:
        recipe: how the weights were trained, in the publisher's words.
        source: the paper, table or file that states it.
        top1, top5: percent correct.
        resolution: input side in pixels at which it was measured.
        crop: share of the resized image that the centre crop keeps, when stated.
        weights: tag of the weights it was measured with; None when no released file is known to give it.
    """

    recipe: str
    source: str
    top1: float
    top5: float | None
    resolution: int
    crop: float | None = None
    weights: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What makes the confidence of released weights honest at their own size; it changes no answer.

    Attributes:
        temperature: what logits are divided by before the softmax.
        source: on which images, and how, it was fitted.
        ece_before, ece_after: expected calibration error without and with it, percent.
    """

    temperature: float
    source: str
    ece_before: float
    ece_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWeights:
    """One released set of trained weights.

    Attributes:
        tag: its stable name: `efficientnet_b0.tv_in1k_v1`, `tf_efficientnet_b0.ns_jft_in1k`, ...
        variant: canonical name of the network it belongs to.
        recipe: how it was trained, in the publisher's words.
        source: who distributes it; `package` is an installed Python package and needs no network.
        layout: whose tensor names the file has.
        url, hub, package: where it is; exactly one is set.
        file: name of the file to fetch; for a package, its path inside the package.
        sha256: the digest or its first eight hex digits; None when none is published.
        md5: the digest where that is all the port publishes (Keras).
        size: exact bytes, when known.
        licence: SPDX name. Read `caveats` too.
        padding, norm_eps, norm_momentum: conventions of this port (see `effnet.spec.Conventions`).
        classes: outputs of the classifier.
        resolution: input side in pixels that it was evaluated at.
        resize: pixels of the shorter side before the centre crop.
        fit, interpolation, mean, std: as in `effnet.preprocessing.Preprocess`.
        accuracy: measurements of exactly these weights, that at `resolution` first; empty when nobody published one.
        calibration: a temperature fitted to them; None where none was, and logits are taken as they are.
        caveats: what a user should know before relying on it.
    """

    tag: str
    variant: str
    recipe: str
    source: Source
    layout: Layout
    file: str
    licence: str
    padding: Literal["symmetric", "same"]
    norm_eps: float
    norm_momentum: float
    resolution: int
    resize: int
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Literal["crop", "squash"] = "crop"
    classes: int = 1000
    url: str | None = None
    hub: str | None = None
    package: str | None = None
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None
    accuracy: tuple[Accuracy, ...] = ()
    calibration: Calibration | None = None
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse entries that could be fetched from nowhere, or written outside the cache."""
        if sum(place is not None for place in (self.url, self.hub, self.package)) != 1:
            raise _damaged(self.tag, "needs exactly one of url, hub and package")
        names = (self.tag, *self.file.split("/")) if self.package else (self.tag, self.file)
        if not all(_FILE_NAME.fullmatch(name) for name in names):
            raise _damaged(self.tag, f"unsafe file name {self.file!r}")
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{8,64}", self.sha256):
            raise _damaged(self.tag, f"sha256 {self.sha256!r} is not 8 to 64 hex digits")
        if not 0 < self.resolution <= self.resize:
            raise _damaged(self.tag, f"resolution {self.resolution} does not fit in resize {self.resize}")

    @property
    def top1(self) -> float | None:
        """Published top-1 accuracy at `resolution`, percent."""
        return self.accuracy[0].top1 if self.accuracy else None

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax: 1 where none was fitted."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing these weights were evaluated with."""
        from effnet.preprocessing import Preprocess

        return Preprocess(
            size=self.resolution,
            crop=self.resolution / self.resize,
            fit=self.fit,
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
        )

    @property
    def network(self) -> NetworkSpec:
        """The network these weights fit: the variant with this port's conventions, classes and evaluation size."""
        from effnet.families import catalog

        spec = catalog.find(self.variant).with_conventions(
            padding=self.padding, norm_eps=self.norm_eps, norm_momentum=self.norm_momentum
        )
        return spec.replace(classes=self.classes, resolution=self.resolution)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedVariant:
    """What was published about one network.

    Attributes:
        name: canonical name, as in `effnet.families.catalog`.
        params: trainable parameters, exact.
        macs: counted multiply-accumulates by input side in pixels.
        params_text, flops_text: the figures as the authors print them ("5.3M", "0.39B"); their FLOPs are MACs.
        train_resolution, resolution: published input sides for training and evaluation, pixels.
        reported: accuracies that no released file is known to give.
        weights: every released set.
        default_tag: the set that `weights="imagenet"` means.
        notes: contradictions between the sources.
    """

    name: str
    params: int
    macs: Mapping[int, int] = field(hash=False)
    train_resolution: int
    resolution: int
    weights: tuple[PublishedWeights, ...]
    default_tag: str
    params_text: str | None = None
    flops_text: str | None = None
    reported: tuple[Accuracy, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def accuracy(self) -> tuple[Accuracy, ...]:
        """Every published accuracy: of released weights first, then those only reported."""
        return (*(row for weights in self.weights for row in weights.accuracy), *self.reported)

    @property
    def default(self) -> PublishedWeights:
        """The set that `weights="imagenet"` means."""
        return next(weights for weights in self.weights if weights.tag == self.default_tag)


@overload
def published(variant: None = None) -> tuple[PublishedVariant, ...]: ...
@overload
def published(variant: str) -> PublishedVariant: ...
def published(variant: str | None = None) -> PublishedVariant | tuple[PublishedVariant, ...]:
    """Return what was published about `variant` (in any usual spelling), or about every one.

    Raises:
        UnknownNameError: nothing has that name; the nearest are suggested.
    """
    if variant is None:
        return tuple(_variants().values())
    if variant in _variants():
        return _variants()[variant]
    from effnet.families import catalog

    return _variants()[catalog.canonical(variant)]


def default(variant: str) -> PublishedWeights:
    """Return the weights that `weights="imagenet"` means for `variant`; see the module for how they were chosen.

    Raises:
        UnknownNameError: nothing has that name; the nearest are suggested.
    """
    return published(variant).default


def find(tag: str) -> PublishedWeights:
    """Return the weights called `tag`; a variant's name gives its default.

    Spelling is forgiving: case, `-` for `_`, a hub's `timm/` in front, and short variant names (`b0.tv_in1k_v1`).

    Raises:
        UnknownNameError: nothing has that tag; the nearest are suggested.
    """
    squashed = _squash(tag)
    found = _tags().get(squashed)
    if found is not None:
        return found
    from effnet.families import catalog

    name, dot, recipe = squashed.partition(".")
    try:
        variant = catalog.canonical(name)
    except UnknownNameError:
        raise _unknown(tag) from None
    if not dot:
        return default(variant)
    found = _tags().get(f"{variant}.{recipe}")
    if found is None:
        raise _unknown(tag)
    return found


def _squash(tag: str) -> str:
    text = tag.strip().lower().replace("-", "_")
    return re.sub(r"^(hf_hub:)?(timm/)?", "", text)


def _unknown(tag: str) -> EffnetError:
    near = nearest(_squash(tag), _tags())
    hint = f"did you mean {', '.join(near)}?" if near else "see the tags that `effnet weights list` prints"
    return UnknownNameError(f"unknown weights {tag!r}", fix=hint)


@functools.cache
def _tags() -> dict[str, PublishedWeights]:
    return {weights.tag: weights for variant in _variants().values() for weights in variant.weights}


@functools.cache
def _variants() -> dict[str, PublishedVariant]:
    data = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
    if data.get("format") != FORMAT:
        raise _damaged("format", f"format {data.get('format')!r}, expected {FORMAT}")
    return {name: _variant(name, row, data) for name, row in data["variants"].items()}


def _variant(name: str, row: Mapping[str, Any], data: Mapping[str, Any]) -> PublishedVariant:
    return PublishedVariant(
        name=name,
        params=row["params"],
        macs={int(side): count for side, count in row["macs"].items()},
        params_text=row.get("published_params"),
        flops_text=row.get("published_flops"),
        train_resolution=row["train_resolution"],
        resolution=row["resolution"],
        default_tag=row["default"],
        notes=tuple(row.get("notes", ())),
        reported=tuple(_accuracy(entry) for entry in row.get("reported", ())),
        weights=tuple(_weights(entry, name, data) for entry in row["weights"]),
    )


def _weights(entry: Mapping[str, Any], variant: str, data: Mapping[str, Any]) -> PublishedWeights:
    port, norm, tag = data["ports"][entry["port"]], data["norms"][entry["norm"]], entry["tag"]
    recipe = entry.get("recipe", tag.partition(".")[2])
    url = entry.get("url")
    measured = {"recipe": recipe, "source": port.get("accuracy_source"), "resolution": entry["resolution"]}
    return PublishedWeights(
        tag=tag,
        variant=variant,
        recipe=recipe,
        **{key: port[key] for key in ("source", "layout", "licence", "padding", "norm_eps", "norm_momentum")},
        **{key: entry[key] for key in ("resolution", "resize", "interpolation")},
        **{key: entry[key] for key in ("fit", "classes", "package", "sha256", "md5", "size") if key in entry},
        url=url,
        hub=f"{port['hub']}/{tag}" if "hub" in port else None,
        file=url.rpartition("/")[2] if url else entry.get("file", HUB_FILE),
        mean=tuple(norm["mean"]),
        std=tuple(norm["std"]),
        accuracy=tuple(_accuracy({**measured, **row, "weights": tag}) for row in entry.get("accuracy", ())),
        calibration=_calibration(entry.get("calibration"), data),
        caveats=tuple(data["caveats"][key] for key in entry.get("caveats", ())),
    )


def _calibration(row: Mapping[str, Any] | None, data: Mapping[str, Any]) -> Calibration | None:
    return None if row is None else Calibration(**{**row, "source": data["calibrations"][row["source"]]})


def _accuracy(row: Mapping[str, Any]) -> Accuracy:
    return Accuracy(
        recipe=row["recipe"],
        source=row["source"],
        top1=row["top1"],
        top5=row.get("top5"),
        resolution=row["resolution"],
        crop=row.get("crop"),
        weights=row.get("weights"),
    )


def _damaged(where: str, what: str) -> EffnetError:
    return WeightsError(f"the table of published weights is damaged: {what}", where=where, fix="reinstall effnet")

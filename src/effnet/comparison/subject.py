"""One network of a comparison: what it costs, what it scored, and what was measured of it here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from effnet.comparison import others
from effnet.cost import cost
from effnet.spec import NetworkSpec
from effnet.weights.published import Accuracy, PublishedWeights, default

Kind = Literal["published", "reported", "spec", "model", "bundle"]

_FAMILIES = {
    "efficientnet-v1": "EfficientNet (V1)",
    "efficientnet-v2": "EfficientNetV2",
    "efficientnet-lite": "EfficientNet-Lite",
    "efficientnet-edgetpu": "EfficientNet-EdgeTPU",
    "mnasnet": "MnasNet",
    "resnet": "ResNet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured on this device.

    Attributes:
        latency_ms: median of one image; `low_ms` and `high_ms` are the 10th and 90th percentile of the runs.
        images_per_s: median with `batch` images at once.
        peak_bytes: the most memory that one image takes, weights included; None where the system does not tell.
        runs: of one image.
        device: machine, threads and versions.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    images_per_s: float
    batch: int
    peak_bytes: int | None
    runs: int
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A network that is compared.

    Attributes:
        name, label: what it is called, and what charts write.
        series: the line that it is on.
        kind: `published` with weights of effnet's catalogue, `reported` in a paper only, a `spec` file, a trained
            `model` file, a deployment `bundle`.
        params, macs, activations: for one image at `resolution`; None where a paper does not tell.
        resolution: input side in pixels.
        file_bytes: of the weights; `file_exact` says whether of a real file, else 4 bytes a number are reckoned.
        top1, top5: percent; on ImageNet-1k where published, else on the images that the file was judged by.
        recipe, source: how it was trained, and who states the accuracy.
        extra_data: images beyond ImageNet-1k; None: none.
        note: what to know before comparing.
        spec, path: the network, and its file.
        measured: on this device.
    """

    name: str
    label: str
    series: str
    kind: Kind
    params: int
    macs: int | None
    activations: int | None = None
    resolution: int | None = None
    file_bytes: int | None = None
    file_exact: bool = False
    top1: float | None = None
    top5: float | None = None
    recipe: str | None = None
    source: str | None = None
    extra_data: str | None = None
    note: str | None = None
    spec: NetworkSpec | None = None
    path: Path | None = None
    measured: Measured | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; the spec is left out."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("spec", "path", "measured")]
        body: dict[str, Any] = {name: getattr(self, name) for name in names}
        body["path"] = None if self.path is None else str(self.path)
        body["measured"] = None if self.measured is None else dataclasses.asdict(self.measured)
        return body


Measure: TypeAlias = Callable[[Sequence[Subject]], Sequence[Measured | None]]
"""From subjects to what was measured of each; None where it cannot be run."""


def of_weights(weights: PublishedWeights, accuracy: Accuracy | None = None) -> Subject:
    """Return released weights as a subject, at the resolution at which their accuracy was measured."""
    scored = accuracy or (weights.accuracy[0] if weights.accuracy else None)
    spec = weights.network
    if scored is not None:
        spec = spec.replace(resolution=scored.resolution)
    size, usual = weights.size, weights.tag == default(weights.variant).tag
    subject = of_spec(spec, name=weights.variant)
    return dataclasses.replace(
        subject,
        name=subject.name if usual else weights.tag,
        label=subject.label if usual else f"{subject.label} {weights.tag.partition('.')[2]}",
        kind="published",
        file_bytes=size or cost(spec).weight_bytes,
        file_exact=size is not None,
        top1=scored.top1 if scored else None,
        top5=scored.top5 if scored else None,
        recipe=scored.recipe if scored else weights.recipe,
        source=scored.source if scored else None,
        extra_data=_extra(weights),
    )


def of_other(row: others.OtherNetwork) -> Subject:
    """Return a row of the papers' comparisons as a subject."""
    names = ("name", "label", "series", "params", "macs", "resolution", "top1", "top5", "recipe", "source")
    given = {name: getattr(row, name) for name in (*names, "extra_data", "note")}
    return Subject(kind="reported", **given)


def of_spec(spec: NetworkSpec, *, name: str | None = None, kind: Kind = "spec", path: Path | None = None) -> Subject:
    """Return a network without weights as a subject, at its own resolution."""
    counted = cost(spec)
    called = name or spec.name
    return Subject(
        name=called,
        label=short_label(called),
        series=series_of(spec),
        kind=kind,
        params=counted.params,
        macs=counted.macs,
        activations=counted.activations,
        resolution=spec.resolution,
        file_bytes=counted.weight_bytes,
        spec=spec,
        path=path,
    )


def series_of(spec: NetworkSpec) -> str:
    """Return the line that a network is on."""
    if spec.name.startswith("efficientnetv2_b"):
        return "EfficientNetV2-B"
    return _FAMILIES.get(spec.family, spec.family)


def short_label(name: str) -> str:
    """Return a name as charts write it: `B0`, `V2-S`, `Lite0`, `ResNet-50`."""
    for prefix, short in (
        ("efficientnet_lite", "Lite"),
        ("efficientnet_edgetpu_", "EdgeTPU-"),
        ("efficientnetv2_", "V2-"),
        ("efficientnet_b", "B"),
        ("efficientnet_l", "L"),
        ("mnasnet_", "MnasNet-"),
        ("resnet", "ResNet-"),
    ):
        if name.startswith(prefix):
            return short + name.removeprefix(prefix).upper()
    return name


def _extra(weights: PublishedWeights) -> str | None:
    for caveat in weights.caveats:
        if caveat.startswith("NoisyStudent"):
            return "JFT-300M"
        if caveat.startswith("pre-trained on "):
            return caveat.removeprefix("pre-trained on ").partition(",")[0]
    return None

"""The proof that travels with a graph: it was run beside the network it came from, and this is what was seen.

A certificate does not say that it passed: `failures` works it out from the figures, so that a verdict and its figures
cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from effnet.deploy.document import (
    AGAIN,
    build,
    dumps,
    loads,
    mapping,
    plain,
    require_count,
    require_real,
    require_text,
    sequence,
)
from effnet.errors import WeightsError
from effnet.quantities import billions, size_text

VERSION = 1
"""Of the JSON form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The graph beside the network, at one batch size.

    Attributes:
        batch: images at once.
        images: how many were compared.
        max_delta: largest |difference| of a logit.
        max_relative: the same, over max(1, the image's largest |logit|): what the tolerance is for, because rounding
            grows with the numbers that are rounded.
        disagreements: images whose first class differs. Where the network itself holds the two classes equal within
            the tolerance, that is a tie and not counted.
    """

    batch: int
    images: int
    max_delta: float
    max_relative: float
    disagreements: int

    def __post_init__(self) -> None:
        """Refuse what cannot have been measured."""
        for name in ("batch", "images"):
            require_count(name, getattr(self, name), 1)
        for name in ("max_delta", "max_relative"):
            require_real(name, getattr(self, name))
        require_count("disagreements", self.disagreements)
        if self.disagreements > self.images:
            raise WeightsError("more images disagree than there are", where="disagreements", fix=AGAIN)

    @property
    def agreement(self) -> float:
        """Share of images with the same first class."""
        return 1 - self.disagreements / self.images


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one image costs.

    Attributes:
        products: convolutions and matrix products with weights.
        macs: their multiply-accumulates.
    """

    products: int
    macs: int

    def __post_init__(self) -> None:
        """Refuse what cannot have been counted."""
        require_count("products", self.products)
        require_count("macs", self.macs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of one batch, on the machine that made the certificate.

    Attributes:
        engine: what ran it: an engine of this machine, or `torch` for the network itself.
        batch, threads: images at once, CPU threads.
        median_ms, low_ms, high_ms: half, a tenth and nine tenths of the runs were quicker.
        runs: how many.
    """

    engine: str
    batch: int
    threads: int
    median_ms: float
    low_ms: float
    high_ms: float
    runs: int

    def __post_init__(self) -> None:
        """Refuse what cannot have been measured."""
        require_text("engine", self.engine)
        for name in ("batch", "threads", "runs"):
            require_count(name, getattr(self, name), 1)
        for name in ("median_ms", "low_ms", "high_ms"):
            require_real(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Top-1 of the network and of the graph on labelled images that neither was fitted to, in percent.

    Attributes:
        images: how many.
        reference, graph: top-1 of each.
        max_drop: points that the graph may lose.
    """

    images: int
    reference: float
    graph: float
    max_drop: float

    def __post_init__(self) -> None:
        """Refuse what cannot have been measured."""
        require_count("images", self.images, 1)
        for name in ("reference", "graph", "max_drop"):
            require_real(name, getattr(self, name))
            if getattr(self, name) > 100:
                raise WeightsError(f"{name} is {getattr(self, name)}", where=name, fix="give percent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was measured of a graph, and what was allowed.

    Attributes:
        images: which images were used, for people.
        parity: the comparison, one entry a batch size.
        tolerance: largest `max_relative` that is allowed; None where the first class and the accuracy decide (int8).
        min_agreement: least share of images with the same first class.
        graph: what the exported graph does for one image.
        expected: what the closed form of `effnet.cost` says the network does.
        operators: how often each operator is in the graph.
        latency: of the graph and of the network.
        sizes: bytes of the graph's files and of the network's weights.
        versions: packages it was measured with.
        machine: what it was measured on.
        sha256: digests of the manifest and of each file of the payload.
        accuracy: where labelled images were given.
        witness: the network's logits of the first pictures that `effnet.deploy.probes.made` makes, one row a picture:
            who receives the bundle can ask the graph again, without the network (`effnet verify`).
    """

    images: str
    parity: tuple[Parity, ...]
    tolerance: float | None
    min_agreement: float
    graph: Work
    expected: Work
    operators: Mapping[str, int]
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]
    machine: str
    versions: Mapping[str, str] = field(default_factory=dict)
    latency: tuple[Latency, ...] = ()
    accuracy: Accuracy | None = None
    witness: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what proves nothing."""
        require_text("images", self.images)
        require_text("machine", self.machine)
        if not self.parity:
            raise WeightsError("compares no images", where="parity", fix=AGAIN)
        if self.tolerance is not None:
            require_real("tolerance", self.tolerance)
        require_real("min_agreement", self.min_agreement)
        if len({len(row) for row in self.witness}) > 1:
            raise WeightsError("has rows of different lengths", where="witness", fix=AGAIN)
        for row in self.witness:
            for value in row:
                require_real("a logit", value, -math.inf)
        if self.min_agreement > 1:
            raise WeightsError(f"min_agreement is {self.min_agreement}", where="min_agreement", fix="give a share")

    @property
    def passed(self) -> bool:
        """Whether everything that was measured is allowed."""
        return not self.failures()

    def failures(self) -> tuple[str, ...]:
        """Return what is not allowed, in clauses; empty when the certificate is good."""
        found = []
        for row in self.parity:
            if self.tolerance is not None and row.max_relative > self.tolerance:
                found.append(
                    f"at batch {row.batch} logits differ by {row.max_delta:.2g} (relative {row.max_relative:.2g}), "
                    f"{self.tolerance:.2g} is allowed"
                )
            if row.agreement < self.min_agreement - 1e-9:  # 0.97 of 500 is not a whole number in floats
                found.append(
                    f"at batch {row.batch} the first class differs on {row.disagreements} of {row.images} images"
                )
        if self.graph.products < self.expected.products:
            found.append(
                f"the graph has {self.graph.products} convolutions and matrix products, "
                f"the network {self.expected.products}"
            )
        if self.graph.macs != self.expected.macs:
            found.append(f"the graph does {self.graph.macs} MACs for an image, the network {self.expected.macs}")
        lost = self.accuracy.reference - self.accuracy.graph if self.accuracy is not None else 0.0
        if self.accuracy is not None and lost > self.accuracy.max_drop + 1e-9:  # nor is 87.8 - 87.3 exactly 0.5
            found.append(f"top-1 drops by {lost:.2f} points, {self.accuracy.max_drop:g} are allowed")
        return tuple(found)

    def describe(self) -> str:
        """Return the certificate for people, some lines."""
        allowed = "not limited" if self.tolerance is None else f"{self.tolerance:g} allowed"
        lines = [f"images      {self.images}"]
        lines += [
            f"batch {row.batch:<5} max |difference of logits| {row.max_delta:.1e} (relative {row.max_relative:.1e}, "
            f"{allowed}); first class equal on {row.images - row.disagreements} of {row.images}"
            for row in self.parity
        ]
        lines.append(
            f"work        {self.graph.products} convolutions and matrix products, {billions(self.graph.macs)} MACs "
            f"(network: {self.expected.products}, {billions(self.expected.macs)})"
        )
        if self.accuracy is not None:
            lines.append(
                f"top-1       {self.accuracy.graph:.2f} % (network: {self.accuracy.reference:.2f} %; "
                f"a drop of {self.accuracy.max_drop:g} is allowed) on {self.accuracy.images} images"
            )
        lines += [f"size        {name}: {size_text(size)}" for name, size in self.sizes.items()]
        lines += [
            f"latency     {row.engine}, batch {row.batch}, {row.threads} threads: {row.median_ms:.1f} ms "
            f"({row.low_ms:.1f} to {row.high_ms:.1f} in {row.runs} runs)"
            for row in self.latency
        ]
        lines.append(f"measured    {self.machine}; {', '.join(f'{n} {v}' for n, v in self.versions.items())}")
        lines += [f"sha256      {name} {digest}" for name, digest in self.sha256.items()]
        lines.append("passed" if self.passed else f"FAILED: {'; '.join(self.failures())}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return the one text of this certificate; `passed` is in it for other readers."""
        return dumps({"version": VERSION, "passed": self.passed, **plain(self)})

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "certificate") -> Self:
        """Read what `to_json` wrote.

        Raises:
            WeightsError: it is damaged, from a newer version, or says that it passed when its figures do not.
        """
        data = loads(text, where)
        if (version := data.pop("version", None)) != VERSION:
            what = f"is a certificate of version {version!r}, this effnet reads {VERSION}"
            raise WeightsError(what, where=where, fix="pip install --upgrade effnet")
        said = data.pop("passed", None)
        try:
            certificate = build(cls, _read(data), where)
        except (WeightsError, TypeError) as error:
            what = error.what if isinstance(error, WeightsError) else str(error)
            raise WeightsError(f"is damaged: {what}", where=where, fix=AGAIN) from None
        if said is not certificate.passed:
            raise WeightsError("its verdict is not that of its figures", where=where, fix=AGAIN)
        return certificate


def _read(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a certificate with the values inside them built."""
    read = dict(data)
    for name, kind in (("parity", Parity), ("latency", Latency)):
        rows = sequence(data.get(name), name)
        read[name] = tuple(build(kind, mapping(row, name), name) for row in rows)
    for name in ("graph", "expected"):
        read[name] = build(Work, mapping(data.get(name), name), name)
    for name in ("operators", "sizes"):
        for key, value in mapping(data.get(name), name).items():
            require_count(f"{name} of {key}", value)
    for name in ("versions", "sha256"):
        for key, value in mapping(data.get(name), name).items():
            require_text(f"{name} of {key}", value)
    rows = [sequence(row, "witness") for row in sequence(data.get("witness"), "witness")]
    read["witness"] = tuple(tuple(row) for row in rows)
    if data.get("accuracy") is not None:
        read["accuracy"] = build(Accuracy, mapping(data["accuracy"], "accuracy"), "accuracy")
    return read

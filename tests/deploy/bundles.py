"""Bundles small enough to make at once, for tests that need one and not what is in it."""

from __future__ import annotations

import dataclasses
from typing import Any

from effnet.deploy.bundle import PAYLOADS, Bundle, digests
from effnet.deploy.certificate import Accuracy, Certificate, Latency, Parity, Work
from effnet.deploy.manifest import Format, Manifest
from effnet.preprocessing import Preprocess
from effnet.spec import BlockSpec, HeadSpec, NetworkSpec, StageSpec, StemSpec

SPEC = NetworkSpec(
    name="tiny",
    stem=StemSpec(channels=8),
    stages=(StageSpec(block=BlockSpec(expand_ratio=2.0), channels=8, repeats=1),),
    head=HeadSpec(channels=16),
    classes=3,
    resolution=32,
)

GRAPH = b"\x08\x0a" + b"\x12\x06effnet" + b"\x3a\x06\x12\x04tiny"
"""The outermost fields of an ONNX model: version, producer, graph."""


def manifest(format: Format = "onnx", **changes: Any) -> Manifest:
    """Return a manifest that uses every field."""
    whole = Manifest(
        name="tiny",
        format=format,
        precision="fp32",
        spec=SPEC,
        preprocess=Preprocess(size=32),
        labels=("개미", "bee", "cat"),
        temperature=1.25,
        source={"weights_sha256": "ab", "tag": "made here"},
        versions={"effnet": "0"},
    )
    return dataclasses.replace(whole, **changes)


def certificate(**changes: Any) -> Certificate:
    """Return a good certificate that uses every field, for no files."""
    whole = Certificate(
        images="10 images made here",
        parity=(Parity(batch=1, images=10, max_delta=1e-5, max_relative=1e-6, disagreements=0),),
        tolerance=1e-4,
        min_agreement=1.0,
        graph=Work(products=5, macs=1000),
        expected=Work(products=5, macs=1000),
        operators={"Conv": 5},
        sizes={"model.onnx": 17},
        sha256={},
        machine="here",
        versions={"torch": "2"},
        latency=(Latency(engine="torch", batch=1, threads=2, median_ms=2, low_ms=1, high_ms=3, runs=5),),
        accuracy=Accuracy(images=10, reference=90, graph=89.7, max_drop=0.5),
        witness=((0.5, -1.25, 3), (1, 2, 3)),
    )
    return dataclasses.replace(whole, **changes)


def bundle(format: Format = "onnx", **changes: Any) -> Bundle:
    """Return a certified bundle whose graph nothing can run."""
    described = manifest(format)
    payload = {name: GRAPH if format == "onnx" else name.encode() * 100 for name in PAYLOADS[format]}
    proof = certificate(sha256=digests(described, payload), **changes)
    return Bundle(manifest=described, certificate=proof, payload=payload)

"""Every export format with its certificate on 500 photographs, and damaged graphs that are refused.

Lite0, Lite1 and Lite2 have their real ImageNet weights; B0, B4 and V2-S fresh ones, which say nothing of accuracy but
run the same operators. Each certificate holds the largest difference of a logit at several batch sizes, the agreement
of the first class, the work counted in the graph against the closed form, sizes and latency. Latency is measured
while the certificate is made, so it is for orientation; benchmarks that compare speed take turns under quiet
conditions.

    python benchmarks/export_certificates.py PHOTOGRAPHS
    python benchmarks/export_certificates.py PHOTOGRAPHS --formats executorch      # in its own environment

Results of several runs and environments are joined in one file, by model, format and precision.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe as describe_machine
from numpy.typing import NDArray

from effnet.deploy.bundle import Bundle
from effnet.deploy.export import convert, describe
from effnet.deploy.export.model import Model, find_model, settled_on
from effnet.deploy.manifest import Format, Precision
from effnet.deploy.parity import TOLERANCES, Terms, certify, reference_logits
from effnet.deploy.probes import Probes, find_probes
from effnet.errors import ParityError

RESULTS = Path(__file__).parent / "results" / "export_certificates.json"
REAL, FRESH = ("lite0", "lite1", "lite2"), ("b0", "b4", "v2-s")
WAYS: tuple[tuple[Format, Precision], ...] = (
    ("onnx", "fp32"),
    ("onnx", "fp16"),
    ("openvino", "fp32"),
    ("torch", "fp32"),
    ("executorch", "fp32"),
    ("litert", "fp32"),
    ("native", "fp32"),
    ("native", "fp16"),
)
PACKAGES = {
    "onnx": "onnx",
    "openvino": "openvino",
    "torch": "torch",
    "executorch": "executorch",
    "litert": "litert_torch",
    "native": "effnet.deploy.native",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A network, the photographs as it wants them, and what it says of them."""

    model: Model
    probes: Probes
    logits: NDArray[np.float32]


def subject(name: str, photographs: Path) -> Subject:
    model = find_model(name, fresh=name in FRESH)
    probes = find_probes(photographs, model.preprocess)
    if name in FRESH:
        model = settled_on(model, probes.pixels)
    return Subject(model=model, probes=probes, logits=reference_logits(model.network, probes, model.preprocess))


def certificate(tested: Subject, format: Format, precision: Precision) -> dict[str, Any]:
    """Convert and return what the certificate says."""
    manifest = describe(tested.model, format, precision)
    started = time.perf_counter()
    network = tested.model.network
    bundle = Bundle(manifest=manifest, certificate=None, payload=convert(network, manifest))
    converted = time.perf_counter() - started
    terms = Terms(tolerance=TOLERANCES[precision])
    proof = certify(bundle, network, tested.probes, terms, reference=tested.logits).certificate
    assert proof is not None
    return {
        "weights": manifest.source.get("tag", manifest.source.get("weights")),
        "conversion_s": round(converted, 1),
        **{name: value for name, value in json.loads(proof.to_json()).items() if name != "witness"},
    }


def damaged(model: Model, format: Format, how: Callable[[Any], None]) -> str:
    """Convert a network that was changed by `how`, certify it against the whole one, return why it was refused."""
    manifest = describe(model, format, "fp32")
    other = find_model("lite0").network
    with torch.no_grad():
        how(other)
    try:
        bundle = Bundle(manifest=manifest, certificate=None, payload=convert(other, manifest))
        certify(bundle, model.network, find_probes(None, model.preprocess), Terms(tolerance=1e-4), latency=False)
    except ParityError as error:
        return error.what
    return "NOT REFUSED"


def zeroed_branch(network: Any) -> None:
    network.features[3][1].block[2][1].weight.zero_()
    network.features[3][1].block[2][1].bias.zero_()


def perturbed_weight(network: Any) -> None:
    network.features[2][0].block[0][0].weight[5, 3] *= 1.2


def swapped_classes(network: Any) -> None:
    for values in (network.classifier[1].weight, network.classifier[1].bias):
        values[[281, 282]] = values[[282, 281]]


def removed_convolution(network: Any) -> None:
    network.features[3][1] = torch.nn.Identity()


DAMAGES = (zeroed_branch, perturbed_weight, swapped_classes, removed_convolution)


def save(results: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument(
        "--formats", nargs="*", default=[name for name, package in PACKAGES.items() if find_spec(package)]
    )
    parser.add_argument("--models", nargs="*", default=[*REAL, *FRESH])
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"certificates": {}, "refused": {}}
    results["machine"] = describe_machine("torch", "numpy", "pillow")
    for model in arguments.models:
        ways = {f"{model} {way[0]} {way[1]}": way for way in WAYS if way[0] in arguments.formats}
        known = {**results["certificates"], **results.setdefault("not_certified", {})}
        missing = {name: way for name, way in ways.items() if name not in known}
        tested = subject(model, arguments.photographs) if missing else None
        for name, way in missing.items():
            assert tested is not None
            try:
                said = certificate(tested, *way)
            except ParityError as error:
                results["not_certified"][name] = error.what
                save(results)
                print(f"{name}: {error.what}", flush=True)
                continue
            results["certificates"][name] = said
            save(results)
            last = said["parity"][-1]
            print(f"{name}: {last['max_relative']:.1e} on {last['images']} images", flush=True)
    whole = find_model("lite0")
    for format in arguments.formats:
        for how in DAMAGES:
            name = f"lite0 {format} {how.__name__}"
            if name not in results["refused"]:
                results["refused"][name] = damaged(whole, format, how)
                save(results)
                print(f"{name}: {results['refused'][name]}", flush=True)


if __name__ == "__main__":
    main()

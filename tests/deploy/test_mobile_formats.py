"""ExecuTorch and LiteRT: run where they are installed (make test-executorch, make test-litert)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import effnet
from effnet.deploy.bundle import Bundle, open_bundle
from effnet.deploy.export import convert, describe, export
from effnet.deploy.export.model import find_model
from effnet.deploy.manifest import Format
from effnet.deploy.parity import Terms, certify
from effnet.deploy.probes import find_probes
from effnet.deploy.work import count, expected_work
from effnet.errors import InputError, MissingDependencyError, ParityError, WeightsError
from effnet.nn import Network, build
from tests.tiny import LABELS, tiny_network

PACKAGES: dict[Format, tuple[str, ...]] = {
    "executorch": ("executorch",),
    "litert": ("litert_torch", "ai_edge_litert"),
}

EACH = pytest.mark.parametrize("format", PACKAGES)


@pytest.fixture
def network(format: Format) -> Network:
    for package in PACKAGES[format]:
        pytest.importorskip(package)
    network = tiny_network()
    network.labels = LABELS
    return network


@EACH
def test_a_bundle_answers_as_the_network_does_in_the_same_work(
    format: Format, network: Network, tmp_path: Path
) -> None:
    path = tmp_path / "model.effnet"
    export(network, format, path, threads=1)
    bundle = open_bundle(path)
    certificate = bundle.certificate
    assert certificate is not None and certificate.passed
    assert certificate.graph == certificate.expected == expected_work(bundle.manifest)
    assert bundle.manifest.batch == (1 if format == "litert" else None)
    assert len(certificate.parity) == (1 if format == "litert" else 3)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    ours, theirs = effnet.load(path, threads=1).predict([pixels, pixels[:40]]), effnet.load(network, device="cpu")
    for mine, pixel in zip(ours, (pixels, pixels[:40]), strict=True):
        expected = theirs.predict(pixel)
        assert mine.label == expected.label
        assert [s.probability for s in mine.scores] == pytest.approx([s.probability for s in expected.scores], abs=1e-4)


@EACH
def test_pixels_are_normalised_in_the_graph(format: Format, network: Network) -> None:
    bundle = export(network, format, batch=2, preprocessing_in_graph=True, threads=1)
    assert bundle.manifest.input_shape == (2, 32, 32, 3)
    assert bundle.certificate is not None and bundle.certificate.passed


@EACH
def test_a_graph_of_other_weights_or_of_fewer_blocks_is_refused(format: Format, network: Network) -> None:
    manifest = describe(find_model(network), format, "fp32")
    probes, terms = find_probes(None, manifest.preprocess), Terms(tolerance=1e-4)

    def certified(other: Network) -> Bundle:
        bundle = Bundle(manifest=manifest, certificate=None, payload=convert(other, manifest))
        return certify(bundle, network, probes, terms, threads=1)

    nudged = tiny_network()
    with torch.no_grad():
        nudged.features[1][1].block[0][0].weight[3, 2] += 0.05
    with pytest.raises(ParityError, match="logits differ"):
        certified(nudged)
    shallow = build(network.spec.with_stage(1, repeats=1)).eval()
    with pytest.raises(ParityError, match="convolutions and matrix products"):
        certified(shallow)


@EACH
def test_a_damaged_file_is_refused(format: Format, network: Network) -> None:
    manifest = describe(find_model(network), format, "fp32")
    ((name, content),) = convert(network, manifest).items()
    for damaged in (b"", content[:100], bytes(len(content))):
        with pytest.raises(WeightsError, match="Fix:"):
            count(format, {name: damaged})


@EACH
def test_half_precision_is_refused(format: Format, network: Network) -> None:
    with pytest.raises(InputError, match="half precision"):
        export(network, format, precision="fp16")


@EACH
def test_without_the_package_the_extra_is_named(format: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for package in ("executorch.exir", "executorch.backends.xnnpack.partition.xnnpack_partitioner", "litert_torch"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"effnet\[{format}\]"):
        export(tiny_network(), format)

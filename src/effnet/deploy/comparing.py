"""`effnet.compare`: networks side by side, deployment bundles among them. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from effnet.comparison.compare import Comparison
from effnet.comparison.compare import compare as compare_networks
from effnet.comparison.subject import Measure, Subject, of_spec
from effnet.deploy.bundle import is_bundle, open_bundle
from effnet.spec import NetworkSpec


def compare(
    *networks: str | Path | NetworkSpec, resolution: int | None = None, measure: Measure | None = None
) -> Comparison:
    """Return networks side by side; without any, everything that was published of EfficientNets and ResNets.

    Args:
        networks: published names (`b0`), patterns (`b?`, `resnet*`, `swin*`), tags of released weights
            (`tf_efficientnet_b0.ns_jft_in1k`), spec files, trained model files, bundles, or specs.
        resolution: input side in pixels for all; accuracies published at another size are then left out.
        measure: measures them here, such as `effnet.inference.comparing.measurer()`; None: nothing is measured.

    Raises:
        UnknownNameError: nothing has that name; the nearest are suggested.
        EffnetError: a file cannot be read.
    """
    return compare_networks(*networks, resolution=resolution, measure=measure, reader=bundle_subject)


def bundle_subject(path: Path) -> Subject | None:
    """Return a bundle as a subject; None where the file is none.

    Raises:
        WeightsError: it is damaged.
    """
    if not is_bundle(path):
        return None
    bundle = open_bundle(path)
    manifest, certificate = bundle.manifest, bundle.certificate
    subject = of_spec(manifest.spec.replace(resolution=manifest.preprocess.size), kind="bundle", path=path)
    judged = certificate.accuracy if certificate else None
    return dataclasses.replace(
        subject,
        name=str(path),
        label=f"{manifest.name} ({manifest.format} {manifest.precision})",
        series=f"{subject.series}, bundles",
        file_bytes=path.stat().st_size,
        file_exact=True,
        top1=judged.graph if judged else None,
        recipe=f"{manifest.format} {manifest.precision}",
        source="its certificate, on the images that it was judged by" if judged else None,
    )


def bundle_runner(subject: Subject, batch: int, threads: int | None) -> Callable[[], object] | None:
    """Return what runs a bundle once on random images, for measuring; None where it takes no such batch.

    Raises:
        EffnetError: no engine of this machine runs it.
    """
    import numpy as np
    from numpy.typing import NDArray

    from effnet.deploy.engines import open_engine

    assert subject.path is not None
    bundle = open_bundle(subject.path)
    manifest = bundle.manifest
    if manifest.batch not in (None, batch):
        return None
    engine = open_engine(bundle, threads=threads)
    rng, side = np.random.default_rng(0), manifest.preprocess.size
    channels = manifest.spec.in_channels
    images: NDArray[Any]
    if manifest.preprocessing_in_graph:
        images = rng.integers(0, 256, (batch, side, side, channels), dtype=np.uint8)
    else:
        images = rng.standard_normal((batch, channels, side, side), dtype=np.float32)
    return lambda: engine.run(images)

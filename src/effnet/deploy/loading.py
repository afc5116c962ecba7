"""`effnet.load`: a predictor for anything that classifies: a name, a tag, a model file, a network, or a bundle."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from effnet.deploy.bundle import is_bundle
from effnet.errors import InputError
from effnet.inference.classifier import Classifier

if TYPE_CHECKING:
    from effnet.nn import Network


def load(
    model: str | os.PathLike[str] | Network,
    *,
    device: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    size: int | None = None,
    top: int = 5,
    engine: str = "auto",
    graph: bool = False,
    flip: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Classifier:
    """Return a predictor for a model: a `Predictor`, or for a bundle a `BundlePredictor`, which never imports torch.

    Args:
        model: a published name (`lite0`: its default weights), a tag that `effnet weights list` shows, a model file,
            a run folder of `effnet train` (its best network), a bundle (what `effnet export` writes), or a network that
            knows its preprocessing.
        device: as torch writes it (`cpu`, `cuda:1`); None: the accelerator if there is one. Bundles run on the `cpu`.
        threads: CPU threads of the network; None: as many as torch takes, or for a bundle as there are processors.
        batch: images the network sees at once; None: 8 on a CPU, 64 elsewhere; or what a bundle was made for.
        size: input side in pixels, if not the one that the weights were evaluated with; warns when it is far off.
            A bundle has one size.
        top: how many classes a prediction names.
        engine: what runs a bundle; see `effnet.deploy.engines.ENGINES`.
        graph: record the forward pass as a CUDA graph for each batch size met: sooner at batch 1, on a CUDA GPU only.
        flip: average each image's logits with those of its mirror image, for twice the time.
        progress: called with (bytes done, bytes in all or None) while weights are downloaded.

    Raises:
        UnknownNameError: no such model, tag or engine.
        WeightsError, DownloadError, MissingDependencyError: the weights cannot be had, or the bundle is damaged.
        InputError: an argument is impossible, or the network does not know its preprocessing.
    """
    if isinstance(model, str | os.PathLike) and is_bundle(os.fspath(model)):
        if graph:
            raise InputError("a bundle has no CUDA graph", where="graph", fix="load the model file, or graph=False")
        return _bundle(os.fspath(model), device, threads, batch, size, top, engine, flip)
    if engine not in ("auto", "torch"):
        fix = "export the model first: effnet export"
        raise InputError("runs bundles, and this is none", where=f"engine {engine}", fix=fix)
    from effnet.inference.predictor import Predictor, find_network

    network = find_network(model, progress)
    return Predictor(network, device=device, threads=threads, batch=batch, size=size, top=top, graph=graph, flip=flip)


def _bundle(
    path: str,
    device: str | None,
    threads: int | None,
    batch: int | None,
    size: int | None,
    top: int,
    engine: str,
    flip: bool,
) -> Classifier:
    from effnet.deploy.predictor import BundlePredictor

    if device not in (None, "cpu"):
        raise InputError(f"bundles run on the cpu, not on {device}", where=path, fix="leave the device out")
    predictor = BundlePredictor(Path(path), engine=engine, threads=threads, batch=batch, top=top, flip=flip)
    if size not in (None, predictor.preprocess.size):
        what = f"this bundle was made for {predictor.preprocess.size} px, not {size}"
        raise InputError(what, where=path, fix="export it with another size, or leave the size out")
    return predictor

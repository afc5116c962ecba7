"""Classifying images with a bundle: the same answers as the model file it was made from, without torch.

>>> import effnet
>>> model = effnet.load("lite0.onnx")  # doctest: +SKIP
>>> model.predict("cat.jpg").label  # doctest: +SKIP
'tabby'
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from effnet.data.preprocess import to_array
from effnet.deploy.bundle import Bundle, open_bundle
from effnet.deploy.engines import Engine, open_engine
from effnet.deploy.engines.engine import Batch
from effnet.errors import InputError
from effnet.inference.classifier import CPU_BATCH, Classifier, ImageSource, Logits, Pixels, require_logits


class BundlePredictor(Classifier):
    """Classifies images with a bundle; `effnet.load` makes one for a bundle's path.

    Attributes:
        bundle: its manifest, certificate and graph.
        engine: what runs it, with its settings.
    """

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str],
        *,
        engine: str | Engine = "auto",
        threads: int | None = None,
        batch: int | None = None,
        top: int = 5,
        flip: bool = False,
    ) -> None:
        """Open a bundle.

        Args:
            bundle: a bundle, or its path.
            engine: as for `open_engine`; or an engine that has been opened.
            threads: CPU threads of one batch; None: as many processors as there are to use.
            batch: images the network sees at once; None: what the graph was made for, or 8.
            top: how many classes a prediction names.
            flip: average each image's logits with those of its mirror image.

        Raises:
            InputError, WeightsError, UnknownNameError, MissingDependencyError: as `open_bundle` and `open_engine`; or
                the bundle has one output, which says nothing among classes.
        """
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(os.fspath(bundle))
        manifest = self.bundle.manifest
        if manifest.spec.classes == 1:
            fix = "export its model file again: it then has two classes"
            raise InputError("has one output, which is no choice among classes", where=manifest.name, fix=fix)
        super().__init__(
            manifest.spec,
            manifest.preprocess,
            manifest.labels,
            manifest.temperature,
            batch=(manifest.batch or CPU_BATCH) if batch is None else batch,
            top=top,
            flip=flip,
        )
        self.engine = open_engine(self.bundle, engine, threads) if isinstance(engine, str) else engine

    def prepare(self, sources: Iterable[ImageSource]) -> Batch:
        """Decode, resize, crop and, unless the graph does it, normalise images: the input of `logits`.

        Raises:
            ImageError: an image cannot be read.
        """
        pixels = [self.pixels(source) for source in sources]
        if not pixels:
            raise InputError("no images to prepare", fix="give at least one")
        return self._batch(pixels)

    def logits(self, images: Batch) -> Logits:
        """Run the graph: prepared images -> float32 logits (N, classes).

        Raises:
            WeightsError: the outputs are not finite, or not one for each class.
            InputError: the images are not of the graph's shape and type.
        """
        name, logits = self.bundle.manifest.name, self.engine.run(images)
        return require_logits(logits, name, images=len(images), classes=self.spec.classes)

    def classify(self, pixels: Sequence[Pixels]) -> Logits:
        """Run the graph; arguments, result and errors as `Classifier` says."""
        return self.logits(self._batch(pixels))

    def _batch(self, pixels: Sequence[Pixels]) -> Batch:
        return np.stack(pixels) if self.bundle.manifest.preprocessing_in_graph else to_array(pixels, self.preprocess)

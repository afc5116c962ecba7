"""A bundle as the server's model."""

from __future__ import annotations

from pathlib import Path

from effnet.deploy.predictor import BundlePredictor
from effnet.deploy.server.model import ServedModel


def open_served(path: Path, *, engine: str = "auto", threads: int | None = None) -> ServedModel:
    """Open a bundle for serving.

    Args:
        path: the bundle.
        engine, threads: as `effnet.deploy.engines.open_engine` takes them.

    Raises:
        InputError, WeightsError, UnknownNameError, MissingDependencyError: it cannot be opened or run.
    """
    predictor = BundlePredictor(path, engine=engine, threads=threads)
    return ServedModel(
        name=predictor.bundle.manifest.name,
        classes=predictor.spec.classes,
        classifier=predictor,
        settings={"engine": predictor.engine.name, **predictor.engine.settings},
    )

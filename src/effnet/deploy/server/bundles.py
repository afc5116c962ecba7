"""A bundle as the server's model."""

from __future__ import annotations

from pathlib import Path

from effnet.deploy.bundle import open_bundle
from effnet.deploy.engines import open_engine
from effnet.deploy.predictor import BundlePredictor
from effnet.deploy.server.model import ServedModel


def open_served(path: Path, *, engine: str = "auto", threads: int | None = None, spinning: bool = False) -> ServedModel:
    """Open a bundle for serving: single images run in the graph fitted to this processor, where there can be one.

    Args:
        path: the bundle.
        engine, threads, spinning: as `effnet.deploy.engines.open_engine` takes them.

    Raises:
        InputError, WeightsError, UnknownNameError, MissingDependencyError: it cannot be opened or run.
    """
    bundle = open_bundle(path)
    opened = open_engine(bundle, engine, threads, tune=True, spinning=spinning)
    predictor = BundlePredictor(bundle, engine=opened)
    return ServedModel(
        name=predictor.bundle.manifest.name,
        classes=predictor.spec.classes,
        classifier=predictor,
        settings={"engine": predictor.engine.name, **predictor.engine.settings},
    )

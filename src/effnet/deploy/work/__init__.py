"""Counting what a graph does for one image, from the graph alone.

Equal answers do not prove equal work: a converter that drops a branch whose weights are zero answers as before, in half
the time. So the products with weights are counted in what was exported and compared with `effnet.cost`.
"""

from __future__ import annotations

from collections.abc import Mapping

from effnet.cost import cost
from effnet.deploy.certificate import Work
from effnet.deploy.manifest import Format, Manifest
from effnet.errors import WeightsError

_UNITS = {"conv": 1, "depthwise": 1, "squeeze_excite": 2, "linear": 1}
"""Convolutions and matrix products in one row of `effnet.cost`."""


def expected_work(manifest: Manifest) -> Work:
    """Return what the network of a manifest costs in closed form, at the manifest's size."""
    total = cost(manifest.spec, manifest.preprocess.size)
    return Work(products=sum(_UNITS.get(layer.kind, 0) for layer in total.layers), macs=total.macs)


def count(format: Format, payload: Mapping[str, bytes]) -> tuple[dict[str, int], Work]:
    """Return how often each operator is in a graph, and its work for one image.

    Raises:
        WeightsError: the graph is damaged, or does not say the sizes that a count needs.
        MissingDependencyError: the package that reads this format is not installed.
    """
    import importlib

    module = importlib.import_module(f"effnet.deploy.work.{format}_work")
    try:
        counted: tuple[dict[str, int], Work] = module.count(payload)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        what = f"its work cannot be counted: {type(error).__name__} {error}"
        raise WeightsError(what, where=f"{format} graph", fix="export it again") from None
    return counted

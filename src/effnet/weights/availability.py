"""Whether released weights can be had here and now, without fetching anything and without torch."""

from __future__ import annotations

from effnet.weights import store
from effnet.weights.published import PublishedWeights


def why_missing(weights: PublishedWeights) -> str | None:
    """Return why `weights` cannot be had; None: they are here, or can be fetched when they are needed."""
    if store.is_here(weights):
        return None
    if weights.package is not None:
        return f"its weights are in the package {weights.package}, which is not installed"
    if store.is_offline():
        return "its weights are not on this machine, and EFFNET_OFFLINE forbids fetching them"
    return None

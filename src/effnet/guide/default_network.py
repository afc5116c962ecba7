"""The network that `effnet train` takes where none is named: the quickest to an answer, not the most accurate."""

from __future__ import annotations


def default_network(images: int, *, accelerator: bool) -> tuple[str, str]:
    """Return the canonical name of the network for so many images to learn from, and why."""
    if not accelerator:
        return "efficientnet_lite0", "the smallest, as there is no accelerator"
    if images < 5_000:
        return "efficientnet_b0", f"{images} images teach a larger network little more, at several times the work"
    if images < 50_000:
        return "efficientnet_b2", f"{images} images are enough for a middle one"
    return "efficientnetv2_s", f"{images} images are worth the fastest to train"

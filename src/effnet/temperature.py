"""What logits are divided by before the softmax, so that confidence is honest (arXiv 1706.04599): its bounds."""

from __future__ import annotations

from typing import TypeGuard

LOWEST, HIGHEST = 1e-3, 1e3
"""No classifier needs more: fits end at 0.02 and 50. Beyond, probabilities are 0, 1 or all alike whatever was said."""

FIX = f"give a number from {LOWEST:g} to {HIGHEST:g}; 1 leaves the logits as they are"


def is_temperature(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number within the bounds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and LOWEST <= value <= HIGHEST

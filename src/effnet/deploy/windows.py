"""How a large map is averaged without losing digits in runtimes that add one pixel after the other in float32.

ONNX Runtime's GlobalAveragePool and XNNPACK's mean lose two of float32's seven digits over the 112 x 112 of B0's first
squeeze-and-excitation. Averages of windows, averaged, lose none and take as long.
"""

from __future__ import annotations

from math import isqrt

_SUMMED_AT_ONCE = 32 * 32
"""Pixels of the largest map that is averaged in one step."""


def averaging_window(height: int, width: int) -> tuple[int, int] | None:
    """Return the window that cuts a large map evenly, with about as many windows as each has pixels.

    None for a map that is small, or whose sides are prime.
    """
    if height * width <= _SUMMED_AT_ONCE:
        return None
    window = _divisor(height), _divisor(width)
    return None if window == (1, 1) else window


def _divisor(side: int) -> int:
    """Return the largest divisor that is at most the square root."""
    return next(number for number in range(isqrt(side), 0, -1) if side % number == 0)

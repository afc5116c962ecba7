"""What an engine is: a graph that is ready to run, and the settings it runs with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Batch: TypeAlias = NDArray[np.float32] | NDArray[np.uint8]
"""float32 (N, C, size, size), normalised; or, for a graph that normalises, uint8 pixels (N, size, size, C)."""

Logits: TypeAlias = NDArray[np.float32]

Setting: TypeAlias = str | int | float | bool


class Engine(Protocol):
    """Runs one graph on this machine's processor.

    Attributes:
        name: which runtime: a key of `ENGINES`.
        threads: CPU threads that one batch is computed with.
        settings: everything that was chosen for it, and the runtime's version, for people to see.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (described above)

    @property
    def threads(self) -> int: ...  # noqa: D102

    @property
    def settings(self) -> Mapping[str, Setting]: ...  # noqa: D102

    def run(self, batch: Batch) -> Logits:
        """Compute a batch -> float32 logits (N, classes).

        Raises:
            InputError: the batch is not of the graph's shape and type, or does not fit in memory.
        """
        ...

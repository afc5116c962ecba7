"""timm's selectable pool."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from effnet.errors import UnknownNameError

KINDS = ("avg", "max", "avgmax", "catavgmax", "")


class SelectAdaptivePool2d(nn.Module):
    """(N, C, H, W) -> (N, C): mean, maximum, mean of both, or both side by side (N, 2 C); '' leaves maps as they are.

    Raises:
        UnknownNameError: no such pool.
    """

    def __init__(self, pool_type: str = "avg") -> None:
        super().__init__()
        name = (pool_type or "").lower()
        self.pool_type = "avg" if name == "fast" else name.removeprefix("fast")
        if self.pool_type not in KINDS:
            raise UnknownNameError.among("global_pool", pool_type, KINDS, see=f"known: {', '.join(KINDS[:-1])}, ''")

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        if self.pool_type == "":
            return x
        mean = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        if self.pool_type == "avg":
            return mean
        largest = torch.flatten(F.adaptive_max_pool2d(x, 1), 1)
        if self.pool_type == "max":
            return largest
        if self.pool_type == "avgmax":
            return 0.5 * (mean + largest)
        return torch.cat((mean, largest), 1)

    def feat_mult(self) -> int:
        """Return how many values a channel gives."""
        return 2 if self.pool_type == "catavgmax" else 1

    def extra_repr(self) -> str:
        """Show the kind."""
        return f"pool_type={self.pool_type!r}"

"""Kernels that pass over a map as few times as batch norm allows, each beside its plain-torch reference.

Importing this room registers the `effnet::...` operators with torch; Triton itself is imported when one first runs on
a GPU. docs/kernels.md says what each saves and how it is proved. A map is (N, C, H, W) with channels last in memory.
"""

from effnet.kernels.availability import has_triton, interpreting, launches, require_triton
from effnet.kernels.gating import depthwise_act_pool, norm_gate, pointwise, squeeze_excite
from effnet.kernels.operators import depthwise, norm_act, norm_act_pool, norm_depthwise, norm_finish, norm_statistics
from effnet.kernels.products import expanded_depthwise, product, product_norm_act

__all__ = [
    "depthwise",
    "depthwise_act_pool",
    "expanded_depthwise",
    "has_triton",
    "interpreting",
    "launches",
    "norm_act",
    "norm_act_pool",
    "norm_depthwise",
    "norm_finish",
    "norm_gate",
    "norm_statistics",
    "pointwise",
    "product",
    "product_norm_act",
    "require_triton",
    "squeeze_excite",
]

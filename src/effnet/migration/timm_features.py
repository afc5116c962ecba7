"""What timm says of the maps that a network gives: stride, channels, and the module they come from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from effnet.errors import InputError
from effnet.spec import NetworkSpec


class FeatureInfo:
    """timm's `FeatureInfo`: a dictionary for each map, and which of them come out.

    Raises:
        InputError: an index that there is not.
    """

    def __init__(self, feature_info: list[dict[str, Any]], out_indices: int | Sequence[int]) -> None:
        self.info = feature_info
        for index, info in enumerate(feature_info):
            info.setdefault("index", index)
        self.out_indices = tuple(range(-out_indices, 0)) if isinstance(out_indices, int) else tuple(out_indices)
        self.taken = taken(len(feature_info), self.out_indices)

    def from_other(self, out_indices: int | Sequence[int]) -> FeatureInfo:
        """Return the same with other maps chosen."""
        return FeatureInfo(copy.deepcopy(self.info), out_indices)

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        """Return one fact of the chosen maps, or of map `idx`, or of several."""
        if isinstance(idx, int):
            return self.info[idx][key]
        return [self.info[index][key] for index in (self.out_indices if idx is None else idx)]

    def get_dicts(self, keys: Sequence[str] | None = None, idx: int | Sequence[int] | None = None) -> Any:
        """Return all facts, or `keys`, of the chosen maps, or of map `idx`, or of several."""
        if isinstance(idx, int):
            info = self.info[idx]
            return info if keys is None else {key: info[key] for key in keys}
        return [self.get_dicts(keys, index) for index in (self.out_indices if idx is None else idx)]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return the channels of each map."""
        return self.get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return input pixels per pixel of each map."""
        return self.get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return the module that each map comes from."""
        return self.get("module", idx)

    def __getitem__(self, item: int) -> dict[str, Any]:
        """Return what is known of one map."""
        return self.info[item]

    def __len__(self) -> int:
        """Return how many maps there are."""
        return len(self.info)


def feature_dicts(spec: NetworkSpec, reached: Sequence[int]) -> list[dict[str, Any]]:
    """Return timm's list for a network whose stages end at the strides `reached`: the last map before each stride."""
    found: list[dict[str, Any]] = []
    if spec.stages[0].stride > 1:
        found.append({"module": "bn1", "num_chs": spec.stem.channels, "stage": 0, "reduction": spec.stem.stride})
    for number, stage in enumerate(spec.stages, 1):
        if number == len(spec.stages) or spec.stages[number].stride > 1:
            found.append(
                {
                    "stage": number,
                    "reduction": reached[number - 1],
                    "module": f"blocks.{number - 1}",
                    "num_chs": stage.channels,
                }
            )
    return found


def taken(count: int, indices: int | Sequence[int] | None) -> list[int]:
    """Return which of `count` maps are meant: all, a number of the last, or those named (from the end if negative).

    Raises:
        InputError: there are no such maps.
    """
    chosen: list[Any]
    if indices is None:
        chosen = list(range(count))
    elif isinstance(indices, int):
        chosen = list(range(-indices, 0))
    else:
        chosen = list(indices)
    if not chosen or not all(isinstance(index, int) and -count <= index < count for index in chosen):
        fix = f"give numbers from 0 to {count - 1}"
        raise InputError(f"out_indices is {indices!r}", where="out_indices", fix=fix)
    return [index % count for index in chosen]

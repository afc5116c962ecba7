"""A network that also answers to the layer names of the library that a person comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from effnet.nn import Network
from effnet.weights import layouts


class RenamedNetwork(Network):
    """A `Network` whose layers can be read, replaced and loaded under another library's names.

    `state_dict()` keeps our names; `load_state_dict` takes either. A subclass says which names: `names` from theirs to
    the path of ours, `layout` the weights layout of its state dicts.
    """

    names: ClassVar[Mapping[str, str]] = {}
    layout: ClassVar[str]

    @classmethod
    def of(cls, network: Network) -> Self:
        """Return `network` under these names; it shares its tensors and knows what it knows."""
        with torch.device("meta"):
            renamed = cls(network.spec)
        nn.Module.load_state_dict(renamed, network.state_dict(), assign=True)
        renamed.requires_grad_(True)
        renamed.preprocess, renamed.labels = network.preprocess, network.labels
        renamed.temperature = network.temperature
        return renamed

    def __getattr__(self, name: str) -> Any:
        """Return the layer that has their name."""
        path = type(self).names.get(name)
        return super().__getattr__(name) if path is None else self.get_submodule(path)

    def __setattr__(self, name: str, value: Any) -> None:
        """Replace the layer that has their name."""
        path = type(self).names.get(name)
        if path is None:
            super().__setattr__(name, value)
        else:
            self.set_submodule(path, value)

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> Any:
        """Load a state dict with their names or ours; otherwise as `nn.Module.load_state_dict`.

        Raises:
            WeightsError: strict, and tensors are missing, unexpected or of another shape.
            RuntimeError: the same for a state dict with our names, from torch.
        """
        rows = {row.foreign: row.native for row in layouts.LAYOUTS[self.layout].table(self.spec) if row.foreign}
        if not any(name in rows for name in state_dict) or set(rows) == set(rows.values()):
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        if strict:
            native = layouts.to_native(state_dict, self.spec, self.layout)
        else:  # what is there, as it is: torch reports what is missing or unexpected
            native = {rows.get(name, name): tensor for name, tensor in state_dict.items()}
        return super().load_state_dict(native, strict=strict, assign=assign)

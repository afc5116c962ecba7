"""A network that also answers to the layer names of the library that a person comes from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from effnet.errors import WeightsError
from effnet.nn import Network
from effnet.weights import layouts


class RenamedNetwork(Network):
    """A `Network` whose layers can be read, replaced and loaded under another library's names.

    `state_dict()` keeps our names. Loading takes either, also where the network is part of another module
    (`DataParallel`, a LightningModule, `self.net = ...`): torch tells a hook on the network where in the state dict it
    stands. A subclass says which names: `names` from theirs to the path of ours, `layout` the weights layout of its
    state dicts.
    """

    names: ClassVar[Mapping[str, str]] = {}
    layout: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accept_other_names(self)

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
            RuntimeError: the same for a state dict with our names, or after a layer was replaced, from torch.
        """
        if strict and self._is_theirs(state_dict):
            state_dict = layouts.to_native(state_dict, self.spec, self.layout)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def layer_names(self) -> dict[str, str]:
        """Return the path of our layer for each of their layers' names."""
        spec = self.spec if self.spec.classes else self.spec.replace(classes=1)
        found = dict(type(self).names)
        for row in layouts.LAYOUTS[self.layout].table(spec):
            if row.foreign is not None:
                found[row.foreign.rpartition(".")[0]] = row.part.native
        return found

    def _is_theirs(self, state_dict: Mapping[str, Tensor]) -> bool:
        """Whether these are names of theirs alone, and every layer is still the one that the spec describes."""
        own = set(nn.Module.state_dict(self, keep_vars=True))
        if own & set(state_dict) or own != {row.native for row in layouts.LAYOUTS[self.layout].table(self.spec)}:
            return False
        try:
            return layouts.detect(state_dict) == self.layout
        except WeightsError:
            return False


def accept_other_names(network: nn.Module) -> None:
    """Let `network` load state dicts that use the other names in `network.layer_names()`, wherever it stands.

    `layer_names()` gives the path of its layer for each other name.
    """
    network.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]
    network.register_load_state_dict_post_hook(_report)  # type: ignore[no-untyped-call]


def _layer(name: str, layers: Mapping[str, str]) -> str | None:
    """Return the longest of `layers` that `name` is in."""
    layer = name.rpartition(".")[0]
    while layer and layer not in layers:
        layer = layer.rpartition(".")[0]
    return layer or None


def _rename(
    module: nn.Module,
    state_dict: MutableMapping[str, Tensor],
    prefix: str,
    local_metadata: Any,
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """Give the tensors below `prefix` our names, in place, before torch looks for them."""
    names: dict[str, str] = module.layer_names()  # type: ignore[operator]
    theirs = {theirs: ours for theirs, ours in names.items() if theirs != ours}
    own = set(nn.Module.state_dict(module, keep_vars=True))
    inside = [name for name in state_dict if name.startswith(prefix)]
    back: dict[str, str] = {}
    for name in inside:
        plain = name.removeprefix(prefix)
        layer = None if plain in own else _layer(plain, theirs)
        if layer is not None:
            native = theirs[layer] + plain.removeprefix(layer)
            back[native] = plain
            state_dict[prefix + native] = state_dict.pop(name)
    if not any(name.removeprefix(prefix) in own for name in state_dict if name.startswith(prefix)):
        held = f"its tensors are called {', '.join(inside[:2])}, ..." if inside else "it has none there"
        warnings.warn(
            f"none of this network's tensors is in the state dict ({prefix or 'at its top'}: {held}); it keeps its own",
            stacklevel=2,
        )
    layers = {ours: theirs for theirs, ours in theirs.items()} if back else {}
    module.__dict__["_loading"] = (prefix, layers)


def _report(module: nn.Module, incompatible: Any) -> None:
    """Say what was missing or unexpected under the names that the state dict used."""
    prefix, layers = module.__dict__.pop("_loading", ("", {}))
    for names in (incompatible.missing_keys, incompatible.unexpected_keys):
        for place, name in enumerate(names):
            plain = name.removeprefix(prefix)
            layer = _layer(plain, layers) if name.startswith(prefix) else None
            if layer is not None:
                names[place] = prefix + layers[layer] + plain.removeprefix(layer)

"""Another library's names for the layers inside a module, to read, replace, delete and freeze them by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from torch import nn


class Faced(nn.Module):
    """A module that answers to `names`, from theirs to the path of its own layer; its state dict keeps its own."""

    names: ClassVar[Mapping[str, str]] = {}

    def __getattr__(self, name: str) -> Any:
        """Return the layer that has their name."""
        path = type(self).names.get(name)
        return super().__getattr__(name) if path is None else self.get_submodule(path)

    def __setattr__(self, name: str, value: Any) -> None:
        """Replace the layer that has their name."""
        path = type(self).names.get(name)
        place, _, leaf = (path or name).rpartition(".")
        if place:
            setattr(self.get_submodule(place), leaf, value)
        else:
            super().__setattr__(leaf, value)

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Yield every module, under their name where they have one."""
        found = super().named_modules(memo, prefix, remove_duplicate)
        return renamed(found, prefix, type(self).names)


def renamed(
    modules: Iterator[tuple[str, nn.Module]], prefix: str, names: Mapping[str, str]
) -> Iterator[tuple[str, nn.Module]]:
    """Yield `modules` with the longest path of `names` that a name begins with replaced by their name."""
    theirs = {path: name for name, path in names.items()}
    start = f"{prefix}." if prefix else ""
    for name, module in modules:
        path, rest = name.removeprefix(start), ""
        while path and path not in theirs:
            path, _, last = path.rpartition(".")
            rest = f".{last}{rest}"
        yield (f"{start}{theirs[path]}{rest}" if path else name), module

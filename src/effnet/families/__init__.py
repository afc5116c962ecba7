"""The published networks, as specs. `find` looks one up by any of its usual names."""

from effnet.families.catalog import find, names

__all__ = ["find", "names"]

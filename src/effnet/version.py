"""The version of this package; model files record it."""

__version__ = "0.1.0"

"""From a trained network to a certified bundle."""

from effnet.deploy.export.door import convert, default_path, describe, export

__all__ = ["convert", "default_path", "describe", "export"]
